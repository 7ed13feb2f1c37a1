//! Log files of background tasks that can be trusted.
