//! What the tests share.

pub(crate) mod app;
pub(crate) mod clips;
pub(crate) mod form;
pub(crate) mod stand_in;

/// Says that a test was left out, and why.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}
