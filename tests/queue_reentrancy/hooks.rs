//! Hooks that log: the queue's error hook, and the panic hook while the queue's thread panics.

use std::{io, panic};

use super::{LINES, Loud, Story, assert_story, log_inner, log_line, tiny};
use crate::support::child::role;

#[test]
fn child_error_hook_logs() {
    if !role("hooks::child_error_hook_logs") {
        return;
    }
    // One failure doesn't cost a line: it is told and tried again.
    let write = |call, _: &[u8]| if call % 50 == 0 { Err(io::Error::other("as told")) } else { Ok(()) };
    let builder = tiny().on_error(|_| log_inner());
    let story = Story::begin(builder, Loud::new(write, |_| {}));
    story.produce(LINES, log_line);
    story.end(2 * LINES);
}

#[test]
fn an_error_hook_that_logs() {
    let left = assert_story("hooks::child_error_hook_logs");
    assert!(left.inner >= 10, "{}", left.output);
}

#[test]
fn child_panic_hook_logs() {
    if !role("hooks::child_panic_hook_logs") {
        return;
    }
    // A panic with several lines doesn't cost one: each is tried alone.
    let write = |call, bytes: &[u8]| {
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        assert!(call % 10 > 0 || lines < 2, "as told");
        Ok(())
    };
    panic::set_hook(Box::new(|_| log_inner()));
    let builder = tiny().on_error(|_| log_inner());
    let story = Story::begin(builder, Loud::new(write, |_| {}));
    story.guard.flush_on_panic();
    story.produce(LINES, log_line);
    story.end(2 * LINES);
}

#[test]
fn a_panic_hook_that_logs_while_the_queue_panics() {
    let left = assert_story("hooks::child_panic_hook_logs");
    assert!(left.inner >= 10, "{}", left.output);
}
