//! What a queue can be told before it starts.

use std::{io, sync::Arc, thread, time::Duration};

use super::{
    Announce, Overflow, QueueGuard, Shared, SharedQueue,
    core::Mode,
    for_children::ForChildren,
    inner::{self, Options},
    outlet::Outlet,
    registry, run,
};
use crate::{Error, notice::Notice, sys, writer::handle::Handle};

/// Options of a [`SharedQueue`]; made by [`SharedQueue::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct SharedQueueBuilder {
    pub(super) options: Options,
}

impl SharedQueueBuilder {
    pub(super) fn new() -> Self {
        SharedQueueBuilder {
            options: Options {
                capacity: 8 * 1024 * 1024,
                overflow: Overflow::default(),
                stall_timeout: Duration::from_secs(5),
                announce: Announce::default(),
                notice: Notice::default(),
                #[cfg(all(feature = "multiprocess", unix))]
                any_file_system: false,
            },
        }
    }

    /// Sets how many bytes of lines may wait (default: 8 MiB).
    ///
    /// A single line that is larger passes alone, when the queue is empty. When the queue is full, lines of level ERROR have room
    /// for another 64 KiB. Lines about tasks (RUNNING and its like, retry separators) have that and 64 KiB more, which no line
    /// of level ERROR takes.
    pub fn capacity_bytes(mut self, bytes: usize) -> Self {
        self.options.capacity = bytes;
        self
    }

    /// Says what happens to a line when the queue is full (default: [`Overflow::Block`]).
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.options.overflow = overflow;
        self
    }

    /// Sets how long the sink may take nothing before it counts as stalled (default: 5 s).
    ///
    /// From then on lines for which there is no room are dropped at once and counted, whatever
    /// [`overflow`](Self::overflow) says, until the sink has taken something again: a stuck sink never hangs the program.
    /// One call of the sink that takes longer than this is a stall too: it is given up to 64 KiB at a time.
    pub fn stall_timeout(mut self, limit: Duration) -> Self {
        self.options.stall_timeout = limit;
        self
    }

    /// Says how the log itself tells of lines that were lost (default: [`Announce::Line`]).
    pub fn announce(mut self, announce: Announce) -> Self {
        self.options.announce = announce;
        self
    }

    /// Has `hook` called with each error that nobody who logs can be told (default: one line on stderr for each kind of
    /// trouble in 10 s).
    ///
    /// It is called on the thread that writes, as a rule, without any lock: it may log. Trouble that this makes in turn goes
    /// to stderr.
    pub fn on_error(mut self, hook: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.options.notice = Notice::hook(hook);
        self
    }

    /// Starts the thread that writes what is logged to `sink`.
    ///
    /// The sink may be a file, a socket, a [writer of this crate](crate::writer). It is touched by one thread at a time. It
    /// may fail, panic, be slow and log: see [`SharedQueue`].
    ///
    /// # Errors
    ///
    /// - [`capacity_bytes`](Self::capacity_bytes) is 0.
    /// - No thread can be made, or there is no memory for so many bytes.
    pub fn spawn(self, sink: impl io::Write + Send + 'static) -> Result<(SharedQueue, QueueGuard), Error> {
        self.check()?;
        sys::watch_forks();
        let for_children = ForChildren::of(&sink);
        let outlet = Box::new(Outlet::new(Box::new(sink)));
        let queue = Arc::new(inner::make(self.options, Mode::Threaded, outlet, for_children)?);
        let for_thread = Arc::clone(&queue);
        let builder = thread::Builder::new().name("tasklog-queue".to_owned());
        let ended = Arc::clone(&queue.ended);
        let write = move || {
            run::run(&for_thread);
            drop(for_thread);
            ended.tell();
        };
        let thread = sys::with_signals_blocked(|| builder.spawn(write))
            .map_err(|cause| Error::io_somewhere("start the thread of a queue", cause))?;
        queue.thread.get_or_init(|| thread.thread().clone());
        registry::register(&queue);
        Ok((SharedQueue(Handle::new(Shared::Here(Arc::clone(&queue)))), QueueGuard::new(queue)))
    }

    /// Lets [`connect`](Self::connect) use a directory on any file system (default: false).
    ///
    /// By default it refuses those where a log call could hang, on Linux, by name. On btrfs, ZFS, bcachefs, nilfs2, f2fs and
    /// UBIFS, which write each block to a new place, a log call that meets a full disk waits until space is freed. No signal
    /// ends that wait, SIGKILL neither; on some of them SIGBUS ends the process instead. `chattr +C` doesn't help. On network
    /// file systems and FUSE it waits for another machine or program. Insist only if the disk never fills up, or if a hanging
    /// log call is what you want. Of an overlay (overlayfs) only btrfs below it is found out.
    ///
    /// Only [`connect`](Self::connect) asks for it: a [`Collector`](super::Collector) reads what is there.
    #[cfg(all(feature = "multiprocess", unix))]
    pub fn any_file_system(mut self, allowed: bool) -> Self {
        self.options.any_file_system = allowed;
        self
    }

    /// Connects to the collector of a directory: lines go into a ring of this process, a mapped file in that directory.
    ///
    /// There need not be a collector yet. See [`SharedQueue::connect`] for all that this means. Of the options
    /// [`announce`](Self::announce) is the collector's. [`capacity_bytes`](Self::capacity_bytes) is the size of the ring, 4 KiB at least,
    /// 512 MiB at most: its blocks are allocated on the disk (of a tmpfs: in memory) from the beginning.
    ///
    /// # Errors
    ///
    /// - `capacity_bytes` is 0, or more than 512 MiB.
    /// - The directory can't be made, belongs to another user, or others may write to it.
    /// - The directory is on a file system where a log call could hang: see [`any_file_system`](Self::any_file_system).
    /// - There is no room for the ring, or it can't be mapped.
    #[cfg(all(feature = "multiprocess", unix))]
    pub fn connect(self, directory: impl AsRef<std::path::Path>) -> Result<SharedQueue, Error> {
        self.check()?;
        let queue = super::connected::Connected::open(self.options, directory.as_ref())?;
        Ok(SharedQueue(Handle::new(Shared::Connected(Box::new(queue)))))
    }

    fn check(&self) -> Result<(), Error> {
        if self.options.capacity == 0 {
            return Err(Error::invalid("capacity_bytes is 0: no line would ever have room, give at least 1"));
        }
        Ok(())
    }
}
