//! What a program with tracing-subscriber has: its `fmt` layer over several writers. Its stamp is to the second, as everybody's who
//! has a choice, by the timer that tracing-subscriber has for that; once it is the timer that it takes by itself.

use std::{io, path::Path, sync::Mutex};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    fmt::{
        MakeWriter,
        time::{ChronoUtc, FormatTime, SystemTime},
    },
    prelude::*,
};

use super::{Candidate, Finish, How, append_to, install, nothing_to_finish};
use crate::{lines::Form, work::Voice};

const LINE: Form = Form(
    "####-##-##T##:##:##  INFO send_email{task.id=\"abc12345\"}: Connecting to SMTP server host=\"smtp.example.com\" port=25",
);

pub(crate) const NON_BLOCKING: Candidate = Candidate {
    name: "fmt_non_blocking",
    what: "fmt, ChronoUtc, tracing_appender::non_blocking, lossless",
    line: Some(LINE),
    one_of: 4,
    how: How::Threads(Voice::Tracing, |path| {
        let (writer, guard) = lossless(path)?;
        install_over(writer, seconds())?;
        Ok(finish(guard))
    }),
};

pub(crate) const DEFAULT_TIMER: Candidate = Candidate {
    name: "fmt_default_timer",
    what: "the same with its default timer, to the microsecond",
    line: Some(Form(
        "####-##-##T##:##:##.######Z  INFO send_email{task.id=\"abc12345\"}: Connecting to SMTP server host=\"smtp.example.com\" port=25",
    )),
    one_of: 4,
    how: How::Threads(Voice::Tracing, |path| {
        let (writer, guard) = lossless(path)?;
        install_over(writer, SystemTime)?;
        Ok(finish(guard))
    }),
};

pub(crate) const MUTEX: Candidate = Candidate {
    name: "fmt_mutex_file",
    what: "fmt, ChronoUtc, Mutex<File>",
    line: Some(LINE),
    one_of: 8,
    how: How::Threads(Voice::Tracing, |path| {
        install_over(Mutex::new(append_to(path)?), seconds())?;
        Ok(nothing_to_finish())
    }),
};

pub(crate) const ROLLING: Candidate = Candidate {
    name: "fmt_rolling",
    what: "fmt, ChronoUtc, RollingFileAppender",
    line: Some(LINE),
    one_of: 1,
    how: How::Threads(Voice::Tracing, |path| {
        let (folder, name) = path.parent().zip(path.file_name()).expect("a file is in a folder");
        install_over(tracing_appender::rolling::daily(folder, name), seconds())?;
        Ok(nothing_to_finish())
    }),
};

fn seconds() -> ChronoUtc {
    ChronoUtc::new("%Y-%m-%dT%H:%M:%S".to_owned())
}

fn install_over(
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
    timer: impl FormatTime + Send + Sync + 'static,
) -> io::Result<()> {
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(timer);
    install(tracing_subscriber::registry().with(layer.with_writer(writer)))
}

fn lossless(path: &Path) -> io::Result<(NonBlocking, WorkerGuard)> {
    Ok(NonBlockingBuilder::default().lossy(false).finish(append_to(path)?))
}

fn finish(guard: WorkerGuard) -> Finish {
    Box::new(|_| {
        drop(guard); // after a second it leaves the rest to its thread
        Ok(())
    })
}
