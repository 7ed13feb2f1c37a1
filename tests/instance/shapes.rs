//! The shapes in which others take an `InstanceFile`: `tracing_subscriber::fmt`, combinators, `io::Write`.

use std::{
    fmt,
    io::{self, Write as _},
    sync::{Arc, Mutex},
};

use tracing::{Level, subscriber::with_default};
use tracing_subscriber::{
    fmt::{MakeWriter, writer::MakeWriterExt as _},
    prelude::*,
};
use tracing_tasklog::{
    Error, IdFormat, InTask, InterruptGuard, TaskContext, TaskLayer, UtcSeconds, line,
    writer::{InstanceFile, InstanceFileBuilder, LineWriter, Stats},
};

use super::{builder, file, log_to};
use crate::support::{dir::Dir, verify::LogFamily};

/// Compiles for what a user may share between threads, keep for ever and print.
fn shared<T: Send + Sync + 'static + fmt::Debug>() {}
fn copied<T: Clone>() {}

#[test]
fn public_types_are_send_sync_static_and_debug() {
    shared::<TaskLayer<InstanceFile>>();
    shared::<TaskLayer<fn() -> io::Stdout, ()>>();
    shared::<InstanceFile>();
    shared::<InstanceFileBuilder>();
    shared::<LineWriter<'static>>();
    shared::<Stats>();
    shared::<Error>();
    shared::<IdFormat>();
    shared::<TaskContext>();
    shared::<InterruptGuard>();
    shared::<UtcSeconds>();
    shared::<InTask<std::future::Ready<()>>>();
    shared::<line::Line<'static>>();
    shared::<line::Body<'static>>();
    shared::<line::Status>();
    shared::<line::Parser>();
    shared::<line::ParseError>();
    copied::<InstanceFile>();
    copied::<InstanceFileBuilder>();
    copied::<Stats>();
    copied::<IdFormat>();
    copied::<TaskContext>();
    copied::<line::Line<'static>>();
}

#[test]
fn debug_says_which_file_and_nothing_of_its_inside() {
    let dir = Dir::new();
    let file = file(&dir);
    let path = format!("{:?}", dir.path("tasks.log"));
    assert_eq!(format!("{file:?}"), format!("InstanceFile {{ path: {path}, .. }}"));
    assert!(format!("{:?}", file.make_writer()).contains(&path));
    assert!(format!("{:?}", builder(&dir)).contains(&path));
}

#[test]
fn a_boxed_layer_stays_send_and_sync() {
    let dir = Dir::new();
    let layer: Box<dyn tracing_subscriber::Layer<_> + Send + Sync> = TaskLayer::new(file(&dir)).boxed();
    with_default(tracing_subscriber::registry().with(layer), || tracing::info!("boxed"));
    assert!(dir.read("tasks.log").ends_with(" boxed\n"));
}

#[test]
fn fmt_writes_text_through_it() {
    let dir = Dir::new();
    let file = file(&dir);
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(file.clone()).without_time().finish();
    with_default(subscriber, || tracing::warn!(target: "app", n = 1, "text"));
    assert_eq!(dir.read("tasks.log"), " WARN app: text n=1\n");
    assert_eq!(file.stats().written_lines, 1);
}

#[test]
fn fmt_writes_json_through_it() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(100).build().expect("the file can be opened");
    let subscriber = tracing_subscriber::fmt().json().with_writer(file.clone()).without_time().finish();
    with_default(subscriber, || (0..3).for_each(|n| tracing::info!(target: "app", n, "json")));
    assert_eq!(file.stats().rotations, 2);
    for (name, n) in [("tasks.log.2", 0), ("tasks.log.1", 1), ("tasks.log", 2)] {
        let json = format!(
            "{{\"level\":\"INFO\",\"fields\":{{\"message\":\"json\",\"n\":{n}}},\"target\":\"app\"}}\n"
        );
        assert_eq!(dir.read(name), json);
    }
}

