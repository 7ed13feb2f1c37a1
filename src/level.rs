//! Levels from configuration.

use tracing::level_filters::LevelFilter;

use crate::Error;

/// Reads a level from configuration: `debug`, `info`, `warning` or `warn`, `error`, also `trace` and `off`, in any case.
///
/// # Errors
///
/// Any other text, which the error names.
///
/// ```
/// use tracing_tasklog::parse_level;
///
/// assert_eq!(parse_level("Warning")?, tracing::level_filters::LevelFilter::WARN);
/// assert!(parse_level("loud").is_err());
/// # Ok::<(), tracing_tasklog::Error>(())
/// ```
pub fn parse_level(level: &str) -> Result<LevelFilter, Error> {
    match level.trim().to_ascii_lowercase().as_str() {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" | "warning" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(Error::invalid(format!(
            "{level:.100?} is no level: expected one of off, error, warn (or warning), info, debug, trace"
        ))),
    }
}
