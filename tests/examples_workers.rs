//! The example of a queue for many processes, by the very command that its documentation has: what it prints is what is in its
//! log.
#![cfg(all(unix, feature = "multiprocess"))]

mod support;

use std::fs;

use support::{
    dir::Dir,
    example::output_of,
    verify::{Expect, LogFamily, TaskLines},
};

/// The last numbers of a row of the printed tables.
fn row<const N: usize>(output: &str, name: &str) -> [u64; N] {
    let row = output.lines().find(|line| line.trim_start().starts_with(name));
    let words = row.unwrap_or_else(|| panic!("no {name} in\n{output}")).split_whitespace().rev();
    let mut numbers: Vec<_> = words.map_while(|word| word.parse().ok()).take(N).collect();
    numbers.reverse();
    numbers.try_into().unwrap_or_else(|_| panic!("no {N} numbers in the row {name} of\n{output}"))
}

/// The numbers of the mails that a worker's tasks tell of, in the log's order.
fn mails(tasks: &[&TaskLines]) -> Vec<u64> {
    let lines = tasks.iter().flat_map(|task| &task.lines);
    let numbers = lines.filter_map(|line| line.split_once(" Sent number="));
    numbers.map(|(_, number)| number.parse().expect("it is a number")).collect()
}

#[test]
fn the_verifier_agrees_about_what_a_killed_worker_and_the_others_left() {
    let temp = Dir::new();
    let output = output_of("workers", temp.root());
    let live = output.split('\'').find(|part| part.ends_with("/tasks.log")).expect("the path is printed");

    // Whole lines with a tag, nothing torn, nothing announced as lost.
    let family = LogFamily::of(live);
    family.verify(&Expect::new().other_lines()).assert_clean();
    let lines = family.lines();
    assert!(!lines.iter().any(|line| line.starts_with("[-]")), "{output}");
    assert_eq!(row(&output, "lines"), [lines.len() as u64; 2]);
    assert_eq!(row(&output, "files"), [family.paths().len() as u64; 2]);

    let tasks = family.tasks();
    for (number, end, count) in
        [(1, "SIGKILL", None), (2, "process::exit", Some(2500)), (3, "main", Some(5000))]
    {
        let prefix = format!("w{number}-");
        let of_worker: Vec<_> = tasks.all().iter().filter(|task| task.id.starts_with(&prefix)).collect();
        let [printed, returned, found] = row(&output, &number.to_string());
        assert!(output.lines().any(|line| line.starts_with(&number.to_string()) && line.contains(end)));
        assert_eq!(printed, of_worker.len() as u64, "worker {number}\n{output}");
        assert_eq!(mails(&of_worker), (1..=found).collect::<Vec<_>>(), "worker {number}: once, and in order");
        assert!(found == returned || (number == 1 && found == returned + 1), "worker {number}\n{output}");

        let (_, others) = of_worker.split_last().expect("it has worked");
        let whole = if count.is_some() { &of_worker } else { others };
        assert!(whole.iter().all(|task| task.faults().is_empty()), "worker {number}");
        if let Some(count) = count {
            assert_eq!(of_worker.len(), count, "worker {number}");
        }
        for (task, nth) in of_worker.iter().zip(1..) {
            assert_eq!(task.id, format!("{prefix}{nth}"));
            let leaves = number == 2 && nth == 2500;
            let expected = if leaves {
                "INTERRUPTED"
            } else if nth % 10 == 0 {
                "FAILED"
            } else {
                "SUCCESS"
            };
            assert!(task.closing.is_empty() || task.status() == Some(expected), "{task:?}");
        }
    }
    // Each process's lines are in order; a worker's may be read before the parent's first, as there is no order between rings.
    let mut campaign = tasks.only("c1").clone();
    let told = campaign.lines.len();
    campaign.lines.retain(|line| !line.contains(" Worker is there "));
    assert_eq!((campaign.faults(), campaign.lines.len(), told), (vec![], 3, 7), "{campaign:?}");
    let queue = fs::read_dir(live.replace("tasks.log", "queue")).expect("it is there");
    let names: Vec<_> = queue.flatten().map(|entry| entry.file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().ends_with(".ring")), "{names:?}");
}
