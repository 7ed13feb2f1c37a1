//! What a program with tracing-subscriber has: its `fmt` layer over several writers. The stamp is that of ours, so that the
//! rest is compared.

use std::{io, path::Path, sync::Mutex};

use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::{fmt::MakeWriter, prelude::*};
use tracing_tasklog::UtcSeconds;

use super::{Candidate, Finish, append_to, install};
use crate::{lines::Form, work::Voice};

const LINE: Form = Form(
    "####-##-##T##:##:##  INFO send_email{task.id=\"abc12345\"}: Connecting to SMTP server host=\"smtp.example.com\" port=25",
);

pub(super) const NON_BLOCKING: Candidate = Candidate {
    name: "fmt_non_blocking",
    what: "fmt, tracing_appender::non_blocking, lossless",
    line: LINE,
    one_of: 4,
    voice: Voice::Tracing,
    open: non_blocking,
};

fn install_over(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> io::Result<()> {
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(UtcSeconds);
    install(tracing_subscriber::registry().with(layer.with_writer(writer)))
}

fn non_blocking(path: &Path) -> io::Result<Finish> {
    let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(append_to(path)?);
    install_over(writer)?;
    Ok(Box::new(move || {
        drop(guard); // after a second it leaves the rest to its thread
        Ok(())
    }))
}

pub(super) const MUTEX: Candidate = Candidate {
    name: "fmt_mutex_file",
    what: "fmt, Mutex<File>",
    line: LINE,
    one_of: 4,
    voice: Voice::Tracing,
    open: mutex,
};

fn mutex(path: &Path) -> io::Result<Finish> {
    install_over(Mutex::new(append_to(path)?))?;
    Ok(Box::new(|| Ok(())))
}
