//! The floor: what a line costs at least, under the same work and with the same promises to the reader of the file.
//!
//! A straight-line formatter and a bare queue of batches, written by hand for nothing but this. They make the very lines of a
//! `TaskLayer` with its defaults, and lose none. A product can't stand here; the floor lacks, among others:
//!
//! - in the formatter: tasks that are found through spans inside of them, ids that are recorded later, explicit parents, spans
//!   that are left in another order than they were entered, an id that is used again, several layers, filters, levels,
//!   options, lifecycle, lines above 4 KiB, a text that poses as a lifecycle line, values that log or panic;
//! - in the queue: counters, errors of the sink (it panics), flush, another policy than to wait, forks, signals, the end of the
//!   process without the guard, lines that are logged by whoever writes.

mod format;
mod line;
mod queue;

use std::{any::Any, fs::File};

use tracing::Dispatch;
use tracing_subscriber::{Registry, prelude::*};

pub use self::{
    format::{Floor, Sink},
    queue::{Guard, Queue, spawn},
};

/// Starts formatter and queue before a file, which is complete when what is returned beside the subscriber was dropped.
pub fn start(file: File) -> (Dispatch, Box<dyn Any>) {
    let (queue, guard) = spawn(file);
    (Dispatch::new(Registry::default().with(Floor::new(queue))), Box::new(guard))
}

#[cfg(test)]
mod tests {
    use std::{
        fs, io,
        sync::{Arc, Mutex},
        thread,
    };

    use tracing::dispatcher;
    use tracing_tasklog::{TaskLayer, task_span};

    use super::*;

    /// Keeps the lines.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Sink for Kept {
        fn take(&self, line: &[u8]) {
            self.0.lock().expect("nobody panics with it").extend_from_slice(line);
        }
    }

    impl io::Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.take(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() {
        let _entered = task_span!("send_email", "abc12345").entered();
        tracing::info!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
        tracing::info!(long = "x".repeat(300), number = -123_456, small = 7_u8, "two\nlines of the märz\t");
        tracing::warn!(quotes = "\"\\", is = true, error = ?Some(1));
    }

    #[test]
    fn its_lines_are_those_of_the_layer() {
        let (floor, ours) = (Kept::default(), Kept::default());
        let writer = ours.clone();
        let both = Registry::default().with(Floor::new(floor.clone()));
        let both = both.with(TaskLayer::new(move || writer.clone()));
        tracing::subscriber::with_default(both, log);
        let text = |kept: Kept| String::from_utf8(kept.0.lock().expect("nobody panics with it").clone());
        let (floor, ours) = (text(floor).expect("UTF-8"), text(ours).expect("UTF-8"));
        let stamp = "[abc12345] [send_email] ".len(); // the second may change between the two
        let parts = |line: &str| (line[..stamp].to_owned(), line[stamp + 19..].to_owned());
        assert_eq!(floor.lines().map(parts).collect::<Vec<_>>(), ours.lines().map(parts).collect::<Vec<_>>());
    }

    #[test]
    fn every_line_is_in_the_file_whole_and_in_order() {
        const LINES: usize = 50_000;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("tasks.log");
        let (subscriber, guard) = start(File::create(&path).expect("a file can be made"));
        thread::scope(|scope| {
            for thread in 0..4 {
                let subscriber = &subscriber;
                scope.spawn(move || {
                    dispatcher::with_default(subscriber, || {
                        let _entered = task_span!("send_email", thread).entered();
                        (0..LINES).for_each(|n| tracing::info!(n, "Connecting"));
                    });
                });
            }
        });
        drop(guard);
        let mut next = [0; 4];
        for line in fs::read_to_string(path).expect("it is there").lines() {
            let thread: usize = line[1..2].parse().expect("the number of a thread");
            assert!(line.ends_with(&format!(" Connecting n={}", next[thread])), "{line}");
            next[thread] += 1;
        }
        assert_eq!(next, [LINES; 4]);
    }
}
