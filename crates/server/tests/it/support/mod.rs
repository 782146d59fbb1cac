//! What the tests share.

pub(crate) mod alignment;
pub(crate) mod app;
pub(crate) mod clips;
pub(crate) mod form;
pub(crate) mod stand_in;