#[test]
fn fmt_writes_pretty_records_of_several_lines_through_it() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(50).build().expect("the file can be opened");
    let subscriber = tracing_subscriber::fmt().pretty().with_ansi(false).with_writer(file.clone());
    with_default(subscriber.without_time().finish(), || {
        (0..3).for_each(|n| tracing::info!(target: "app", n, "pretty"));
    });
    let lines = LogFamily::of(dir.path("tasks.log")).lines();
    let text = lines.chunks(3).map(|record| record.join("|")).collect::<Vec<_>>();
    for (n, record) in text.iter().enumerate() {
        let start = format!("   INFO app: pretty, n: {n}|    at tests");
        assert!(record.starts_with(&start) && record.ends_with('|'), "{record:?}");
    }
    let stats = file.stats();
    assert_eq!((text.len(), stats.accepted_lines, stats.written_lines), (3, 9, 9));
    assert!(stats.rotations >= 2, "{stats:?}");
}

#[test]
fn it_is_an_io_write() {
    let dir = Dir::new();
    let mut sink: Box<dyn io::Write + Send> = Box::new(file(&dir));
    for part in ["one\n", "two ", "halves\n"] {
        sink.write_all(part.as_bytes()).expect("writing never fails");
    }
    sink.flush().expect("flushing never fails");
    assert_eq!(dir.read("tasks.log"), "one\ntwo halves\n");
    io::copy(&mut "three\nfour\n".as_bytes(), &mut sink).expect("writing never fails");
    assert_eq!(dir.read("tasks.log"), "one\ntwo halves\nthree\nfour\n");
}

#[test]
fn it_is_one_of_the_writers_of_a_mutex() {
    let dir = Dir::new();
    let layer = TaskLayer::new(Mutex::new(file(&dir))).with_timer(());
    with_default(tracing_subscriber::registry().with(layer), || tracing::info!(target: "app", "locked"));
    assert_eq!(dir.read("tasks.log"), "[-] [app] locked\n");
}

#[test]
fn make_writer_ext_leaves_out_levels() {
    let dir = Dir::new();
    let file = file(&dir);
    let layer = TaskLayer::new(file.clone().with_max_level(Level::WARN)).with_timer(());
    with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(target: "app", "too low");
        tracing::warn!(target: "app", "enough");
    });
    assert_eq!(dir.read("tasks.log"), "[-] [app] enough\n");
    assert_eq!(file.stats().accepted_lines, 1);
}

/// Takes bytes in memory, as another writer beside the file.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn make_writer_ext_joins_it_with_another_writer() {
    let (dir, memory) = (Dir::new(), Memory::default());
    let file = file(&dir);
    let beside = memory.clone();
    let both = file.clone().and(move || beside.clone());
    let layer = TaskLayer::new(both).with_timer(()).with_max_line(40);
    with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(target: "app", "both");
        tracing::info!(target: "app", "{}", "long ".repeat(20));
    });
    let text = dir.read("tasks.log");
    assert!(text.starts_with("[-] [app] both\n[-] [app] long "), "{text}");
    assert_eq!(memory.0.lock().expect("nobody panics").as_slice(), text.as_bytes());
    assert_eq!((file.stats().written_lines, file.stats().cut_lines), (2, 1));
}

#[test]
fn two_layers_may_share_one_file() {
    let dir = Dir::new();
    let file = file(&dir);
    let text = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(file.clone()).without_time();
    let tasks = TaskLayer::new(file.clone()).with_timer(());
    with_default(tracing_subscriber::registry().with(text).with(tasks), || {
        tracing::info!(target: "app", "twice");
    });
    let mut lines = dir.lines("tasks.log");
    lines.sort();
    assert_eq!(lines, [" INFO app: twice", "[-] [app] twice"]);
    log_to(&file, || tracing::info!(target: "app", "once"));
    assert_eq!(file.stats().written_lines, 3);
}
