//! The commands that speak to a server: `submit`, `jobs`, `result`, `cancel`, `retry` and `delete`.
//!
//! [`Server`] sends requests and turns answers into errors; everything else is built on it. [`upload`] brings a file to
//! the server by `tus.rs`, or by `form.rs` where that is too old; `follow.rs` waits for a job by its events.

pub mod actions;
mod error;
mod events;
mod follow;
mod form;
pub mod jobs;
mod remembered;
pub mod result;
mod retry;
mod server;
mod source;
mod status;
pub mod submit;
mod tus;
mod upload;

use std::io;

use tokio::runtime::{self, Runtime};

pub use self::error::ClientError;
pub(super) use self::follow::until_completed;
pub(super) use self::remembered::RememberedUploads;
pub use self::server::Server;
pub(super) use self::source::SourceFile;
pub(super) use self::status::exists;
pub(super) use self::upload::upload;

/// A runtime that waits for a server on the calling thread.
pub(super) fn waiting() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}
