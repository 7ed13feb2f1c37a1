//! The bare queue: a buffer that callers append to, and one that a thread writes, which change places.

use std::{
    io::Write,
    mem,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::Sink;

/// The most bytes that wait. Who has more waits too.
const BOUND: usize = 1024 * 1024;
/// The writer that lingers is woken for so many.
const HALF: usize = BOUND / 2;
/// A write of so many bytes costs next to nothing a line: for as many the writer goes on at once.
const PIECE: usize = 64 * 1024;
/// How long the writer waits for more: each time that nothing came twice as long, and then until it is woken.
const LINGER: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];

#[derive(PartialEq)]
enum Writer {
    Works,
    Lingers,
    Sleeps,
}

struct Lines {
    bytes: Vec<u8>,
    writer: Writer,
    /// Callers that wait for room.
    waiting: usize,
    is_over: bool,
}

struct Shared {
    lines: Mutex<Lines>,
    work: Condvar,
    room: Condvar,
}

/// The end that callers have.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

/// Completes the file when it is dropped.
pub struct Guard(Queue, Option<JoinHandle<()>>);

const NO_PANIC: &str = "nobody panics with it";

/// Starts the thread that writes.
pub fn spawn(mut file: impl Write + Send + 'static) -> (Queue, Guard) {
    let lines = Lines { bytes: buffer(), writer: Writer::Works, waiting: 0, is_over: false };
    let queue =
        Queue(Arc::new(Shared { lines: Mutex::new(lines), work: Condvar::new(), room: Condvar::new() }));
    let writer = queue.clone();
    let thread = thread::spawn(move || writer.write(&mut file));
    (queue.clone(), Guard(queue, Some(thread)))
}

/// A buffer whose pages are in use already: the first lines would pay for that.
fn buffer() -> Vec<u8> {
    let mut bytes = vec![b' '; BOUND];
    bytes.clear();
    bytes
}

impl Sink for Queue {
    #[inline]
    fn take(&self, line: &[u8]) {
        let mut lines = self.0.lines.lock().expect(NO_PANIC);
        while lines.bytes.len() + line.len() > BOUND {
            lines.waiting += 1;
            lines = self.0.room.wait(lines).expect(NO_PANIC);
            lines.waiting -= 1;
        }
        lines.bytes.extend_from_slice(line);
        let wakes = match lines.writer {
            Writer::Works => false,
            Writer::Lingers => lines.bytes.len() >= HALF,
            Writer::Sleeps => true,
        };
        if wakes {
            lines.writer = Writer::Works; // once
            drop(lines);
            self.0.work.notify_one();
        }
    }
}

impl Queue {
    fn write(&self, file: &mut impl Write) {
        let mut bytes = buffer();
        let mut linger = LINGER[0];
        let mut lines = self.0.lines.lock().expect(NO_PANIC);
        loop {
            if lines.bytes.len() < PIECE && !lines.is_over {
                if linger <= LINGER[1] {
                    lines.writer = Writer::Lingers;
                    lines = self.0.work.wait_timeout(lines, linger).expect(NO_PANIC).0;
                } else {
                    lines.writer = Writer::Sleeps;
                    lines = self.0.work.wait(lines).expect(NO_PANIC);
                }
                lines.writer = Writer::Works;
            }
            if lines.bytes.is_empty() {
                if lines.is_over {
                    return;
                }
                linger *= 2;
                continue;
            }
            linger = LINGER[0];
            mem::swap(&mut lines.bytes, &mut bytes);
            if lines.waiting > 0 {
                self.0.room.notify_all();
            }
            drop(lines);
            file.write_all(&bytes).expect("the file takes everything");
            bytes.clear();
            lines = self.0.lines.lock().expect(NO_PANIC);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.lines.lock().expect(NO_PANIC).is_over = true;
        self.0.0.work.notify_one();
        let ended = self.1.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the writer's thread panicked");
    }
}
