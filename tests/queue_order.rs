//! A line that was logged after another one's log call had returned stands behind it, whatever threads have logged the two.
#![cfg(feature = "queue")]

mod order_kit;
mod support;

use std::{
    fs::File,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::Duration,
};

use order_kit::{
    HandOver::{self, Channel, Join, Spin},
    LATEST, Pen, Scene, THREADS, alone,
    check::assert_in_order,
};
use support::dir::Dir;
use tracing::{Span, field, info, info_span};
use tracing_tasklog::writer::SharedQueue;

const SOON: Duration = Duration::from_secs(60);
/// Of a million hand-overs.
const DEEP: Duration = Duration::from_secs(900);

/// Room for a few lines: all threads wait for room again and again.
const TINY: usize = 2_048;
const LARGE: usize = 8 * 1024 * 1024;

/// Plays a scene into a queue with so much room, in a process of its own, and reads its log.
fn play(name: &str, limit: Duration, capacity: usize, scene: Scene) {
    alone(name, limit, || {
        let dir = Dir::new();
        let log = dir.path("tasks.log");
        let file =
            File::options().append(true).create(true).open(&log).expect("the folder is the test's own");
        let builder = SharedQueue::builder().capacity_bytes(capacity).stall_timeout(LATEST);
        let (queue, guard) = builder.spawn(file).expect("a thread can be made");
        scene.play(&[Pen::of(&queue)], || guard.flush(LATEST).expect("the file takes everything"));
        let report = guard.shutdown(LATEST);
        assert_eq!((report.dropped, report.pending), (0, 0), "{report:?}");
        let noise = assert_in_order(&log, scene.count);
        assert_eq!(report.written, scene.count + noise);
        assert!(noise >= scene.crowd as u64, "{noise} lines are no crowd");
        assert!(scene.noise == 0 || noise > scene.count / 10, "{noise} lines are no noise");
    });
}

fn scene(by: HandOver, count: u64) -> Scene {
    Scene::of(by, count)
}

#[test]
fn a_token_that_is_spun_for() {
    play("a_token_that_is_spun_for", SOON, LARGE, scene(Spin, 40_000));
}

#[test]
fn a_token_between_two_threads() {
    let scene = Scene { threads: 2, flushed: true, ..scene(Spin, 20_000) };
    play("a_token_between_two_threads", SOON, LARGE, scene);
}

#[test]
fn a_token_that_goes_by_channel() {
    play("a_token_that_goes_by_channel", SOON, LARGE, scene(Channel, 20_000));
}

#[test]
fn a_token_amid_noise() {
    let scene = Scene { noise: 2, ..scene(Spin, 20_000) };
    play("a_token_amid_noise", SOON, LARGE, scene);
}

#[test]
fn a_token_amid_noise_where_there_is_hardly_any_room() {
    let scene = Scene { noise: 2, ..scene(Channel, 5_000) };
    play("a_token_amid_noise_where_there_is_hardly_any_room", SOON, TINY, scene);
}

#[test]
fn a_token_where_there_is_hardly_any_room() {
    play("a_token_where_there_is_hardly_any_room", SOON, TINY, scene(Spin, 20_000));
}

#[test]
fn a_token_with_a_crowd_between_the_threads() {
    let scene = Scene { threads: 4, flushed: true, crowd: 1_000, ..scene(Spin, 50_000) };
    play("a_token_with_a_crowd_between_the_threads", SOON, LARGE, scene);
}

#[test]
fn a_token_of_threads_that_end_and_others_that_begin() {
    let scene = Scene { turns: 10, noise: 1, flushed: true, ..scene(Spin, 10_000) };
    play("a_token_of_threads_that_end_and_others_that_begin", SOON, LARGE, scene);
}

#[test]
fn a_token_that_goes_by_channel_to_threads_that_have_just_begun() {
    let scene = Scene { turns: 1, flushed: true, ..scene(Channel, 5_000) };
    play("a_token_that_goes_by_channel_to_threads_that_have_just_begun", SOON, LARGE, scene);
}

