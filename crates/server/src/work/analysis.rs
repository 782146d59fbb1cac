//! What is found out about windows besides their words.

use std::fmt;

use serde_json::Value;
use verbatim_speech::Window;

use crate::store::{Analyses, StoredWindow};

/// Finds out something about each window, such as who speaks in it. What it finds is stored with the window, so that an
/// interrupted job does not find it out twice, and is put together when the result is assembled.
pub trait Analysis: fmt::Debug + Send + Sync + 'static {
    /// The name that its findings are stored under.
    fn kind(&self) -> &'static str;

    /// Different for every model, option or version that the findings may differ by.
    fn fingerprint(&self) -> &str;

    /// The findings about a window, in a form of its own. Blocks.
    fn analyze(&self, window: &Window) -> Value;

    /// Where segments are to be cut, in seconds of the original, in order: for example where the speaker changes. `windows`
    /// are all of a recording, in order.
    fn cuts(&self, windows: &[StoredWindow]) -> Vec<f64>;
}

/// The findings of several analyses about a window.
pub(super) fn analyze<'a>(window: &Window, analyses: impl IntoIterator<Item = &'a dyn Analysis>) -> Analyses {
    let found = analyses.into_iter().map(|analysis| (analysis.kind().to_owned(), analysis.analyze(window)));
    found.collect()
}
