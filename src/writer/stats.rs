//! The account of a writer.

/// One snapshot of a writer's counters, each counted where it happens.
///
/// At rest `accepted_lines = written_lines + dropped_lines + queued_lines`. A counter of something that a writer
/// doesn't do stays 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Lines that were handed to the writer.
    pub accepted_lines: u64,
    /// Lines that were handed to the operating system, whole.
    pub written_lines: u64,
    /// Lines that are lost.
    pub dropped_lines: u64,
    /// Lines that wait to be written.
    pub queued_lines: u64,
    /// Bytes that were handed to the operating system.
    pub bytes: u64,
    /// System calls that failed, those that were tried again included.
    pub errors: u64,
    /// Rotations that were completed.
    pub rotations: u64,
    /// Times that the file was opened again because the path led elsewhere, or because its descriptor had gone bad.
    pub reopens: u64,
    /// Lines that were written a second time because the first may be lost.
    pub rewritten_lines: u64,
    /// Times that another program cut the file short, as `copytruncate` of logrotate(8) does.
    pub truncations: u64,
    /// Lines of this process that may be lost because another program cut the file short or removed it, or other code closed its
    /// descriptor, at about the time when they were written: as far as can be told at most so many. They count as written.
    pub at_risk_lines: u64,
    /// Lines that [`with_max_line`](crate::TaskLayer::with_max_line) cut.
    pub cut_lines: u64,
}
