//! Names a process that works on jobs.

use std::fmt;

use uuid::Uuid;

/// Names a process from its start to its end; unlike the kernel's number it is never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId(Uuid);

impl ProcessId {
    /// A new random id.
    #[expect(clippy::new_without_default, reason = "a default id that differs each time would surprise")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// Takes what [`fmt::Display`] gives.
    pub fn parse(name: &str) -> Option<Self> {
        Uuid::try_parse(name).ok().map(Self)
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
