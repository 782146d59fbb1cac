//! Uploads that go on where they broke off, by the tus protocol 1.0.0 (<https://tus.io/protocols/resumable-upload>). The
//! id of an upload is that of the job that it becomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indicatif::ProgressBar;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::time::{MissedTickBehavior, interval};

use super::error::ClientError;
use super::server::Server;
use super::source::SourceFile;
use super::status;
use crate::jobs::JobId;

/// The most bytes in one request. Many proxies limit it; between two requests, it is known how far the server is.
const MAX_REQUEST: u64 = 64 << 20;

/// How long no byte may be sent before a connection is given up.
const STALLED: Duration = Duration::from_secs(60);

/// How long the answer may take once all bytes were sent: the server looks into the file before it answers the last ones.
const ANSWER: Duration = Duration::from_secs(300);

/// The names and values of `Upload-Metadata`: the file's name, and what is asked of the job.
pub(super) fn metadata(filename: &str, options: &[(&'static str, String)]) -> String {
    let pairs = [("filename", filename)].into_iter();
    let pairs = pairs.chain(options.iter().map(|(name, value)| (*name, value.as_str())));
    pairs.map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).collect::<Vec<_>>().join(",")
}

/// Creates an upload. Gives its id, or `None` where the server takes none.
pub(super) async fn create(
    server: &Server,
    source: &SourceFile,
    metadata: &str,
) -> Result<Option<JobId>, ClientError> {
    let request = request(server, Method::POST, "/uploads");
    let request = request.header("Upload-Length", source.size).header("Upload-Metadata", metadata);
    let response = server.send(request).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => {
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let last = location.and_then(|location| location.trim_end_matches('/').rsplit('/').next());
            let id = last.and_then(JobId::parse);
            id.map(Some).ok_or_else(|| server.garbled("it gives an upload no id"))
        }
        _ => Err(server.refusal(response).await),
    }
}

/// Sends what the server does not have of a file yet, again and again until it has all. `offset` is how much it has, where
/// that is known.
pub(super) async fn send(
    server: &Server,
    source: &SourceFile,
    id: JobId,
    offset: Option<u64>,
    bar: &ProgressBar,
) -> Result<(), ClientError> {
    let mut upload = Upload { server, source, id, bar, offset, furthest: 0 };
    let mut retries = server.retries();
    loop {
        let before = upload.furthest;
        let Err(error) = upload.send_rest().await else { return Ok(()) };
        source.expect_unchanged()?;
        if upload.furthest > before {
            retries.progressed(Instant::now());
        }
        server.pause(&mut retries, error, bar).await?;
    }
}

/// An upload while it is sent.
struct Upload<'a> {
    server: &'a Server,
    source: &'a SourceFile,
    id: JobId,
    bar: &'a ProgressBar,
    /// How many bytes the server has; `None` if it has to be asked.
    offset: Option<u64>,
    /// How many bytes it had at most.
    furthest: u64,
}

