//! The way of a layer's lines to its writer: what every line has in common once its task is known.

use std::{
    any::TypeId,
    cell::Cell,
    fmt,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::{Level, Metadata, field::FieldSet, level_filters::LevelFilter};
use tracing_subscriber::fmt::{MakeWriter, format::Writer, time::FormatTime};

use crate::{
    clock::UtcSeconds,
    error::{Trouble, report},
    handoff::{self, Offer},
    line::{Draft, IdFormat, Outcome, Status},
    task::{Entry, OpenTasks},
};

/// What a `TaskLayer` can be told.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) lifecycle: bool,
    pub(crate) outcome: bool,
    pub(crate) min_level: LevelFilter,
    pub(crate) level: bool,
    pub(crate) target: bool,
    pub(crate) process: bool,
    pub(crate) span_fields: bool,
    pub(crate) untagged: bool,
    pub(crate) id_format: IdFormat,
    pub(crate) max_line: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            lifecycle: false,
            outcome: false,
            min_level: LevelFilter::INFO,
            level: false,
            target: false,
            process: false,
            span_fields: false,
            untagged: true,
            id_format: IdFormat::Short,
            max_line: 1024 * 1024,
        }
    }
}

/// Who has taken lines of a layer: hints for the exit hook, each set once.
#[derive(Debug, Default)]
pub(crate) struct Takers {
    ours: AtomicBool,
    others: AtomicBool,
}

impl Takers {
    /// Notes that a line was written, and whether a writer of this crate has taken it.
    #[inline]
    fn note(&self, is_ours: bool) {
        let takers = if is_ours { &self.ours } else { &self.others };
        if !takers.load(Ordering::Relaxed) {
            takers.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether a writer of this crate may be behind the layer: before the first line nobody knows.
    fn may_be_ours(&self) -> bool {
        self.ours.load(Ordering::Relaxed) || !self.others.load(Ordering::Relaxed)
    }
}

/// A layer's writer, seen from its tasks: they don't know its type.
pub(crate) trait Sink: fmt::Debug + Send + Sync {
    fn options(&self) -> &Options;
    fn open_tasks(&self) -> &Arc<OpenTasks>;
    /// Returns whether a line of this layer was ever taken by a writer of this crate, or none was ever written.
    fn has_our_writer(&self) -> bool;
    /// Writes a lifecycle line, if its level is let through.
    fn write_lifecycle(&self, entry: &Entry, status: Status, outcome: &Outcome<'_>);
    /// Writes a retry separator.
    fn write_retry(&self, entry: &Entry, number: u32);
}

/// Writer, timer and options of a layer, and the tasks that are open in it.
///
/// Each event reads them and each new task counts the references: those are not to share a cache line.
#[repr(align(128))]
pub(crate) struct Output<W, T> {
    pub(crate) writer: Arc<W>,
    pub(crate) timer: Arc<T>,
    pub(crate) options: Options,
    pub(crate) open_tasks: Arc<OpenTasks>,
    pub(crate) takers: Takers,
}

impl<W, T> fmt::Debug for Output<W, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<W, T> Output<W, T>
where
    W: for<'w> MakeWriter<'w>,
    T: FormatTime + 'static,
{
    /// Whether the timer is the default one, which can be asked without detour. That saves 90 instructions.
    #[inline]
    pub(crate) fn has_our_timer(&self) -> bool {
        TypeId::of::<T>() == TypeId::of::<UtcSeconds>()
    }

    /// Appends the timestamp. A timer that fails or panics leaves none.
    pub(crate) fn push_stamp(&self, draft: &mut Draft) {
        if self.has_our_timer() {
            return draft.our_stamp();
        }
        let stamp = draft.stamp();
        let start = stamp.len();
        let format = || self.timer.format_time(&mut Writer::new(stamp));
        if !matches!(catch_unwind(AssertUnwindSafe(format)), Ok(Ok(()))) {
            draft.stamp().truncate(start);
            report(Trouble::Panic, format_args!("the timer failed: lines have no timestamp"));
        }
        draft.end_stamp();
    }

    /// Hands a line over to the writer, whole, in one call. It was offered; `before` was before.
    pub(crate) fn hand_over(&self, meta: &Metadata<'_>, bytes: &[u8], before: Offer) {
        let write = || self.writer.make_writer_for(meta).write_all(bytes);
        match catch_unwind(AssertUnwindSafe(write)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                report(Trouble::Write, format_args!("a line was lost: the writer said: {error}"))
            }
            Err(_) => report(Trouble::Panic, format_args!("a line may be lost: the writer panicked")),
        }
        self.takers.note(handoff::settle(before));
    }

    /// Writes a line about a task with a buffer of the thread: `compose` makes it and returns how much was cut.
    fn write_about(&self, entry: &Entry, level: Level, compose: impl FnOnce(&mut Draft) -> usize) {
        let meta = with_level(entry.identity().meta(), level);
        let mut draft = buffer::take();
        draft.prefix().push(entry.prefix());
        draft.end_prefix();
        let cut = compose(&mut draft);
        self.hand_over(&meta, draft.bytes(), handoff::offer(draft.bytes(), cut > 0));
        buffer::give_back(draft);
    }
}

impl<W, T> Sink for Output<W, T>
where
    W: for<'w> MakeWriter<'w> + Send + Sync,
    T: FormatTime + Send + Sync + 'static,
{
    fn options(&self) -> &Options {
        &self.options
    }

    fn open_tasks(&self) -> &Arc<OpenTasks> {
        &self.open_tasks
    }

    fn has_our_writer(&self) -> bool {
        self.takers.may_be_ours()
    }

    fn write_lifecycle(&self, entry: &Entry, status: Status, outcome: &Outcome<'_>) {
        if status.level() > self.options.min_level {
            return;
        }
        let outcome = if self.options.outcome { *outcome } else { Outcome::default() };
        self.write_about(entry, status.level(), |draft| {
            self.push_stamp(draft);
            draft.finish_lifecycle(status, &outcome, self.options.max_line)
        });
    }

    fn write_retry(&self, entry: &Entry, number: u32) {
        self.write_about(entry, Level::INFO, |draft| {
            draft.finish_retry(number);
            0
        });
    }
}

/// The metadata of a task's span with another level: what `make_writer_for` is asked with.
fn with_level(meta: &'static Metadata<'static>, level: Level) -> Metadata<'static> {
    Metadata::new(
        meta.name(),
        meta.target(),
        level,
        meta.file(),
        meta.line(),
        meta.module_path(),
        FieldSet::new(&[], meta.callsite()),
        tracing::metadata::Kind::SPAN,
    )
}

/// The buffer in which a thread makes its lines. It is taken out, never borrowed, so that a line can be made while
/// another is: a value, timer or writer may log, and so may a signal handler, between any two instructions.
pub(crate) mod buffer {
    use std::sync::atomic::{AtomicU32, Ordering, compiler_fence};

