//! What a task has been through, and what its closing line will say: plain data, one transition each.
//!
//! | what happens | what follows |
//! |---|---|
//! | the first line is about to be written | the task has begun |
//! | a retry | every failure before it is forgotten: an error, `failed`, a panic |
//! | `task.status`, `try_*`, `#[instrument(err)]` | the last that is said counts |
//! | a panic inside the task's span | wins over what was said |
//! | the helper's future is dropped before it is done | counts if nothing was said |
//! | the closing line | is written once, for a task that has begun, by the process in which it began |

use std::time::{Duration, Instant};

use crate::line::Status;

/// The state of one task as one layer sees it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// When the task began, and in which process ([`sys::forks`](crate::sys::forks)); `None` before its first line.
    begun: Option<(Instant, u64)>,
    /// Whether the closing line is out (or was left out by a level).
    closed: bool,
    /// A retry that was recorded before the task began, to be written right after RUNNING.
    first_retry: Option<u32>,
    /// The last retry that was noted while no layer was there to write its separator.
    deferred: Option<u32>,
    /// The last status that was said, and the error that came with it.
    said: Option<(Status, Option<String>)>,
    /// Whether a panic left the task's own span since the last retry.
    panicked: bool,
    /// Whether the helper's future was dropped before it was done.
    dropped: bool,
}

/// What the closing line says.
#[derive(Debug, PartialEq)]
pub(crate) struct Closing {
    pub(crate) status: Status,
    pub(crate) elapsed: Duration,
    /// Only with FAILED.
    pub(crate) error: Option<String>,
}

impl State {
    /// Returns the state of a task that was made with a retry or a status among its span's fields.
    pub(crate) fn new(first_retry: Option<u32>, status: Option<Status>) -> Self {
        State { first_retry, said: status.map(|status| (status, None)), ..State::default() }
    }

    /// Begins the task. Returns the retry that belongs right after RUNNING.
    pub(crate) fn begin(&mut self, now: Instant, process: u64) -> Option<u32> {
        self.begun = Some((now, process));
        self.first_retry.take()
    }

    /// Notes a retry whose separator has to wait for another layer.
    pub(crate) fn defer(&mut self, number: u32) {
        self.forget_failure();
        self.deferred = Some(number);
    }

    /// Returns the retry that was deferred.
    pub(crate) fn take_deferred(&mut self) -> Option<u32> {
        self.deferred.take()
    }

    /// Notes a retry. Returns whether the task has begun, so that its separator is to be written now.
    pub(crate) fn retry(&mut self, number: u32) -> bool {
        self.forget_failure();
        if self.begun.is_none() {
            self.first_retry = Some(number);
        }
        self.begun.is_some()
    }

    fn forget_failure(&mut self) {
        self.panicked = false;
        if matches!(self.said, Some((Status::Failed, _))) {
            self.said = None;
        }
    }

    /// Notes what was said of the task's end. A bare `failed` keeps the error that is known.
    pub(crate) fn say(&mut self, status: Status, error: Option<String>) {
        let known = match self.said.take() {
            Some((Status::Failed, known)) if status == Status::Failed => known,
            _ => None,
        };
        self.said = Some((status, error.or(known)));
    }

    /// Notes that a panic left the task's own span.
    pub(crate) fn panicked(&mut self) {
        self.panicked = true;
    }

    /// Notes that the helper's future was dropped before it was done.
    pub(crate) fn dropped(&mut self) {
        self.dropped = true;
    }

    /// Closes the task, with `forced` or with what follows from its state. `None` if it never began or is closed, or if
    /// this is a fork of the process in which it began.
    pub(crate) fn close(&mut self, now: Instant, process: u64, forced: Option<Status>) -> Option<Closing> {
        let (begun, begun_in) = self.begun?;
        if std::mem::replace(&mut self.closed, true) || process != begun_in {
            return None;
        }
        let status = forced.unwrap_or_else(|| self.status());
        let error = match self.said.take() {
            Some((Status::Failed, error)) if status == Status::Failed => error,
            _ => None,
        };
        Some(Closing { status, elapsed: now.saturating_duration_since(begun), error })
    }

    fn status(&self) -> Status {
        match &self.said {
            _ if self.panicked => Status::Failed,
            Some((status, _)) => *status,
            None if self.dropped => Status::Interrupted,
            None => Status::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `steps` on a task that has begun, and returns status and error of its closing line.
    fn closing(steps: impl FnOnce(&mut State)) -> (Status, Option<String>) {
        let mut state = State::default();
        assert_eq!(state.begin(Instant::now(), 7), None);
        steps(&mut state);
        let closing = state.close(Instant::now(), 7, None).expect("it has begun");
        assert_eq!(state.close(Instant::now(), 7, None), None, "at most one closing line");
        (closing.status, closing.error)
    }

    #[test]
    fn nothing_said_is_success() {
        assert_eq!(closing(|_| ()), (Status::Success, None));
    }

    #[test]
    fn the_last_that_is_said_counts() {
        let error = Some("no route".to_owned());
        assert_eq!(closing(|s| s.say(Status::Failed, error.clone())), (Status::Failed, error.clone()));
        let healed = closing(|s| {
            s.say(Status::Failed, error.clone());
            s.say(Status::Success, None);
        });
        assert_eq!(healed, (Status::Success, None));
        let bare = closing(|s| {
            s.say(Status::Failed, error.clone());
            s.say(Status::Failed, None);
        });
        assert_eq!(bare, (Status::Failed, error));
    }

    #[test]
    fn a_panic_wins_and_a_dropped_future_comes_last() {
        let panic = closing(|s| {
            s.panicked();
            s.say(Status::Success, None);
        });
        assert_eq!(panic.0, Status::Failed);
        assert_eq!(closing(State::dropped).0, Status::Interrupted);
        let said = closing(|s| {
            s.say(Status::Success, None);
            s.dropped();
        });
        assert_eq!(said.0, Status::Success);
    }

    #[test]
    fn a_retry_forgets_failures_and_nothing_else() {
        let retried = closing(|s| {
            s.say(Status::Failed, Some("first".to_owned()));
            s.panicked();
            assert!(s.retry(1));
        });
        assert_eq!(retried, (Status::Success, None));
        let interrupted = closing(|s| {
            s.say(Status::Interrupted, None);
            s.retry(1);
        });
        assert_eq!(interrupted.0, Status::Interrupted);
    }

    #[test]
    fn a_retry_before_the_task_began_waits_for_it() {
        let mut state = State::default();
        assert!(!state.retry(3));
        assert_eq!(state.begin(Instant::now(), 7), Some(3));
    }

    #[test]
    fn a_task_that_never_began_leaves_nothing() {
        assert_eq!(State::default().close(Instant::now(), 7, Some(Status::Interrupted)), None);
    }

    #[test]
    fn a_fork_leaves_the_closing_line_to_its_parent() {
        let mut state = State::default();
        state.begin(Instant::now(), 7);
        assert_eq!(state.close(Instant::now(), 8, Some(Status::Interrupted)), None);
    }
}
