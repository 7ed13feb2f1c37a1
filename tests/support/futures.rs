//! Futures that do what a test says, one poll at a time.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Polls a future once. Who wakes it is up to the test.
pub fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future that needs no waking until it is done.
pub fn finish<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    loop {
        if let Poll::Ready(output) = poll_once(&mut future) {
            return output;
        }
    }
}

/// Is pending once.
pub async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Polls a future once and drops it.
pub fn poll_and_drop<F: Future>(future: F) {
    let mut future = Box::pin(future);
    assert!(poll_once(&mut future).is_pending(), "it should not be done by now");
}
