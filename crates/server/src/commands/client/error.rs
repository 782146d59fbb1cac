//! Why a server, or a file that is to be sent to it, is of no use.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;

/// Why a request, an upload or a job has failed. The text is a sentence that names the server, the job or the file.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no HTTP client could be made, are the system's certificates installed? {0}")]
    NoClient(reqwest::Error),
    #[error("{server} cannot be reached: {reason}; does the server run there? --server names another")]
    Unreachable { server: String, reason: String },
    #[error("the connection to {server} broke off: {reason}")]
    BrokenOff { server: String, reason: String },
    /// The server says no. `sentence` is its own, if it gave one. `retry_after` is the time of the `Retry-After` header.
    #[error("{server} {}", refusal(*.status, .sentence.as_deref(), *.retry_after))]
    Refused { server: String, status: StatusCode, sentence: Option<String>, retry_after: Option<Duration> },
    /// An answer that does not follow the protocol. `what` is the end of a sentence.
    #[error("{server} is not a server of Verbatim, or another stands before it: {what}")]
    Garbled { server: String, what: String },
    /// A route that servers of an older version do not have. `what` is what cannot be done.
    #[error("{server} cannot {what}: its version is older than this program's")]
    TooOld { server: String, what: &'static str },
    /// Somebody else has got further with an upload, or is sending it now.
    #[error("the upload to {server} is being sent by somebody else")]
    UploadBusy { server: String },
    /// The upload has expired, was deleted, or was never there.
    #[error("the upload is not at {server} any more")]
    UploadGone { server: String },
    #[error("the job {job} is {status} ({percentage} %); --wait waits until it has ended")]
    Unfinished { job: String, status: String, percentage: u8 },
    #[error("the job {job} {status}: {sentence}")]
    JobEnded { job: String, status: String, sentence: String },
    #[error("{what} {}: {error}", path.display())]
    File { what: &'static str, path: PathBuf, error: io::Error },
    #[error("{} {what}", path.display())]
    Unsuitable { path: PathBuf, what: &'static str },
    #[error("{} was changed while it was sent; send it again", .0.display())]
    Changed(PathBuf),
}

impl ClientError {
    /// Whether the same request may succeed a little later. `reached` tells whether the server has answered before: if it
    /// never has, its address is probably wrong.
    pub(super) fn is_transient(&self, reached: bool) -> bool {
        match self {
            Self::Unreachable { .. } => reached,
            Self::BrokenOff { .. } | Self::UploadBusy { .. } => true,
            Self::Refused { status, .. } => matches!(
                *status,
                StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_EARLY
                    | StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
            _ => false,
        }
    }

    /// Whether it is the recording that is at fault, or what is asked of its job, so that sending the same again would end
    /// the same.
    pub(in crate::commands) fn is_of_recording(&self) -> bool {
        match self {
            Self::JobEnded { .. } | Self::Unsuitable { .. } => true,
            Self::Refused { status, .. } => matches!(
                *status,
                StatusCode::BAD_REQUEST
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::UNSUPPORTED_MEDIA_TYPE
                    | StatusCode::UNPROCESSABLE_ENTITY
            ),
            _ => false,
        }
    }

    /// The time that the server asks to wait, if it does.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What a server has said, as the rest of a sentence that begins with its name.
fn refusal(status: StatusCode, sentence: Option<&str>, retry_after: Option<Duration>) -> String {
    let said = match (sentence, status) {
        (Some(sentence), _) => format!("refuses ({}): {sentence}", status.as_u16()),
        (None, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            format!("refuses ({status}); is the key right? VERBATIM_API_KEY or --key give it")
        }
        (None, _) => format!("answers {status}"),
    };
    match retry_after.map(|wait| wait.as_secs()).filter(|seconds| *seconds > 0) {
        Some(seconds) => format!("{said}, to be asked again in {seconds} s"),
        None => said,
    }
}

/// Makes an error of an `io::Error`: what failed (`cannot read`, for example) and for which file.
pub(super) fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClientError {
    move |error| ClientError::File { what, path: path.to_owned(), error }
}

/// The innermost cause of an error, which is the one that says something.
pub(super) fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, sentence: Option<&str>, retry_after: Option<Duration>) -> ClientError {
        let (server, status) = ("http://here".to_owned(), StatusCode::from_u16(status).unwrap());
        ClientError::Refused { server, status, sentence: sentence.map(str::to_owned), retry_after }
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_own_words() {
        let sentence = Some("The file has no sound.");
        assert_eq!(
            refused(400, sentence, None).to_string(),
            "http://here refuses (400): The file has no sound."
        );
        assert_eq!(refused(502, None, None).to_string(), "http://here answers 502 Bad Gateway");
        let later = refused(503, None, Some(Duration::from_secs(9))).to_string();
        assert_eq!(later, "http://here answers 503 Service Unavailable, to be asked again in 9 s");
        assert!(refused(401, None, None).to_string().contains("VERBATIM_API_KEY"));
    }

    #[test]
    fn what_may_pass_is_told_from_what_is_at_fault() {
        for status in [408, 429, 502, 503, 504] {
            assert!(refused(status, None, None).is_transient(true), "{status}");
            assert!(!refused(status, None, None).is_of_recording(), "{status}");
        }
        for status in [400, 413, 415, 422] {
            assert!(!refused(status, None, None).is_transient(true), "{status}");
            assert!(refused(status, None, None).is_of_recording(), "{status}");
        }
        for status in [401, 403, 404, 500, 507] {
            let error = refused(status, None, None);
            assert!(!error.is_transient(true) && !error.is_of_recording(), "{status}");
        }
        let nobody = ClientError::Unreachable { server: "http://here".into(), reason: "refused".into() };
        assert!(nobody.is_transient(true) && !nobody.is_transient(false));
    }
}