    use super::{Cell, Draft};

    thread_local! {
        static BUFFER: Cell<Option<Box<Draft>>> = const { Cell::new(None) };
        /// How many lines this thread is making, within each other. The first of them has the buffer. Atomic for the
        /// signal handlers of this very thread; without a destructor.
        static LINES: AtomicU32 = const { AtomicU32::new(0) };
    }

    /// Returns a buffer: the thread's own, or a new one if that is in use or gone.
    #[inline]
    pub(crate) fn take() -> Box<Draft> {
        let lines = LINES.with(|lines| lines.load(Ordering::Relaxed));
        LINES.with(|count| count.store(lines + 1, Ordering::Relaxed));
        compiler_fence(Ordering::SeqCst);
        let own = if lines == 0 { BUFFER.try_with(Cell::take).ok().flatten() } else { None };
        own.unwrap_or_else(new)
    }

    #[cold]
    fn new() -> Box<Draft> {
        Box::new(Draft::new())
    }

    /// Keeps the thread's own buffer for its next line.
    pub(crate) fn give_back(mut draft: Box<Draft>) {
        draft.clear();
        let lines = LINES.with(|lines| lines.load(Ordering::Relaxed)).saturating_sub(1);
        if lines == 0 {
            // While the thread ends there is no place for it any more.
            let _ = BUFFER.try_with(|kept| kept.set(Some(draft)));
        }
        compiler_fence(Ordering::SeqCst);
        LINES.with(|count| count.store(lines, Ordering::Relaxed));
    }
}
