//! The id of a process that works on jobs.

use std::fmt;

use uuid::Uuid;

/// The id of a process that works on jobs. Unlike the process id of the kernel, it is never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId(Uuid);

impl ProcessId {
    /// A new random id.
    #[expect(clippy::new_without_default, reason = "a default id that differs each time would surprise")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// Parses what [`fmt::Display`] writes; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessId({self})")
    }
}
