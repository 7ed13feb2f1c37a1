//! `Collector`: the one process that writes what all workers of a queue log.

mod batch;
mod builder;
mod guard;
mod home;
mod lock;
mod part;
mod registry;
mod rings;
mod run;
mod shared;

use std::path::Path;

pub use self::{
    builder::{CollectorBuilder, Running},
    guard::CollectorGuard,
};

/// Writes what the processes of a queue log, as the only one, to one sink.
///
/// Each worker connects to the queue's directory (`SharedQueue::connect`, or `queue:DIRECTORY` in a
/// [`TaskWriter`](crate::writer::TaskWriter)) and has a *ring* there: a file of its own, mapped into its memory. A log call copies
/// its line into the ring and returns. The bytes are the kernel's then: kill the worker as you like, they are there. The collector
/// reads all rings and hands the lines, up to 64 KiB at once, to the sink, which is any [`io::Write`](std::io::Write): one of the
/// [writers of this crate](crate::writer), a file, a socket. No worker ever has the log file open.
///
/// It finds workers by itself, before and after they begin to log, and removes the ring of one that is gone when nothing is left in it.
/// A line is written within 50 ms, one of level ERROR at once. While nothing is logged its thread wakes up twice a second. It
/// ends with its [`CollectorGuard`].
///
/// ```
/// use std::time::Duration;
/// use tracing_subscriber::prelude::*;
/// use tracing_tasklog::{
///     TaskLayer,
///     writer::{Collector, InstanceFile, SharedQueue},
/// };
///
/// # let dir = tempfile::tempdir()?;
/// # std::env::set_current_dir(&dir)?;
/// let file = InstanceFile::builder("logs/tasks.log").build()?;
/// let collector = Collector::builder("run/q").spawn(file.clone())?;
///
/// // In each worker. It may be this process too:
/// let queue = SharedQueue::connect("run/q")?;
/// tracing_subscriber::registry().with(TaskLayer::new(queue)).init();
/// tracing::info!("hello");
///
/// collector.flush(Duration::from_secs(5))?; // what any process has logged so far is written
/// assert_eq!(file.stats().written_lines, 1);
///
/// let report = collector.shutdown(Duration::from_secs(5)); // or drop the guard
/// assert_eq!((report.written, report.dropped, report.pending), (1, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Where it runs
///
/// | | |
/// |---|---|
/// | in the parent of the workers | the parent starts it before them, waits for them, and drops the guard last. If it logs itself, it connects like a worker: it never deadlocks on its own collector. (Its own ring stays behind, empty, and is removed at the next start) |
/// | as a service of its own | a small program with a `Collector` that is started again when it ends. Workers come and go, before it too. Let a new one [wait](Running::Wait) for the old one. (An `InstanceFile` is refused as long as the old process has it: try to build it again until [`Error::is_in_use`](crate::Error::is_in_use) is false) |
/// | as a sidecar | the same in a container of its own, with the directory as a shared volume. The same user on both sides, and the same kernel. Namespaces of process ids don't matter: whether a worker lives is told by the lock on its ring. Give each worker a name, `$TASKLOG_INSTANCE`: it may be process 1, as all others |
///
/// Start it after daemonizing: its thread isn't in children made by fork(2), and ends with the process that has started it.
///
/// A queue has one collector at a time: a second one is refused ([`Error::is_in_use`](crate::Error::is_in_use)), or waits. That is a lock on
/// `collector.lock` and on the directory itself (flock(2)). Reading the file does no harm. When it is removed the collector makes it
/// anew within half a second; while another process has it locked the collector writes nothing, and calls the error hook once. A
/// child made by fork(2) doesn't keep the lock, one made by a bare clone(2) does, until it ends or calls exec(2).
///
/// # The directory
///
/// It is made with mode 0700, and the rings with 0600. One that others may write to, or that belongs to another user, is refused. It
/// has to be the queue's alone.
///
/// - Put it on a tmpfs: `/run/app/q`. A local disk with ext4 or XFS does too. Not below `/tmp`, where cleaners remove old files.
/// - Not on a file system that writes each block to a new place (btrfs, ZFS, bcachefs, nilfs2, f2fs, UBIFS): on a full one a log call
///   hangs until space is freed, or SIGBUS ends the worker. Not on FUSE or a network file system: a log call would wait for another
///   program or machine, and two machines don't see one memory. On Linux a worker refuses them, unless it
///   [insists](crate::writer::SharedQueueBuilder::any_file_system).
/// - `/dev/shm` is a tmpfs too. But systemd removes what a login user has there when the last session ends, rings too: `RemoveIPC=`
///   in logind.conf(5). It spares system users, and users with `loginctl enable-linger`. A service has a better place: with
///   `RuntimeDirectory=app` systemd makes `/run/app` for its user.
/// - With `RuntimeDirectory=` systemd removes it when the service stops, and what is in the rings with it: set
///   `RuntimeDirectoryPreserve=yes`. Docker gives a container 64 MiB of `/dev/shm` unless it is told otherwise (`--shm-size`).
/// - A ring takes 8 MiB, the [`capacity_bytes`](crate::writer::SharedQueueBuilder::capacity_bytes) of the worker, and 196 KiB more.
///   They are allocated at once, so that a full disk is an error when the worker connects, and no surprise later.
/// - The ring of a worker that is gone stays until a collector has written what is in it: while there is none, every start of a worker
///   adds one.
/// - Leave the rings alone. When one is removed or moved elsewhere, or the whole directory, a worker that lives makes another, with
///   what it had in the old one, as soon as it notices; the lines of a worker that is gone are gone then. Renamed or linked within the
///   directory, as `*.ring`, a ring is read as the one ring that it is. One that is truncated kills its worker (SIGBUS). What isn't a
///   sound ring is left as it is, told of once, and not read.
/// - There may be more rings than the collector can have files open (RLIMIT_NOFILE): they have their turns.
///
/// # Without a collector
///
/// A worker doesn't notice. It fills its ring; then its `Overflow` decides, as with any queue: by default a log call waits
/// until there was no progress for 5 s ([`stall_timeout`](crate::writer::SharedQueueBuilder::stall_timeout)), and from then on lines for
/// which there is no room are dropped and counted, until a collector has taken something. A collector that is stopped
/// (SIGSTOP), or whose sink hangs, is the same. The next one writes what is in the rings, and says about where they would be
/// how many lines are not: `[-] [tracing_tasklog] 2026-01-01T12:00:00 152 lines dropped reason="queue stalled" worker="4242"` (or
/// `"queue full"`, if `Overflow` doesn't wait that long), behind those that did find room. (The
/// worker is `$TASKLOG_INSTANCE` or else the process id; in the first case the line has that as well, as `pid`.)
///
/// # What survives what
///
/// | | lines whose log call has returned |
/// |---|---|
/// | a worker returns from `main`, panics, exits, aborts, is killed by SIGKILL or the OOM killer | all are written, in the order of each thread, and none twice |
/// | fork(2) in a worker | the child has a ring of its own, from its first line on |
/// | the collector's process returns from `main` or exits | all that were there are written, as long as the sink takes them; what comes later is for the next collector |
/// | the collector is killed, or aborts | all are written by the next one. Those that were on their way into the sink (as a rule 64 KiB at most) may be there twice |
/// | the machine loses its power | those that the kernel had written to the disk. What was in rings on a tmpfs is gone |
///
/// A fragment that a killed collector leaves in an [`InstanceFile`](crate::writer::InstanceFile) is closed with CAN LF, and the whole
/// line comes behind it. The open tasks of a killed worker have no closing line.
///
/// # Order
///
/// Lines of one thread keep their order. Between processes there is none: of a task that goes from one to another
/// ([`TaskContext`](crate::TaskContext)) a later line may come before an earlier one. Timestamps are taken by the log call.
///
/// # When the sink fails
///
/// As of `SharedQueue`: it is tried again, or lines are lost, counted ([`CollectorGuard::drops`]), told and announced. What the
/// thread itself logs (the sink, an error hook) waits for nothing.
#[derive(Debug)]
pub struct Collector(());

impl Collector {
    /// Returns a builder with every option at its default, for the queue of a directory.
    pub fn builder(directory: impl AsRef<Path>) -> CollectorBuilder {
        CollectorBuilder::new(directory.as_ref())
    }
}
