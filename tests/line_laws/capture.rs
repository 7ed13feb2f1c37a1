//! A writer that remembers every single `write`, and a timer that says what it is told.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::fmt::{MakeWriter, format::Writer, time::FormatTime};

/// Every `write`, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture(Arc<Mutex<Vec<Vec<u8>>>>);

impl Capture {
    /// The lines without their LF. Panics if a `write` was anything but one clean line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writes.iter().map(|write| line_of(write)).collect()
    }
}

fn line_of(write: &[u8]) -> String {
    let text = std::str::from_utf8(write).expect("a line is UTF-8");
    let line = text.strip_suffix('\n').unwrap_or_else(|| panic!("a write ends in LF: {text:?}"));
    let raw = line.chars().find(|&c| c.is_control() && c != '\t');
    assert_eq!(raw, None, "no control character but TAB: {line:?}");
    let unseen = |c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!line.contains(unseen), "no separator, no bidirectional control: {line:?}");
    line.to_owned()
}

impl io::Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Capture {
    type Writer = Capture;

    fn make_writer(&'w self) -> Capture {
        self.clone()
    }
}

/// A timer that prints any text.
#[derive(Clone, Debug)]
pub(crate) struct Says(pub(crate) String);

impl FormatTime for Says {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&self.0)
    }
}
