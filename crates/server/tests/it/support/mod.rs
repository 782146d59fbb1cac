//! What the tests share.

pub(crate) mod app;
pub(crate) mod form;

pub(crate) use verbatim_testing::media::recordings as clips;
