//! spdlog-rs, called by its own macros.

use std::{io, path::Path, sync::Arc};

use spdlog::{
    Logger, ThreadPool,
    formatter::{PatternFormatter, pattern},
    sink::{AsyncPoolSink, FileSink, OverflowPolicy, Sink},
};

use super::{Candidate, Finish, How};
use crate::{lines::Form, work::Voice};

const LINE: Form = Form(
    "####-##-##T##:##:## info [abc12345] [send_email] Connecting to SMTP server host=\"smtp.example.com\" port=25",
);

pub(crate) const ASYNC: Candidate = Candidate {
    name: "spdlog_async",
    what: "spdlog-rs, AsyncPoolSink of 8,192 records, Block, over a FileSink",
    line: Some(LINE),
    one_of: 4,
    how: How::Threads(Voice::Spdlog, asynchronous),
};

pub(crate) const SYNC: Candidate = Candidate {
    name: "spdlog_sync",
    what: "spdlog-rs, FileSink, which buffers 8 KiB",
    line: Some(LINE),
    one_of: 2,
    how: How::Threads(Voice::Spdlog, sync),
};

fn file(path: &Path) -> spdlog::Result<Arc<dyn Sink>> {
    let line = pattern!("{year}-{month}-{day}T{hour}:{minute}:{second} {level} {payload}{eol}");
    Ok(FileSink::builder().path(path).formatter(PatternFormatter::new(line)).build_arc()?)
}

fn install(sink: Arc<dyn Sink>) -> spdlog::Result<()> {
    spdlog::set_default_logger(Logger::builder().sink(sink).build_arc()?);
    Ok(())
}

/// Leaves no logger that holds a sink: the sink then writes what it has.
fn uninstall() -> spdlog::Result<()> {
    spdlog::set_default_logger(Logger::builder().build_arc()?);
    Ok(())
}

fn asynchronous(path: &Path) -> io::Result<Finish> {
    let open = || -> spdlog::Result<_> {
        let threads = Arc::new(ThreadPool::builder().build()?);
        let sink = AsyncPoolSink::builder().sink(file(path)?).overflow_policy(OverflowPolicy::Block);
        install(sink.thread_pool(threads.clone()).build_arc()?)?;
        Ok(threads)
    };
    let threads = open().map_err(io::Error::other)?;
    Ok(Box::new(move |_| {
        uninstall().map_err(io::Error::other)?;
        drop(threads); // the last of its handles waits for its thread
        Ok(())
    }))
}

fn sync(path: &Path) -> io::Result<Finish> {
    file(path).and_then(install).map_err(io::Error::other)?;
    Ok(Box::new(|_| uninstall().map_err(io::Error::other)))
}