#[test]
fn a_token_that_only_the_end_of_a_thread_passes_on() {
    play("a_token_that_only_the_end_of_a_thread_passes_on", SOON, LARGE, scene(Join, 3_000));
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_that_is_spun_for() {
    play("deep_a_million_times_a_token_that_is_spun_for", DEEP, LARGE, scene(Spin, 1_000_000));
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_with_a_crowd_between_the_threads() {
    let scene = Scene { threads: 4, flushed: true, crowd: 2_000, ..scene(Spin, 1_000_000) };
    play("deep_a_million_times_a_token_with_a_crowd_between_the_threads", DEEP, LARGE, scene);
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_that_goes_by_channel() {
    play("deep_a_million_times_a_token_that_goes_by_channel", DEEP, LARGE, scene(Channel, 1_000_000));
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_amid_noise_of_threads_that_end() {
    let scene = Scene { noise: 2, turns: 100, ..scene(Spin, 1_000_000) };
    play("deep_a_million_times_a_token_amid_noise_of_threads_that_end", DEEP, LARGE, scene);
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_where_there_is_hardly_any_room() {
    play("deep_a_million_times_a_token_where_there_is_hardly_any_room", DEEP, TINY, scene(Spin, 1_000_000));
}

/// How many lines a task has before the next one begins.
const STEPS: u64 = 8;

/// A task that goes from thread to thread. Whoever logs its last line closes it, and begins the next.
fn pass_tasks_on(pen: &Pen, tasks: u64, receiver: &Receiver<(u64, Span)>, next: &SyncSender<(u64, Span)>) {
    while let Ok((number, mut span)) = receiver.recv() {
        pen.under(|| {
            if number.is_multiple_of(STEPS) {
                drop(std::mem::replace(&mut span, Span::none()));
                span = info_span!("hand_over", task.id = field::display(number / STEPS));
            }
            span.in_scope(|| info!("step {}", number % STEPS));
        });
        if number + 1 == tasks * STEPS {
            return pen.under(|| drop(span));
        }
        next.send((number + 1, span)).expect("the next thread waits");
    }
}

fn expected_of_task(task: u64) -> Vec<String> {
    let steps = (0..STEPS).map(|step| format!("step {step}"));
    let bodies = std::iter::once("-- RUNNING".to_owned()).chain(steps).chain(["-- SUCCESS".to_owned()]);
    bodies.map(|body| format!("[{task}] [hand_over] {body}")).collect()
}

/// The log of the tasks is known to the last line: RUNNING, the lines of all threads, SUCCESS, the next task.
fn play_tasks(name: &str, limit: Duration, tasks: u64) {
    alone(name, limit, || {
        let dir = Dir::new();
        let file = File::options().append(true).create(true).open(dir.path("tasks.log"));
        let (queue, guard) =
            SharedQueue::builder().spawn(file.expect("the folder is the test's own")).expect("a thread");
        let pen = Pen::of(&queue);
        thread::scope(|scope| {
            let (mut senders, receivers): (Vec<_>, Vec<_>) =
                (0..THREADS).map(|_| mpsc::sync_channel(1)).unzip();
            senders[0].send((0, Span::none())).expect("there is room");
            senders.rotate_left(1);
            for (receiver, next) in receivers.into_iter().zip(senders) {
                let pen = &pen;
                scope.spawn(move || pass_tasks_on(pen, tasks, &receiver, &next));
            }
        });
        drop(pen);
        assert_eq!(guard.shutdown(LATEST).dropped, 0);
        let lines = dir.lines("tasks.log");
        let mut expected = (0..tasks).flat_map(expected_of_task);
        for (at, line) in (1..).zip(&lines) {
            let (tag, body) = line.split_at(line.find("] 2").expect("a tag before a timestamp") + 2);
            let line = format!("{tag}{}", body.split_once(' ').expect("a timestamp").1);
            assert_eq!(Some(line), expected.next(), "line {at}");
        }
        assert_eq!(expected.next(), None, "lines are missing at the end");
    });
}

#[test]
fn the_lines_of_a_task_that_goes_from_thread_to_thread() {
    play_tasks("the_lines_of_a_task_that_goes_from_thread_to_thread", SOON, 2_000);
}

#[test]
#[ignore = "deep: a hundred thousand tasks"]
fn deep_the_lines_of_many_tasks_that_go_from_thread_to_thread() {
    play_tasks("deep_the_lines_of_many_tasks_that_go_from_thread_to_thread", DEEP, 100_000);
}