impl Upload<'_> {
    /// Makes one attempt to send the rest.
    async fn send_rest(&mut self) -> Result<(), ClientError> {
        let mut offset = match self.offset.take() {
            Some(offset) => offset,
            None => self.ask_offset().await?,
        };
        loop {
            self.furthest = self.furthest.max(offset);
            self.bar.set_position(offset);
            if offset >= self.source.size {
                return Ok(());
            }
            offset = self.send_part(offset).await?;
        }
    }

    /// Asks how many bytes the server has.
    async fn ask_offset(&self) -> Result<u64, ClientError> {
        let response = self.server.send(request(self.server, Method::HEAD, &self.path())).await?;
        match response.status() {
            status if status.is_success() => self.offset_of(&response),
            // The last bytes may have made a job of it, and the answer may have been lost.
            status if is_gone(status) && status::exists(self.server, self.id).await? => Ok(self.source.size),
            _ => Err(self.refusal(response).await),
        }
    }

    /// Sends the bytes from `offset` on in one request. Gives how many the server has then.
    async fn send_part(&self, offset: u64) -> Result<u64, ClientError> {
        let count = MAX_REQUEST.min(self.source.size - offset);
        let sent = Arc::new(AtomicU64::new(0));
        let body = self.source.body(offset, count, sent.clone(), self.bar.clone()).await?;
        let url = self.server.url(&self.path());
        let request = with_version(self.server.patient_request(Method::PATCH, url))
            .header("Upload-Offset", offset)
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header(CONTENT_LENGTH, count)
            .body(body);
        let response = unless_stalled(self.server, self.server.send(request), &sent, count).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let now = self.offset_of(&response)?;
        match now > offset {
            true => Ok(now),
            false => Err(self.server.garbled("it took bytes of an upload, but has no more than before")),
        }
    }

    /// The error of an answer that is no success.
    async fn refusal(&self, response: Response) -> ClientError {
        let server = self.server.name();
        match response.status() {
            status if is_gone(status) => ClientError::UploadGone { server },
            // Another offset than the server's, and an upload that somebody else is sending.
            StatusCode::CONFLICT | StatusCode::LOCKED => ClientError::UploadBusy { server },
            _ => self.server.refusal(response).await,
        }
    }

    /// How many bytes an answer says that the server has.
    fn offset_of(&self, response: &Response) -> Result<u64, ClientError> {
        let header = response.headers().get("Upload-Offset").and_then(|offset| offset.to_str().ok());
        let offset = header.and_then(|offset| offset.trim().parse().ok());
        offset
            .filter(|offset| *offset <= self.source.size)
            .ok_or_else(|| self.server.garbled("it does not say how much it has of an upload"))
    }

    fn path(&self) -> String {
        format!("/uploads/{}", self.id)
    }
}

fn request(server: &Server, method: Method, path: &str) -> RequestBuilder {
    with_version(server.request(method, server.url(path)))
}

fn with_version(request: RequestBuilder) -> RequestBuilder {
    request.header("Tus-Resumable", "1.0.0")
}

fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Waits for the answer to a request with a body of `count` bytes, of which `sent` were sent. Gives up where none is sent
/// for [`STALLED`], or where the answer takes longer than [`ANSWER`].
pub(super) async fn unless_stalled<T>(
    server: &Server,
    request: impl Future<Output = Result<T, ClientError>>,
    sent: &AtomicU64,
    count: u64,
) -> Result<T, ClientError> {
    let watch = async {
        let mut ticks = interval(STALLED);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let (mut before, mut silent) = (0, Duration::ZERO);
        loop {
            ticks.tick().await;
            let now = sent.load(Ordering::Relaxed);
            silent = if now > before { Duration::ZERO } else { silent + STALLED };
            before = now;
            let limit = if now < count { STALLED } else { ANSWER };
            if silent >= limit {
                return format!("nothing got on for {} s", silent.as_secs());
            }
        }
    };
    tokio::select! {
        answered = request => answered,
        reason = watch => Err(ClientError::BrokenOff { server: server.name(), reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ConnectionSettings;

    #[test]
    fn metadata_has_the_name_and_every_option_in_base64() {
        assert_eq!(metadata("a.wav", &[]), "filename YS53YXY=");
        let options = [("language", "de".to_owned()), ("hotwords", "Größe, a".to_owned())];
        let expected = "filename VmVyIMO8Lm1wMw==,language ZGU=,hotwords R3LDtsOfZSwgYQ==";
        assert_eq!(metadata("Ver ü.mp3", &options), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_sends_nothing_is_given_up_and_one_that_waits_for_its_answer_later() {
        let connection = ConnectionSettings { key: None, retry_for: Duration::ZERO };
        let server = Server::new(&"http://127.0.0.1:1".parse().unwrap(), &connection).unwrap();
        let never = std::future::pending::<Result<(), ClientError>>;
        let stalled = async |sent: u64| {
            let begun = tokio::time::Instant::now();
            let error = unless_stalled(&server, never(), &AtomicU64::new(sent), 10).await.unwrap_err();
            assert!(error.is_transient(true), "{error}");
            begun.elapsed()
        };
        assert_eq!(stalled(0).await, STALLED);
        assert_eq!(stalled(9).await, 2 * STALLED);
        assert_eq!(stalled(10).await, ANSWER + STALLED);
        let done = unless_stalled(&server, async { Ok(7) }, &AtomicU64::new(0), 10).await;
        assert_eq!(done.unwrap(), 7);
    }
}
