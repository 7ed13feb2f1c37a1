//! The way of an event: find the tag, make the line, hand it over.

use std::{fmt::Write as _, process, sync::Arc};

use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::{
    fmt::{MakeWriter, time::FormatTime},
    layer::Context,
    registry::LookupSpan,
};

use super::TaskLayer;
use crate::{
    current,
    handoff::{self, Offer},
    line::{Draft, NO_TASK, Status},
    sink::{Options, Sink, buffer},
    task::{Entry, Task, epoch, innermost_task, task_of},
    visit::{EventText, SpanFields},
};

impl<W, T> TaskLayer<W, T>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    T: FormatTime + Send + Sync + 'static,
{
    /// Returns what this layer keeps of a task.
    pub(super) fn entry(&self, task: &Task) -> Arc<Entry> {
        task.entry(&self.mark, || Arc::clone(&self.output) as Arc<dyn Sink>)
    }

    /// Returns a buffer with the prefix of the task that the event is in, begun; with nothing outside any task.
    ///
    /// Most events are in the place in which the last one of their thread was. Returns the task's entry too where
    /// the line will need more of it than the prefix.
    pub(super) fn tagged<S>(
        &self,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) -> (Box<Draft>, Option<Arc<Entry>>)
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let needs_entry = self.output.options.span_fields;
        let is_contextual = event.is_contextual();
        let (mut draft, is_known) = recalled((is_contextual && !needs_entry).then_some(self.mark.id()));
        if is_known {
            return (draft, None);
        }
        let epoch = epoch();
        let (span, task) = match ctx.event_span(event) {
            Some(span) => (span.id().into_u64(), innermost_task(&span)),
            None => (0, None),
        };
        let entry = task.map(|task| self.entry(&task));
        let prefix = draft.prefix();
        if let Some(entry) = &entry {
            entry.begin();
            prefix.push(entry.prefix());
        }
        if is_contextual {
            current::remember(self.mark.id(), span, epoch, None, prefix.bytes());
        }
        (draft, entry.filter(|_| needs_entry))
    }

    /// Notes the failure that `#[instrument(err)]` on the task's own span tells: an event on that very span, from the
    /// same place in the source, with nothing but the error.
    pub(super) fn note_err<S>(&self, event: &Event<'_>, ctx: &Context<'_, S>)
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let Some(task) = ctx.event_span(event).as_ref().and_then(task_of) else { return };
        let (own, meta) = (task.identity().meta(), event.metadata());
        if (own.file(), own.line()) == (meta.file(), meta.line()) {
            let error = SpanFields::of(|visitor| event.record(visitor)).pop().map(|(_, text)| text);
            self.entry(&task).say(Status::Failed, error);
        }
    }

    /// Makes the line of an event, whose prefix is there, and hands it over.
    #[inline]
    pub(super) fn write_event(
        &self,
        event: &Event<'_>,
        meta: &Metadata<'_>,
        draft: &mut Draft,
        entry: Option<&Entry>,
    ) {
        let _in_event = handoff::begin_event();
        if !self.output.has_our_timer() {
            self.output.push_stamp(draft);
        }
        let before = compose(event, meta, draft, self.output.has_our_timer(), &self.output.options, entry);
        self.output.hand_over(meta, draft.bytes(), before);
    }
}

// What is the same for every writer and timer is in functions that are compiled once, in this crate: what lies in a thread's
// own memory is found without a detour there.

/// Returns a buffer, with what the thread remembers of the place it is in, if anything, for a layer with this number.
fn recalled(layer: Option<u64>) -> (Box<Draft>, bool) {
    let mut draft = buffer::take();
    let is_known = layer.is_some_and(|layer| current::recall(layer, draft.prefix()));
    (draft, is_known)
}

/// Makes the line of an event, whose prefix is there, and its timestamp too if the timer is not ours, and offers it. Returns
/// what was offered before.
fn compose(
    event: &Event<'_>,
    meta: &Metadata<'_>,
    draft: &mut Draft,
    has_our_timer: bool,
    options: &Options,
    entry: Option<&Entry>,
) -> Offer {
    let has_target = options.target && draft.id() != NO_TASK.as_bytes();
    if has_our_timer {
        draft.our_stamp();
    }
    if options.level {
        draft.level(*meta.level());
    }
    if has_target {
        draft.target(meta.target());
    }
    let (text, start) = draft.text();
    EventText::push(text, start, |visitor| event.record(visitor));
    if let Some(entry) = entry {
        entry.push_fields(text, start);
    }
    if options.process {
        let space = if text.len() > start { " " } else { "" };
        // The buffer takes everything: the result can't be an error.
        let _ = write!(text, "{space}pid={}", process::id());
    }
    let cut = draft.finish(options.max_line);
    handoff::offer(draft.bytes(), cut > 0)
}

/// Returns what a record of the `log` crate was before it became an event.
#[cfg(feature = "tracing-log")]
#[inline]
pub(super) fn log_metadata<'e>(event: &'e Event<'_>) -> Option<Metadata<'e>> {
    use tracing_log::NormalizeEvent as _;

    // All such events share one target. The comparison spares all others a look at their callsite.
    if event.metadata().target() == "log" { event.normalized_metadata() } else { None }
}
