//! The callbacks of the layer: each finds the task in question and passes the rest on.

use std::{
    sync::{Arc, Weak},
    thread,
};

use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    fmt::{MakeWriter, time::FormatTime},
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{TaskLayer, unwinding};
use crate::{
    current,
    line::{NO_TASK, push_prefix},
    sink::buffer,
    task::{Task, TaskExtension, epoch, task_of, with_extension},
    visit::{Reserved, SpanFields, declares_task, is_err_shaped},
};

impl<S, W, T> Layer<S> for TaskLayer<W, T>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    T: FormatTime + Send + Sync + 'static,
{
    /// tracing-subscriber registers all callsites anew when a layer is put somewhere by a reload.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        current::put_elsewhere();
        Interest::always()
    }

    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if !declares_task(attrs.metadata()) {
            return;
        }
        let Some(span) = ctx.span(id) else { return };
        let task = task_of(&span).unwrap_or_else(|| {
            let mut reserved = Reserved::default();
            attrs.record(&mut reserved); // user code: nothing of the span is borrowed
            let task = Task::new(attrs.metadata(), reserved);
            span.extensions_mut().replace(TaskExtension::new(&task));
            task
        });
        let entry = self.entry(&task);
        if self.output.options.span_fields {
            entry.set_fields(SpanFields::of(|visitor| attrs.record(visitor)));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(task) = ctx.span(id).as_ref().and_then(task_of) else { return };
        let mut reserved = Reserved::default();
        values.record(&mut reserved); // user code: nothing of the span is borrowed
        let (retry, status, has_id) = (reserved.retry, reserved.status, reserved.id.is_some());
        task.identity().identify(reserved);
        let entry = self.entry(&task);
        if self.output.options.span_fields {
            entry.set_fields(SpanFields::of(|visitor| values.record(visitor)));
        }
        if has_id && task.identity().was_entered() {
            entry.begin();
        }
        if let Some(number) = retry {
            entry.retry(number);
        }
        if let Some(status) = status {
            entry.say(status, None);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let meta = event.metadata();
        if is_err_shaped(meta) {
            self.note_err(event, &ctx); // before the level: a failure counts even where its line is left out
        }
        if *meta.level() > self.output.options.min_level {
            return;
        }
        #[cfg(feature = "tracing-log")]
        let normalized = super::event::log_metadata(event);
        #[cfg(feature = "tracing-log")]
        let meta = normalized.as_ref().unwrap_or(meta);

        let (mut draft, entry) = self.tagged(event, &ctx);
        let prefix = draft.prefix();
        if !prefix.is_empty() || self.output.options.untagged {
            if prefix.is_empty() {
                push_prefix(prefix, NO_TASK, meta.target());
            }
            draft.end_prefix();
            self.write_event(event, meta, &mut draft, entry.as_deref());
        }
        buffer::give_back(draft);
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        if thread::panicking() {
            unwinding::entered(self.mark.id(), id);
        }
        let (layer, number) = (self.mark.id(), id.into_u64());
        // It isn't if it was in it already: then the registry goes on in the span that was entered last.
        let is_in = || ctx.current_span().id() == Some(id);
        if current::is_back(layer, number, &is_in) {
            return;
        }
        let Some(span) = ctx.span(id) else { return current::moved(layer) };
        if !declares_task(span.metadata()) {
            let is_parent = |place: &u64| span.parent().map_or(0, |parent| parent.id().into_u64()) == *place;
            return match current::place(layer).filter(is_parent).filter(|_| is_in()) {
                Some(place) => current::stayed(layer, place, number),
                None => current::moved(layer),
            };
        }
        self.entered_task(span, id, &is_in);
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        current::moved(self.mark.id());
        let panicking = thread::panicking();
        if !unwinding::exited(self.mark.id(), id) && panicking {
            // A panic that began inside the span leaves it: only exits of the task's own span count.
            if let Some(task) = ctx.span(id).as_ref().and_then(task_of) {
                self.entry(&task).panicked();
            }
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        if let Some(task) = ctx.span(&id).as_ref().and_then(task_of) {
            self.entry(&task).close(None);
        }
    }
}

impl<W, T> TaskLayer<W, T>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    T: FormatTime + Send + Sync + 'static,
{
    /// Begins the task whose span was entered, and remembers its tag if the thread `is_in` the span.
    fn entered_task<S>(&self, span: SpanRef<'_, S>, id: &Id, is_in: &dyn Fn() -> bool)
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let layer = self.mark.id();
        current::moved(layer);
        let epoch = epoch();
        let remember = |is_in: bool, token: Weak<()>, prefix: &[u8]| {
            if is_in {
                current::remember(layer, id.into_u64(), epoch, Some(token), prefix);
            }
        };
        let is_in_now = is_in();
        let still_to_begin = with_extension(&span, |extension| {
            let task = &extension.task;
            task.identity().set_entered();
            let is_done = !task.identity().is_task()
                || task.has_begun(&self.mark, |prefix| remember(is_in_now, extension.token(), prefix));
            (!is_done).then(|| (Arc::clone(task), extension.token()))
        });
        drop(span);
        if let Some((task, token)) = still_to_begin.flatten() {
            self.entry(&task).begin(); // user code: it may enter spans
            let is_in_still = is_in();
            task.has_begun(&self.mark, |prefix| remember(is_in_still, token, prefix));
        }
    }
}
