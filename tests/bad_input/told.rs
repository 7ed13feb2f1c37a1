//! Errors, hooks and stderr quote what others wrote: nothing of it reaches a terminal raw. And they name the remedy.

use std::{
    error::Error as _,
    io::{self, Write},
};

use tracing::subscriber::with_default;
use tracing_subscriber::prelude::*;
use tracing_tasklog::{Error, TaskContext, TaskLayer, parse_level, writer::InstanceFile};

use super::NASTY;
use crate::support::{
    child::{Child, role, say},
    dir::Dir,
};

/// [`NASTY`] without the brackets, as a text shows it.
const SHOWN: &str = r"\n\r\u{1b}[31m\u{202e}\u{2066}\u{2028}\u{85}\u{7f}\u{0}\u{18}z";

/// Nothing but printable text.
#[track_caller]
fn assert_clean(text: &str) {
    let raw = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(raw), "{text:?}");
    assert!(text.contains(r"\u{1b}") && text.contains(r"\u{202e}"), "it names what it refuses: {text}");
}

#[track_caller]
fn assert_all_clean(error: Error) {
    let shown = [error.to_string(), format!("{error:?}"), format!("{error:#?}")];
    shown.iter().for_each(|text| assert_clean(text));
    assert_clean(&io::Error::from(error).to_string());
}

#[test]
fn an_error_shows_what_it_quotes_escaped() {
    let dir = Dir::new();
    let path = |name: String| InstanceFile::builder(dir.path(&name));
    let refused = |name: String| path(name).build().expect_err("it is refused");
    assert_all_clean(refused(format!("{{{NASTY}}}.log"))); // an unknown placeholder
    assert_all_clean(refused(format!("{{env:{NASTY}}}.log")));
    assert_all_clean(refused(format!("{{pid{NASTY}")));
    assert_all_clean(refused(format!("{NASTY}.log"))); // the operating system doesn't take its NUL
    let nasty = NASTY.replace('\0', "");
    dir.write(&nasty, "");
    assert_all_clean(refused(format!("{nasty}/tasks.log")));
    assert_all_clean(path(format!("{nasty}.log")).max_bytes(0).build().expect_err("no room"));
    let held = path(format!("{nasty}.log")).build().expect("it can be opened");
    let in_use = path(format!("{nasty}.log")).build().expect_err("it is held");
    assert!(in_use.is_in_use());
    assert_all_clean(in_use);
    assert!(format!("{held:?}").contains(r"\u{1b}") && !format!("{held:?}").contains('\u{1b}'));
    assert_all_clean(parse_level(NASTY).expect_err("no level"));
    assert_all_clean(NASTY.parse::<TaskContext>().expect_err("no context"));
}

/// A sink, or a writer, that says something nasty.
struct Rude;

impl Write for Rude {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other(NASTY))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn child_has_a_rude_writer() {
    if !role("told::child_has_a_rude_writer") {
        return;
    }
    let layer = TaskLayer::new(|| Rude);
    with_default(tracing_subscriber::registry().with(layer), || tracing::info!("lost"));
    say("done");
}

#[test]
fn stderr_shows_what_a_writer_says_escaped() {
    let child = Child::of_test("told::child_has_a_rude_writer");
    let output = child.spawn().wait().assert_success();
    assert!(!output.stderr.contains(['\u{1b}', '\u{202e}']), "{:?}", output.stderr);
    let said = output.stderr.lines().find(|line| line.starts_with("tracing-tasklog: "));
    let said = said.expect("it tells of lost lines");
    assert!(said.contains("the writer said: a] [b") && said.ends_with(SHOWN), "{output}");
}

#[cfg(feature = "queue")]
#[test]
fn a_hook_is_given_an_error_that_shows_what_a_sink_says_escaped() {
    use std::sync::{Arc, Mutex};

    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let builder = tracing_tasklog::writer::SharedQueue::builder()
        .on_error(move |error| hook.lock().expect("no hook panics").push(format!("{error}, {error:?}")));
    let (queue, guard) = builder.spawn(Rude).expect("a thread");
    queue.clone().write_all(b"lost\n").expect("writing never fails");
    drop(guard);
    let told = told.lock().expect("no hook panics");
    assert!(told.iter().any(|text| text.contains(SHOWN)), "{told:?}");
    told.iter().filter(|text| text.contains("31m")).for_each(|text| assert_clean(text));
}

/// What anyhow prints: an error and its sources.
fn printed(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

#[cfg(unix)]
#[test]
fn display_names_the_remedy_and_the_sources_say_nothing_twice() {
    let dir = Dir::new();
    dir.write(".tasks.log.lock", "somebody's notes\n");
    let error = InstanceFile::builder(dir.path("tasks.log")).build().expect_err("that is no lock of ours");
    assert!(
        error.to_string().ends_with("is no lock of this crate: it has the name, so move it away"),
        "{error}"
    );
    assert_eq!(printed(&error).matches("move it away").count(), 1, "{}", printed(&error));
    assert_eq!(format!("{error:?}"), error.to_string());
    let long = "x".repeat(300);
    let error = InstanceFile::builder(dir.path(&long)).build().expect_err("no name is so long");
    assert!(error.to_string().ends_with(": the name is too long, give another path"), "{error}");
}
