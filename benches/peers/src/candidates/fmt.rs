//! What a program with tracing-subscriber has: its `fmt` layer over several writers. The stamp is that of ours, so that the
//! rest is compared.

use std::{io, path::Path, sync::Mutex};

use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::{fmt::MakeWriter, prelude::*};
use tracing_tasklog::UtcSeconds;

use super::{Candidate, Finish, How, append_to, install, nothing_to_finish};
use crate::{lines::Form, work::Voice};

const LINE: Form = Form(
    "####-##-##T##:##:##  INFO send_email{task.id=\"abc12345\"}: Connecting to SMTP server host=\"smtp.example.com\" port=25",
);

pub(crate) const NON_BLOCKING: Candidate = Candidate {
    name: "fmt_non_blocking",
    what: "fmt, tracing_appender::non_blocking, lossless",
    line: Some(LINE),
    one_of: 4,
    how: How::Threads(Voice::Tracing, non_blocking),
};

fn install_over(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> io::Result<()> {
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(UtcSeconds);
    install(tracing_subscriber::registry().with(layer.with_writer(writer)))
}

fn non_blocking(path: &Path) -> io::Result<Finish> {
    let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(append_to(path)?);
    install_over(writer)?;
    Ok(Box::new(move |_| {
        drop(guard); // after a second it leaves the rest to its thread
        Ok(())
    }))
}

pub(crate) const MUTEX: Candidate = Candidate {
    name: "fmt_mutex_file",
    what: "fmt, Mutex<File>",
    line: Some(LINE),
    one_of: 4,
    how: How::Threads(Voice::Tracing, mutex),
};

fn mutex(path: &Path) -> io::Result<Finish> {
    install_over(Mutex::new(append_to(path)?))?;
    Ok(nothing_to_finish())
}

pub(crate) const ROLLING: Candidate = Candidate {
    name: "fmt_rolling",
    what: "fmt, RollingFileAppender",
    line: Some(LINE),
    one_of: 1,
    how: How::Threads(Voice::Tracing, rolling),
};

fn rolling(path: &Path) -> io::Result<Finish> {
    let (folder, name) = path.parent().zip(path.file_name()).expect("a file is in a folder");
    install_over(tracing_appender::rolling::daily(folder, name))?;
    Ok(nothing_to_finish())
}
