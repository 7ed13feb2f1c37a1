//! The part of one process: its threads take the token from other processes, and pass it on.

use std::{
    env,
    fs::{self, File},
    io::ErrorKind,
    os::unix::{fs::FileExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{connect, order_kit::Pen};
use crate::support::child::{role, say};

/// Threads of several processes, each with a slot of its own: slot 0 in process 0, slot 1 in process 1, and so on, round and round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    pub(super) processes: usize,
    pub(super) slots: usize,
    /// How often the token is passed on.
    pub(super) count: u64,
    pub(super) by: By,
    /// Threads of each process that log as fast as they can.
    pub(super) noise: usize,
    pub(super) capacity: usize,
}

/// How a process passes the token on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum By {
    /// The next thread is woken by a datagram.
    Socket,
    /// The next thread reads a file again and again, until it holds a number of its own.
    File,
}

impl Relay {
    /// As the environment of a child has it.
    pub(super) fn to_text(self) -> String {
        let Relay { processes, slots, count, by, noise, capacity } = self;
        format!("{processes} {slots} {count} {} {noise} {capacity}", u8::from(by == By::File))
    }

    fn of_text(text: &str) -> Self {
        let numbers: Vec<usize> = text.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [processes, slots, count, by, noise, capacity] = numbers[..] else { panic!("{text:?}") };
        let by = if by == 1 { By::File } else { By::Socket };
        Relay { processes, slots, count: count as u64, by, noise, capacity }
    }
}

fn socket_of(place: &Path, slot: usize) -> PathBuf {
    place.join(format!("slot-{slot}"))
}

/// Where the token is, if it goes by file.
fn token_file(place: &Path) -> PathBuf {
    place.join("token")
}

/// Makes what the processes need before they start.
pub(super) fn prepare(place: &Path) {
    fs::write(token_file(place), u64::MAX.to_le_bytes()).expect("the folder is the test's own");
}

/// Gives the token to the first one.
pub(super) fn begin(relay: Relay, place: &Path) {
    match relay.by {
        By::Socket => send(&UnixDatagram::unbound().expect("a socket"), &socket_of(place, 0), 0),
        By::File => {
            let file = File::options().write(true).open(token_file(place)).expect("it is there");
            file.write_all_at(&0_u64.to_le_bytes(), 0).expect("it can be written");
        }
    }
}

fn send(socket: &UnixDatagram, to: &Path, number: u64) {
    loop {
        match socket.send_to(&number.to_le_bytes(), to) {
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("pass {number} on to {}: {error}", to.display()),
        }
    }
}

/// What the threads of this process share.
struct Team {
    relay: Relay,
    place: PathBuf,
    pen: Pen,
    /// The next number, for those who make noise. It hands nothing over.
    reached: AtomicU64,
}

impl Team {
    fn log(&self, number: u64) {
        if number < self.relay.count {
            self.pen.token(number);
        }
        self.reached.store(number + 1, Ordering::Relaxed);
    }

    /// Behind the last number the token goes round once more, so that all threads end.
    fn pass_by_socket(&self, slot: usize, socket: &UnixDatagram) {
        let next = socket_of(&self.place, (slot + 1) % self.relay.slots);
        loop {
            let mut bytes = [0; 8];
            let length = socket.recv(&mut bytes).expect("the socket is this thread's own");
            assert_eq!(length, bytes.len());
            let number = u64::from_le_bytes(bytes);
            self.log(number);
            if number + 1 < self.relay.count + self.relay.slots as u64 {
                send(socket, &next, number + 1);
            }
            if number >= self.relay.count {
                return;
            }
        }
    }

    fn pass_by_file(&self, slot: usize) {
        let file = File::options().read(true).write(true).open(token_file(&self.place)).expect("it is there");
        for tries in 1_u64.. {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, 0).expect("it holds a number");
            let number = u64::from_le_bytes(bytes);
            if number != u64::MAX && number >= self.relay.count {
                return self.reached.store(number, Ordering::Relaxed);
            }
            if number % self.relay.slots as u64 == slot as u64 && number != u64::MAX {
                self.log(number);
                file.write_all_at(&(number + 1).to_le_bytes(), 0).expect("it can be written");
            } else if tries.is_multiple_of(20) {
                thread::yield_now();
            }
        }
    }

    /// Logs while the token goes round, and not more lines than that has.
    fn make_noise(&self, thread: usize) {
        let mut number = 0;
        loop {
            let reached = self.reached.load(Ordering::Relaxed);
            if reached >= self.relay.count {
                return;
            }
            if number < reached + 100 {
                self.pen.noise(thread, number);
                number += 1;
            } else {
                thread::yield_now();
            }
        }
    }
}

/// A process of a relay.
#[test]
fn child_passes_the_token_on() {
    if !role("relay::child_passes_the_token_on") {
        return;
    }
    let variable = |name| env::var(name).expect("the parent says so");
    let (place, relay) = (PathBuf::from(variable("PLACE")), Relay::of_text(&variable("RELAY")));
    let process: usize = variable("PROCESS").parse().expect("a number");
    let queue = connect(place.join("q"), relay.capacity);
    let team = Team { relay, pen: Pen::of(&queue), place, reached: AtomicU64::new(0) };
    thread::scope(|scope| {
        let team = &team;
        for slot in (process..relay.slots).step_by(relay.processes) {
            let socket = UnixDatagram::bind(socket_of(&team.place, slot)).expect("the slot is its own");
            scope.spawn(move || match relay.by {
                By::Socket => team.pass_by_socket(slot, &socket),
                By::File => team.pass_by_file(slot),
            });
        }
        say("ready");
        (0..relay.noise).for_each(|n| {
            scope.spawn(move || team.make_noise(process + n * relay.processes));
        });
    });
    assert_eq!(queue.stats().dropped_lines, 0);
}
