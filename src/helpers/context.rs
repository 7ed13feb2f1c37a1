//! A task's identity as a value, which another process can be given.

use std::{fmt, str::FromStr};

use crate::{Error, task::current_task};

/// Who a task is: what another process needs to log under the same tag.
///
/// Its `Display` is printable ASCII, in which any id and name survive, so that it can be an argument or the value of an
/// environment variable; `FromStr` reads it back. Turn it into a span there with
/// [`continue_span!`](crate::continue_span): lines carry the same tag, and the lifecycle stays with the process that
/// began the task.
///
/// ```
/// use tracing_subscriber::prelude::*;
/// use tracing_tasklog::{TaskContext, TaskLayer, TaskSpanExt, continue_span, task_span};
///
/// tracing_subscriber::registry().with(TaskLayer::new(std::io::stdout)).init();
///
/// // in the process that runs the task:
/// let argument = task_span!("import", "a b").run_task(|| TaskContext::current().map(|task| task.to_string()));
/// assert_eq!(argument.as_deref(), Some("a%20b:import:0"));
///
/// // in a process that it starts:
/// let task: TaskContext = argument.unwrap().parse()?;
/// assert_eq!((task.id(), task.name(), task.retry()), ("a b", "import", 0));
/// let _entered = continue_span!(task).entered();
/// tracing::info!("written as [a b] [import] …");
/// # Ok::<(), tracing_tasklog::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskContext {
    id: String,
    name: String,
    retry: u32,
}

impl TaskContext {
    /// Returns the innermost task of the current span, or `None` outside any task.
    ///
    /// Works with every subscriber that stands on tracing-subscriber's `Registry` and has a
    /// [`TaskLayer`](crate::TaskLayer). The task's id and name stay as they are from now on.
    pub fn current() -> Option<Self> {
        let task = current_task()?;
        let tag = task.identity().tag();
        Some(TaskContext { id: tag.id.clone(), name: tag.name.clone(), retry: task.identity().retry() })
    }

    /// Returns the task's whole id, not shortened or escaped.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the task's name, not escaped.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the task's last retry; 0 before the first.
    pub fn retry(&self) -> u32 {
        self.retry
    }
}

impl fmt::Display for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", Encoded(&self.id), Encoded(&self.name), self.retry)
    }
}

impl FromStr for TaskContext {
    type Err = Error;

    /// Reads what `Display` printed.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = || {
            let mut parts = text.split(':');
            let (id, name, retry) = (parts.next()?, parts.next()?, parts.next()?);
            let retry = retry.parse().ok().filter(|_| retry.bytes().all(|b| b.is_ascii_digit()))?;
            let context = TaskContext { id: decode(id)?, name: decode(name)?, retry };
            parts.next().is_none().then_some(context)
        };
        parts().ok_or_else(|| {
            Error::invalid(format!(
                "{text:.100?} is no task context: expected id:name:retry as TaskContext prints it"
            ))
        })
    }
}

/// A text with every byte as `%XX` that is not an unreserved character of RFC 3986.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(f, "{}", char::from(byte))
            }
            byte => write!(f, "%{byte:02X}"),
        })
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_id_and_name_survive_in_printable_ascii(id: String, name: String, retry: u32) {
            let context = TaskContext { id, name, retry };
            let text = context.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(text.parse::<TaskContext>().expect("its own text"), context);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<TaskContext>();
        }
    }

    #[test]
    fn what_is_no_context_is_named_in_the_error() {
        for text in
            ["", "a", "a:b", "a:b:c", "a:b:-1", "a:b:+1", "a:b:1:2", "%:b:0", "%f:b:0", "%ff:b:0", "é%:b:0"]
        {
            let error = text.parse::<TaskContext>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("{text:?} is no task context")), "{error}");
        }
    }
}
