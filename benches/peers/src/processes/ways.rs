//! The ways of a line from a worker into the file.

use std::{
    io::{self, BufWriter, Write},
    os::unix::net::UnixDatagram,
    sync::Arc,
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;
use tracing_tasklog::writer::{Collector, SharedQueue};

use super::Place;
use crate::{
    candidates::{Candidate, How, append_to, install_layer},
    lines::Form,
};

/// How lines come into the file.
pub(crate) struct Way {
    /// Has the layer of a worker write to it.
    pub(super) open: fn(&Place) -> io::Result<()>,
    /// Receives them where the file is written.
    pub(super) receive: fn(&Place) -> io::Result<Finish>,
}

/// Has the file completed, when all workers have logged all they have.
type Finish = Box<dyn FnOnce() -> io::Result<()>>;

const LINE: Form = Form(
    "[worker-#] [send_email] ####-##-##T##:##:## Connecting to SMTP server host=\"smtp.example.com\" number=*",
);

pub(crate) const RING: &str = "ring";
pub(crate) const APPEND: &str = "append";
pub(crate) const PYTHON: &str = "python_mp_queue";
pub(crate) const NULL: &str = "null";
pub(crate) const ALL: [Candidate; 5] = [
    Candidate {
        name: RING,
        what: "TaskLayer, SharedQueue::connect, Collector",
        line: Some(LINE),
        one_of: 1,
        how: How::Processes(Way { open: ring, receive: collect }),
    },
    Candidate {
        name: APPEND,
        what: "TaskLayer, O_APPEND, one write(2) a line",
        line: Some(LINE),
        one_of: 1,
        how: How::Processes(Way { open: append, receive: nobody }),
    },
    Candidate {
        name: "datagram",
        what: "TaskLayer, a Unix datagram a line, a thread with a BufWriter",
        line: Some(LINE),
        one_of: 4,
        how: How::Processes(Way { open: datagram, receive: receive_datagrams }),
    },
    Candidate {
        name: PYTHON,
        what: "Python: QueueHandler, multiprocessing.Queue, QueueListener, FileHandler",
        line: Some(LINE),
        one_of: 40,
        how: How::Python(include_str!("../python/processes.py")),
    },
    Candidate {
        name: NULL,
        what: "TaskLayer, io::sink: what the layer alone costs",
        line: None,
        one_of: 1,
        how: How::Processes(Way { open: null, receive: nobody }),
    },
];

/// How long the file may take to be complete: a broken queue fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(60);

fn ring(place: &Place) -> io::Result<()> {
    install_layer(SharedQueue::connect(&place.rings).map_err(io::Error::other)?)
}

fn collect(place: &Place) -> io::Result<Finish> {
    let collector = Collector::builder(&place.rings).spawn(append_to(&place.log)?);
    let collector = collector.map_err(io::Error::other)?;
    Ok(Box::new(move || {
        let flushed = collector.flush(LIMIT);
        flushed.map_err(io::Error::other)
    }))
}

fn append(place: &Place) -> io::Result<()> {
    install_layer(Arc::new(append_to(&place.log)?))
}

fn nobody(_: &Place) -> io::Result<Finish> {
    Ok(Box::new(|| Ok(())))
}

fn null(_: &Place) -> io::Result<()> {
    install_layer(io::sink)
}

/// Sends each line as a datagram, and waits while the socket is full.
struct Datagrams(UnixDatagram);

impl<'a> MakeWriter<'a> for Datagrams {
    type Writer = Sender<'a>;

    fn make_writer(&'a self) -> Sender<'a> {
        Sender(&self.0)
    }
}

struct Sender<'a>(&'a UnixDatagram);

impl Write for Sender<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.send(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect_to(place: &Place) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(place.socket())?;
    Ok(socket)
}

fn datagram(place: &Place) -> io::Result<()> {
    install_layer(Datagrams(connect_to(place)?))
}

fn receive_datagrams(place: &Place) -> io::Result<Finish> {
    let socket = UnixDatagram::bind(place.socket())?;
    let end = connect_to(place)?;
    let mut file = BufWriter::with_capacity(64 * 1024, append_to(&place.log)?);
    let receiver = thread::spawn(move || {
        let mut line = vec![0; 64 * 1024];
        loop {
            match socket.recv(&mut line)? {
                0 => return file.flush(),
                len => file.write_all(&line[..len])?,
            }
        }
    });
    Ok(Box::new(move || {
        end.send(&[])?; // behind all lines, as a socket keeps the order
        receiver.join().expect("it doesn't panic")
    }))
}
