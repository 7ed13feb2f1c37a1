//! What a layer writes, caught in memory, and runs of code under a layer of its own.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{Dispatch, Level, Metadata, dispatcher};
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_tasklog::TaskLayer;

/// One call of `write`, and what `make_writer_for` was asked with for it.
#[derive(Clone, Debug)]
pub struct Written {
    /// `None` if `make_writer` was asked.
    pub level: Option<Level>,
    pub target: String,
    pub name: String,
    pub text: String,
}

/// A `MakeWriter` that remembers every write. Clones share what they remember.
#[derive(Clone, Debug, Default)]
pub struct Capture(Arc<Mutex<Vec<Written>>>);

impl Capture {
    /// Every write so far.
    pub fn writes(&self) -> Vec<Written> {
        self.locked().clone()
    }

    /// Every line so far without LF and timestamp: `[a] [t] -- RUNNING`. Panics unless each write is
    /// one whole line, with a timestamp unless it is a separator.
    pub fn lines(&self) -> Vec<String> {
        self.locked().iter().map(|write| unstamped(&write.text)).collect()
    }

    /// The lines with the level that `make_writer_for` was asked with: `INFO [a] [t] -- RUNNING`.
    pub fn leveled_lines(&self) -> Vec<String> {
        let level = |write: &Written| write.level.map_or("?".to_owned(), |level| level.to_string());
        self.locked().iter().map(|write| format!("{} {}", level(write), unstamped(&write.text))).collect()
    }

    /// How many handles there are, this one included.
    pub fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Written>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pen(&self, meta: Option<&Metadata<'_>>) -> Pen {
        let (level, target, name) =
            meta.map_or((None, "", ""), |meta| (Some(*meta.level()), meta.target(), meta.name()));
        Pen {
            capture: self.clone(),
            asked: Written { level, target: target.to_owned(), name: name.to_owned(), text: String::new() },
        }
    }
}

impl<'a> MakeWriter<'a> for Capture {
    type Writer = Pen;

    fn make_writer(&'a self) -> Pen {
        self.pen(None)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Pen {
        self.pen(Some(meta))
    }
}

/// What [`Capture`] hands out for one line.
#[derive(Debug)]
pub struct Pen {
    capture: Capture,
    asked: Written,
}

impl io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("a line is UTF-8");
        self.capture.locked().push(Written { text, ..self.asked.clone() });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line without its LF and its timestamp; panics when either is not where it belongs.
pub fn unstamped(write: &str) -> String {
    let line = write.strip_suffix('\n').unwrap_or_else(|| panic!("no LF: {write:?}"));
    assert!(!line.contains('\n'), "more than one line: {write:?}");
    let body = line.match_indices("] ").nth(1).map(|(at, _)| at + 2);
    let (tag, body) = line.split_at(body.unwrap_or_else(|| panic!("no tag: {line:?}")));
    if body.starts_with("--- Retry ") {
        return line.to_owned();
    }
    let stamp = body.get(..20).unwrap_or_else(|| panic!("no timestamp: {line:?}"));
    let form = stamp.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(form, "0000-00-00T00:00:00 ", "no timestamp: {line:?}");
    format!("{tag}{}", &body[20..])
}

/// A layer that writes into `capture`, with lifecycle.
pub fn layer(capture: &Capture) -> TaskLayer<Capture> {
    TaskLayer::new(capture.clone()).with_lifecycle(true)
}

/// What a layer with lifecycle writes while `f` runs under it.
pub fn lines_of(f: impl FnOnce()) -> Vec<String> {
    lines_with(|layer| layer, f)
}

/// The span of task `a`, named `t`, whose status can be recorded.
pub fn task() -> tracing::Span {
    tracing::info_span!("t", task.id = "a", task.status = tracing::field::Empty)
}

/// What a layer with lifecycle writes while `f` runs under it, the lines of task `a` without their tag.
pub fn bodies_of(f: impl FnOnce()) -> Vec<String> {
    let body = |line: String| line.strip_prefix("[a] [t] ").map_or(line.clone(), str::to_owned);
    lines_of(f).into_iter().map(body).collect()
}

/// What a layer without lifecycle writes while `f` runs under it.
pub fn plain_lines_of(f: impl FnOnce()) -> Vec<String> {
    lines_with(|layer| layer.with_lifecycle(false), f)
}

/// What a layer with lifecycle and `options` writes while `f` runs under it.
pub fn lines_with<L: Layer<Registry> + Send + Sync>(
    options: impl FnOnce(TaskLayer<Capture>) -> L,
    f: impl FnOnce(),
) -> Vec<String> {
    let capture = Capture::default();
    under(options(layer(&capture)), f);
    capture.lines()
}

/// Runs `f` under a registry with this layer.
pub fn under<L: Layer<Registry> + Send + Sync, R>(layer: L, f: impl FnOnce() -> R) -> R {
    dispatcher::with_default(&Dispatch::new(Registry::default().with(layer)), f)
}

/// The dispatcher of this thread, for other threads: `with_default` counts only for one thread.
pub fn here() -> Dispatch {
    dispatcher::get_default(Dispatch::clone)
}

/// Runs `f` on another thread, under this thread's dispatcher, and waits for its end.
pub fn on_another_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let dispatch = here();
    let run = || dispatcher::with_default(&dispatch, f);
    let result = std::thread::scope(|scope| scope.spawn(run).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
