//! The ways of a line from a worker into the file.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use tracing::Dispatch;
use tracing_subscriber::{Registry, fmt::MakeWriter, prelude::*};
use tracing_tasklog::{
    TaskLayer,
    writer::{Collector, SharedQueue},
};

/// A way.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// It gets one event of so many, because it takes longer. The figures are for an event.
    pub(crate) one_of: u64,
    /// Nothing comes into the file.
    pub(crate) is_null: bool,
    pub(crate) how: How,
}

pub(crate) enum How {
    /// What the layer writes to in a worker, and what receives it where the file is written.
    Layer { open: fn(&Place) -> io::Result<Dispatch>, receive: fn(&Place) -> io::Result<Finish> },
    /// A program in Python does it all.
    Python,
}

/// Completes the file, when all workers have logged all they have.
pub(crate) type Finish = Box<dyn FnOnce() -> io::Result<()>>;

pub(crate) const RING: usize = 0;
pub(crate) const APPEND: usize = 1;
pub(crate) const CASES: [Case; 5] = [
    Case {
        name: "ring",
        what: "SharedQueue::connect, Collector",
        one_of: 1,
        is_null: false,
        how: How::Layer { open: ring, receive: collect },
    },
    Case {
        name: "append",
        what: "Arc<File>, O_APPEND, one write(2) a line",
        one_of: 1,
        is_null: false,
        how: How::Layer { open: append, receive: nobody },
    },
    Case {
        name: "datagram",
        what: "Unix datagram socket, a thread with a BufWriter",
        one_of: 4,
        is_null: false,
        how: How::Layer { open: datagram, receive: receive_datagrams },
    },
    Case {
        name: "python",
        what: "QueueHandler, multiprocessing.Queue, QueueListener",
        one_of: 40,
        is_null: false,
        how: How::Python,
    },
    Case {
        name: "null",
        what: "io::sink, what the layer alone costs",
        one_of: 1,
        is_null: true,
        how: How::Layer { open: null, receive: nobody },
    },
];

/// Where a run has its files.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) rings: PathBuf,
}

impl Place {
    pub(crate) fn new(folder: impl AsRef<Path>, rings: impl AsRef<Path>) -> Self {
        Place { folder: folder.as_ref().to_owned(), rings: rings.as_ref().to_owned() }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("tasks.log")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn open_log(&self) -> io::Result<File> {
        fs::OpenOptions::new().append(true).create(true).open(self.log())
    }
}

/// How long the file may take to be complete: a broken queue fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(60);

fn dispatch(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> Dispatch {
    Dispatch::new(Registry::default().with(TaskLayer::new(writer)))
}

fn ring(place: &Place) -> io::Result<Dispatch> {
    SharedQueue::connect(&place.rings).map(dispatch).map_err(io::Error::other)
}

fn collect(place: &Place) -> io::Result<Finish> {
    let collector = Collector::builder(&place.rings).spawn(place.open_log()?).map_err(io::Error::other)?;
    Ok(Box::new(move || {
        let flushed = collector.flush(LIMIT);
        flushed.map_err(io::Error::other)
    }))
}

fn append(place: &Place) -> io::Result<Dispatch> {
    Ok(dispatch(Arc::new(place.open_log()?)))
}

fn nobody(_: &Place) -> io::Result<Finish> {
    Ok(Box::new(|| Ok(())))
}

fn null(_: &Place) -> io::Result<Dispatch> {
    Ok(dispatch(io::sink))
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

fn datagram(place: &Place) -> io::Result<Dispatch> {
    Ok(dispatch(Datagrams(connect_to(place)?)))
}

fn receive_datagrams(place: &Place) -> io::Result<Finish> {
    let socket = UnixDatagram::bind(place.socket())?;
    let end = connect_to(place)?;
    let mut file = BufWriter::with_capacity(64 * 1024, place.open_log()?);
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
