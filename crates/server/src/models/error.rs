//! Why a model file could not be fetched.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

/// Why a model could not be fetched. The text is a sentence without its full stop.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("{name} is not on the hub; it comes with the Python packages {packages}: `make models` gets it")]
    NotOnHub { name: String, packages: String },
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: Url, reason: String },
    #[error("the download of {url} broke off: {reason}")]
    BrokenOff { url: Url, reason: String },
    /// `retry_after` is the time of the `Retry-After` header.
    #[error("{url} was answered with {status}{}", retry_hint(*.retry_after))]
    Status { url: Url, status: StatusCode, retry_after: Option<Duration> },
    #[error("{url} was answered with {reason}; what was fetched before is kept")]
    OtherFile { url: Url, reason: String },
    #[error("{path} is not what models.toml pins ({reason}); it was removed", path = path.display())]
    Wrong { path: PathBuf, reason: String },
    #[error("{what} {path}: {error}", path = path.display())]
    Disk { what: &'static str, path: PathBuf, error: io::Error },
}

impl HubError {
    /// Whether the next attempt may succeed. `reached` tells whether the server has answered before: if it never has,
    /// its address is probably wrong.
    pub(super) fn is_transient(&self, reached: bool) -> bool {
        match self {
            Self::BrokenOff { .. } => true,
            Self::Unreachable { .. } => reached,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::RANGE_NOT_SATISFIABLE
                            | StatusCode::TOO_MANY_REQUESTS
                            | StatusCode::REQUEST_TIMEOUT
                    )
            }
            _ => false,
        }
    }

    /// The time that the server asks to wait, if it does.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn retry_hint(retry_after: Option<Duration>) -> String {
    let seconds = retry_after.map(|wait| wait.as_secs()).filter(|seconds| *seconds > 0);
    seconds.map_or_else(String::new, |seconds| format!(", to be asked again in {seconds} s"))
}
