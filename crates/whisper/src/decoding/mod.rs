//! From a window's states to its tokens: the search, the rules it follows, and what is to be made of the result.

mod hypothesis;
pub(crate) mod language;
pub(crate) mod rules;
pub(crate) mod search;
pub(crate) mod suspect;
pub(crate) mod untranscribed;
