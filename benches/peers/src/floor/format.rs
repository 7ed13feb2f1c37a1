//! The formatter: from an event to its line, in one go.

use std::{
    cell::RefCell,
    fmt::{Debug, Write as _},
    io,
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    fmt::{format::Writer, time::FormatTime},
    layer::Context,
    registry::LookupSpan,
};
use tracing_tasklog::UtcSeconds;

use crate::line::Line;

/// Takes lines.
pub trait Sink: Send + Sync + 'static {
    fn take(&self, line: &[u8]);
}

/// The layer.
pub struct Floor<S> {
    sink: S,
}

impl<S: Sink> Floor<S> {
    pub fn new(sink: S) -> Self {
        Floor { sink }
    }
}

/// The sink that forgets.
impl Sink for io::Sink {
    fn take(&self, line: &[u8]) {
        std::hint::black_box(line);
    }
}

/// How many spans a thread can be in.
const DEPTH: usize = 64;

/// What a thread keeps. Nothing in it needs to be dropped: so the way to it is an address, without a question.
struct State {
    /// The spans that it is in, the innermost last.
    spans: [u64; DEPTH],
    depth: usize,
    /// The prefix of the lines of one of them.
    prefix: Line,
    prefix_of: u64,
    /// The last second, and its text.
    second: i64,
    stamp: [u8; 20],
    line: Line,
}

thread_local! {
    static STATE: RefCell<State> = const {
        RefCell::new(State {
            spans: [0; DEPTH],
            depth: 0,
            prefix: Line::NEW,
            prefix_of: 0,
            second: i64::MIN,
            stamp: [b' '; 20],
            line: Line::NEW,
        })
    };
}

/// In a task's span: the prefix of its lines.
struct Prefix(String);

impl<C: Subscriber + for<'s> LookupSpan<'s>, S: Sink> Layer<C> for Floor<S> {
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, C>) {
        let mut task = TaskId::default();
        attrs.record(&mut task);
        if let (Some(id), Some(span)) = (task.0, ctx.span(id)) {
            span.extensions_mut().insert(Prefix(format!("[{id}] [{}] ", attrs.metadata().name())));
        }
    }

    fn on_enter(&self, id: &Id, _: Context<'_, C>) {
        STATE.with_borrow_mut(|state| {
            state.spans[state.depth] = id.into_u64();
            state.depth += 1;
        });
    }

    fn on_exit(&self, _: &Id, _: Context<'_, C>) {
        STATE.with_borrow_mut(|state| state.depth -= 1);
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, C>) {
        STATE.with_borrow_mut(|state| {
            state.line.clear();
            state.push_prefix(event, &ctx);
            state.push_stamp();
            let from = state.line.len();
            event.record(&mut Text { line: &mut state.line, from });
            state.line.finish(from);
            self.sink.take(state.line.bytes());
        });
    }
}

impl State {
    #[inline(always)]
    fn push_prefix<C: Subscriber + for<'s> LookupSpan<'s>>(
        &mut self,
        event: &Event<'_>,
        ctx: &Context<'_, C>,
    ) {
        let Some(&span) = self.spans[..self.depth].last() else {
            let _ = write!(self.line, "[-] [{}] ", event.metadata().target());
            return;
        };
        if span != self.prefix_of {
            self.find_prefix(span, ctx);
        }
        self.line.push(self.prefix.bytes());
    }

    #[cold]
    fn find_prefix<C: Subscriber + for<'s> LookupSpan<'s>>(&mut self, id: u64, ctx: &Context<'_, C>) {
        self.prefix_of = id;
        self.prefix.clear();
        if let Some(span) = ctx.span(&Id::from_u64(id)) {
            let prefix = span.extensions();
            self.prefix.push(prefix.get::<Prefix>().map_or(b"[-] [-] ", |prefix| prefix.0.as_bytes()));
        }
    }

    #[inline(always)]
    fn push_stamp(&mut self) {
        let second = coarse_second();
        if second != self.second {
            self.render(second);
        }
        self.line.push_array(self.stamp);
    }

    #[cold]
    fn render(&mut self, second: i64) {
        let mut text = String::new();
        UtcSeconds.format_time(&mut Writer::new(&mut text)).expect("a string takes everything");
        self.second = second;
        self.stamp[..19].copy_from_slice(text.as_bytes());
    }
}

/// The second since 1970, as of the kernel's last tick.
#[inline(always)]
fn coarse_second() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes the time where it is told to, and that is there.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut time) };
    time.tv_sec
}

/// The text of an event: its message, and each field behind it.
struct Text<'a> {
    line: &'a mut Line,
    from: usize,
}

impl Text<'_> {
    #[inline(always)]
    fn key(&mut self, field: &Field) {
        if self.line.len() > self.from {
            self.line.push_array(*b" ");
        }
        self.line.push(field.name().as_bytes());
        self.line.push_array(*b"=");
    }
}

impl Visit for Text<'_> {
    #[inline]
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            self.key(field);
        }
        let _ = write!(self.line, "{value:?}"); // the line takes or cuts everything
    }

    #[inline]
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        self.line.push_quoted(value);
    }

    #[inline]
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        if value < 0 {
            self.line.push(b"-");
        }
        self.line.push_decimal(value.unsigned_abs());
    }

    #[inline]
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        self.line.push_decimal(value);
    }
}

/// The id of a task, if a span has one.
#[derive(Default)]
struct TaskId(Option<String>);

impl Visit for TaskId {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "task.id" {
            self.0 = Some(format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
