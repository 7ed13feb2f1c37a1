//! Running a future in a task, so that its end can be told apart: done, failed, panicked, dropped.

use std::{
    fmt::{self, Display},
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tracing::Span;

use super::span::say_failed;
use crate::task::task_of_handle;

/// Runs futures in a task's span.
///
/// Unlike [`Instrument::instrument`](tracing::Instrument::instrument) it knows how the future ended: one that is
/// dropped before it is done leaves its task INTERRUPTED. (`instrument` enters the span to drop the future, which
/// looks like one more poll: a task that was cancelled so reads SUCCESS.)
pub trait TaskFutureExt: Future + Sized {
    /// Runs the future in `span`. The task ends when the future is done, if this is the span's last handle.
    ///
    /// A future that is dropped before it is done makes the task INTERRUPTED, one that panics FAILED. The output
    /// is not looked at: an `Err` reads SUCCESS. Use [`try_in_task`](TaskFutureExt::try_in_task) for that.
    ///
    /// The future is dropped inside the span as soon as it is done, so that what its destructors log has the tag.
    /// One that was never polled leaves nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tracing_tasklog::{TaskFutureExt, task_span};
    ///
    /// async { tracing::info!("Connecting") }.in_task(task_span!("send_email", "abc12345")).await;
    /// # }
    /// ```
    fn in_task(self, span: Span) -> InTask<Self> {
        InTask { inner: Some(self), span, judge: |_, _| (), stage: Stage::Unpolled }
    }

    /// Runs the future in `span`, like [`in_task`](TaskFutureExt::in_task); `Err` makes the task FAILED, `Ok` says
    /// nothing about it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tracing_tasklog::{TaskFutureExt, task_span};
    ///
    /// let sent = async { Err::<(), _>("no route to host") }.try_in_task(task_span!("send_email", "abc12345")).await;
    /// assert!(sent.is_err()); // -- FAILED
    /// # }
    /// ```
    fn try_in_task<R, E: Display>(self, span: Span) -> InTask<Self>
    where
        Self: Future<Output = Result<R, E>>,
    {
        fn judge<R, E: Display>(span: &Span, output: &Result<R, E>) {
            if let Err(error) = output {
                say_failed(span, error);
            }
        }
        InTask { inner: Some(self), span, judge, stage: Stage::Unpolled }
    }
}

impl<F: Future> TaskFutureExt for F {}

/// How far the future has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unpolled,
    /// Between two polls.
    Pending,
    /// In a poll; found later, it means that the poll panicked.
    Polling,
    Done,
}

pin_project! {
    /// A future in a task: what [`in_task`](TaskFutureExt::in_task) and
    /// [`try_in_task`](TaskFutureExt::try_in_task) return.
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct InTask<F: Future> {
        // `None` as soon as the future is done.
        #[pin]
        inner: Option<F>,
        // Disabled as soon as the future is done.
        span: Span,
        judge: fn(&Span, &F::Output),
        stage: Stage,
    }

    impl<F: Future> PinnedDrop for InTask<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if matches!(this.stage, Stage::Unpolled | Stage::Pending) {
                note_dropped(this.span);
            }
            if matches!(this.stage, Stage::Pending | Stage::Polling) {
                this.span.in_scope(|| this.inner.set(None));
            }
        }
    }
}

impl<F: Future> Future for InTask<F> {
    type Output = F::Output;

    /// # Panics
    ///
    /// If it is polled again after it was done, as futures do.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            panic!("a future in a task was polled after it was done");
        };
        let entered = this.span.enter();
        *this.stage = Stage::Polling;
        let Poll::Ready(output) = inner.poll(cx) else {
            *this.stage = Stage::Pending;
            return Poll::Pending;
        };
        *this.stage = Stage::Done;
        (this.judge)(this.span, &output);
        this.inner.set(None);
        drop(entered);
        drop(mem::replace(this.span, Span::none()));
        Poll::Ready(output)
    }
}

impl<F: Future> fmt::Debug for InTask<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTask").field("span", &self.span).field("stage", &self.stage).finish_non_exhaustive()
    }
}

fn note_dropped(span: &Span) {
    if let Some(task) = task_of_handle(span) {
        task.for_each_entry(|entry| entry.dropped());
    }
}
