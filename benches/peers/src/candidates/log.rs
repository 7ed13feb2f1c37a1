//! Peers behind the macros of the `log` crate.

use std::{fmt::Display, io, path::Path};

use log::{LevelFilter, Record};

use super::{Candidate, Finish, How, nothing_to_finish};
use crate::{lines::Form, work::Voice};

const CHANNEL: usize = 100_000;
const STAMP: &str = "%Y-%m-%dT%H:%M:%S";

/// Of those whose line can be chosen.
const LINE: Form = Form(
    "####-##-##T##:##:## INFO [abc12345] [send_email] Connecting to SMTP server host=\"smtp.example.com\" port=25",
);

fn other(error: impl Display) -> io::Error {
    io::Error::other(error.to_string())
}

pub(crate) const LOGFORTH: Candidate = Candidate {
    name: "logforth_async",
    what: "logforth, Async of 100,000 records, blocking, over a File",
    line: Some(Form(
        "###################   INFO compare::work: *[abc12345] [send_email] Connecting to SMTP server host=\"smtp.example.com\" port=25",
    )),
    one_of: 8,
    how: How::Threads(Voice::Log, logforth),
};

fn logforth(path: &Path) -> io::Result<Finish> {
    use logforth::append::{asynchronous::AsyncBuilder, file::FileBuilder};
    let folder = path.parent().expect("a file is in a folder");
    let file = FileBuilder::new(folder, "tasks").filename_suffix("log").build().map_err(other)?;
    let append = AsyncBuilder::new("logforth").buffered_lines_limit(Some(CHANNEL)).overflow_block();
    let append = append.append(file).build();
    let logger = logforth::core::builder().dispatch(|dispatch| dispatch.append(append)).build();
    log::set_boxed_logger(Box::new(logforth::bridge::log::LogBridge::new(logger))).map_err(other)?;
    log::set_max_level(LevelFilter::Info);
    Ok(Box::new(|_| {
        log::logger().flush();
        Ok(())
    }))
}

pub(crate) const FTLOG: Candidate = Candidate {
    name: "ftlog",
    what: "ftlog, 100,000 records, blocking, UTC",
    line: Some(Form(
        "####-##-## ##:##:##.*[abc12345] [send_email] Connecting to SMTP server host=\"smtp.example.com\" port=25",
    )),
    one_of: 8,
    how: How::Threads(Voice::Log, ftlog),
};

fn ftlog(path: &Path) -> io::Result<Finish> {
    let file = ftlog::appender::FileAppender::builder().path(path).build();
    let logger = ftlog::builder().bounded(CHANNEL, true).utc().max_log_level(LevelFilter::Info).root(file);
    let guard = logger.try_init().map_err(other)?;
    Ok(Box::new(|_| {
        drop(guard);
        Ok(())
    }))
}

pub(crate) const FAST_LOG: Candidate = Candidate {
    name: "fast_log",
    what: "fast_log, 100,000 records, UTC",
    line: Some(Form(
        "####-##-## ##:##:##*[INFO] [abc12345] [send_email] Connecting to SMTP server host=\"smtp.example.com\" port=25",
    )),
    one_of: 8,
    how: How::Threads(Voice::Log, fast_log),
};

fn fast_log(path: &Path) -> io::Result<Finish> {
    let form = fast_log::FastLogFormat::new().set_time_type(fast_log::TimeType::Utc);
    let config = fast_log::Config::new().format(form).level(LevelFilter::Info).chan_len(Some(CHANNEL));
    fast_log::init(config.file(&path.to_string_lossy())).map_err(other)?;
    Ok(Box::new(|_| {
        log::logger().flush();
        Ok(())
    }))
}

pub(crate) const FLEXI: Candidate = Candidate {
    name: "flexi_logger",
    what: "flexi_logger, BufferAndFlush, UTC",
    line: Some(LINE),
    one_of: 8,
    how: How::Threads(Voice::Log, flexi),
};

fn flexi(path: &Path) -> io::Result<Finish> {
    use flexi_logger::{DeferredNow, FileSpec, LogSpecification, Logger, WriteMode};
    fn line(out: &mut dyn io::Write, now: &mut DeferredNow, record: &Record<'_>) -> io::Result<()> {
        write!(out, "{} {} {}", now.format(STAMP), record.level(), record.args())
    }
    let logger = Logger::with(LogSpecification::info()).write_mode(WriteMode::BufferAndFlush).use_utc();
    let file = FileSpec::try_from(path).map_err(other)?;
    let logger = logger.log_to_file(file).format(line).start().map_err(other)?;
    Ok(Box::new(move |_| {
        logger.shutdown();
        Ok(())
    }))
}

pub(crate) const LOG4RS: Candidate = Candidate {
    name: "log4rs",
    what: "log4rs, FileAppender, UTC",
    line: Some(LINE),
    one_of: 8,
    how: How::Threads(Voice::Log, log4rs),
};

fn log4rs(path: &Path) -> io::Result<Finish> {
    let appender = log4rs::append::file::FileAppender::builder().encoder(log4rs_line());
    install_log4rs(Box::new(appender.build(path)?))
}

pub(crate) const LOG4RS_ROLLING: Candidate = Candidate {
    name: "log4rs_rolling",
    what: "log4rs, RollingFileAppender, 10 MiB a file, UTC",
    line: Some(LINE),
    one_of: 1,
    how: How::Threads(Voice::Log, log4rs_rolling),
};

fn log4rs_rolling(path: &Path) -> io::Result<Finish> {
    use log4rs::append::rolling_file::{
        RollingFileAppender,
        policy::compound::{
            CompoundPolicy, roll::fixed_window::FixedWindowRoller, trigger::size::SizeTrigger,
        },
    };
    let names = format!("{}.{{}}", path.display());
    let roller = FixedWindowRoller::builder().base(1).build(&names, 100).map_err(other)?;
    let policy = CompoundPolicy::new(Box::new(SizeTrigger::new(10 << 20)), Box::new(roller));
    let appender = RollingFileAppender::builder().encoder(log4rs_line());
    install_log4rs(Box::new(appender.build(path, Box::new(policy))?))
}

fn log4rs_line() -> Box<dyn log4rs::encode::Encode> {
    let line = format!("{{d({STAMP})(utc)}} {{l}} {{m}}{{n}}");
    Box::new(log4rs::encode::pattern::PatternEncoder::new(&line))
}

fn install_log4rs(appender: Box<dyn log4rs::append::Append>) -> io::Result<Finish> {
    use log4rs::config::{Appender, Config, Root};
    let config = Config::builder().appender(Appender::builder().build("file", appender));
    let config = config.build(Root::builder().appender("file").build(LevelFilter::Info)).map_err(other)?;
    log4rs::init_config(config).map_err(other)?;
    Ok(nothing_to_finish())
}
