//! Lines and writes that are larger than the ring, and what has room of its own.

use std::{fs::File, io::Write as _};

use tracing::info;
use tracing_tasklog::{
    TaskLayer, task_span,
    writer::{Collector, CollectorGuard, Overflow, SharedQueue},
};

use crate::{
    support::{
        capture::under,
        verify::{Expect, numbered},
    },
    workers_kit::{LATEST, Place, SMALL, alone},
};

fn connect(place: &Place) -> SharedQueue {
    let builder = SharedQueue::builder().capacity_bytes(SMALL).stall_timeout(LATEST);
    builder.connect(place.queue()).expect("a ring can be made")
}

fn collect(place: &Place) -> CollectorGuard {
    let file =
        File::options().append(true).create(true).open(place.log()).expect("the folder is the test's own");
    Collector::builder(place.queue()).spawn(file).expect("no other collector runs")
}

#[test]
fn a_line_larger_than_the_ring_is_cut_with_a_mark_and_counted() {
    alone("sizes::a_line_larger_than_the_ring_is_cut_with_a_mark_and_counted", || {
        let place = Place::new();
        let guard = collect(&place);
        let mut queue = connect(&place);
        // With LF: as long as the ring, a byte longer, much longer, and of characters with two bytes.
        let texts = [
            "a".repeat(SMALL - 1),
            "b".repeat(SMALL),
            "c".repeat(100_000),
            "é".repeat(5_000),
            "after".into(),
        ];
        for text in &texts {
            queue.write_all(format!("{text}\n").as_bytes()).expect("writing never fails");
        }
        guard.flush(LATEST).expect("the collector writes");
        let stats = queue.stats();
        assert_eq!((stats.accepted_lines, stats.written_lines), (5, 5), "{stats:?}");
        assert_eq!((stats.cut_lines, stats.dropped_lines), (3, 0), "{stats:?}");
        let lines = place.dir.lines("tasks.log");
        assert_eq!((&lines[0], &lines[4]), (&texts[0], &texts[4]), "they are whole");
        for (line, text) in lines[1..4].iter().zip(&texts[1..4]) {
            let (kept, mark) = line.split_once(" [cut ").expect("a mark");
            let cut: usize = mark.strip_suffix(" bytes]").expect("a mark").parse().expect("a number");
            assert!(text.starts_with(kept) && kept.len() + cut == text.len(), "{cut} of {}", text.len());
            assert!((SMALL - 8..SMALL).contains(&line.len()), "as much as fits: {}", line.len());
        }
        assert_eq!(guard.shutdown(LATEST).pending, 0);
    });
}

#[test]
fn a_write_of_many_lines_larger_than_the_ring_is_split_between_them() {
    alone("sizes::a_write_of_many_lines_larger_than_the_ring_is_split_between_them", || {
        let place = Place::new();
        let guard = collect(&place);
        let mut queue = connect(&place);
        let text: String = (1..=2_000).map(|n| numbered(0, n, 200) + "\n").collect();
        queue.write_all(text.as_bytes()).expect("writing never fails");
        guard.flush(LATEST).expect("the collector writes");
        let stats = queue.stats();
        assert_eq!(
            (stats.accepted_lines, stats.written_lines, stats.cut_lines),
            (2_000, 2_000, 0),
            "{stats:?}"
        );
        place.verify(&Expect::new().worker(0, 2_000).bare_lines()).assert_clean();
        assert_eq!(guard.shutdown(LATEST).pending, 0);
    });
}

#[test]
fn lifecycle_lines_have_room_where_others_have_none() {
    alone("sizes::lifecycle_lines_have_room_where_others_have_none", || {
        let place = Place::new();
        let builder = SharedQueue::builder().capacity_bytes(SMALL).overflow(Overflow::DropNewest);
        let queue = builder.connect(place.queue()).expect("a ring can be made");
        under(TaskLayer::new(queue.clone()).with_lifecycle(true), || {
            (0..200).for_each(|n| info!(n, "before any task"));
            for id in 0..50 {
                task_span!("send", id).in_scope(|| info!("in a task"));
            }
        });
        let (dropped, stats) = (queue.drops(), queue.stats());
        assert!(dropped.queue_full > 100, "{dropped:?}");
        let guard = collect(&place);
        guard.flush(LATEST).expect("the collector writes");
        let lines = place.dir.lines("tasks.log");
        let count = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
        assert_eq!((count(" -- RUNNING"), count(" -- SUCCESS")), (50, 50), "{dropped:?}");
        assert_eq!(count(" in a task"), 0, "they had no room: {dropped:?}");
        assert_eq!(stats.dropped_lines, dropped.queue_full, "nothing else was dropped");
        assert_eq!(
            lines.len() as u64,
            stats.accepted_lines - stats.dropped_lines + 1,
            "and the announcement"
        );
        assert_eq!(guard.shutdown(LATEST).pending, 0);
    });
}
