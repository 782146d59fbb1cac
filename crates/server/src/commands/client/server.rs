//! A server as the commands speak to it: its address, the key, and what its answers mean.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use jiff::Timestamp;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{ClientError, cause};
use super::retry::Retries;
use crate::commands::terminal::printable;
use crate::http_client;
use crate::models::retry_after;
use crate::settings::{ApiKey, ConnectionSettings};

/// The most time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The most time to wait for an answer, and for the next bytes of it.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest error that is shown, in characters.
const MAX_SENTENCE: usize = 500;

/// A server, and how long to try again where it does not answer.
#[derive(Debug)]
pub struct Server {
    url: Url,
    /// What errors call it: the address, without a password.
    name: String,
    /// Gives up where nothing comes for a while.
    client: Client,
    /// Waits as long as it is told to: for uploads, during which nothing comes, and for events.
    patient: Client,
    key: Option<ApiKey>,
    retry_for: Duration,
    /// Whether it has ever answered.
    reached: Cell<bool>,
}

impl Server {
    /// Sends nothing yet. Fails if no HTTP client can be made.
    pub fn new(url: &Url, connection: &ConnectionSettings) -> Result<Self, ClientError> {
        let builder = || http_client::builder().connect_timeout(CONNECT_TIMEOUT);
        let mut shown = url.clone();
        // Fails for addresses that have no room for them.
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        Ok(Self {
            url: url.clone(),
            name: shown.as_str().trim_end_matches('/').to_owned(),
            client: builder().read_timeout(READ_TIMEOUT).build().map_err(ClientError::NoClient)?,
            patient: builder().build().map_err(ClientError::NoClient)?,
            key: connection.key.clone(),
            retry_for: connection.retry_for,
            reached: Cell::new(false),
        })
    }

    /// Its address, as errors show it.
    pub(in crate::commands) fn name(&self) -> String {
        self.name.clone()
    }

    /// The address of one of its routes: the path is appended to that of the server, which may be behind a proxy.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url.set_query(None);
        url.set_fragment(None);
        url
    }

    /// A request, with the key.
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.with_key(self.client.request(method, url))
    }

    /// A request that may take as long as whoever sends it lets it.
    pub(super) fn patient_request(&self, method: Method, url: Url) -> RequestBuilder {
        self.with_key(self.patient.request(method, url))
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key.secret()),
            None => request,
        }
    }

    /// Sends a request. Gives the answer, whatever its status.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.http_error(&error))?;
        self.reached.set(true);
        Ok(response)
    }

    /// Sends a request. Gives the answer if it is a success.
    pub(super) async fn succeed(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = self.send(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// The error of an answer that is no success, with the server's own sentence.
    pub(super) async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status();
        let header = response.headers().get(RETRY_AFTER);
        let retry_after = header.and_then(|header| retry_after(header, Timestamp::now()));
        let body = response.text().await.unwrap_or_default();
        ClientError::Refused { server: self.name(), status, sentence: sentence(&body), retry_after }
    }

    /// The body of an answer, as JSON. `what` names the answer in an error, as in “the list of jobs”.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        response: Response,
        what: &str,
    ) -> Result<T, ClientError> {
        let body = response.text().await.map_err(|error| self.http_error(&error))?;
        serde_json::from_str(&body).map_err(|error| self.garbled(format!("{what} cannot be read, {error}")))
    }

    /// The error of an answer that does not follow the protocol.
    pub(super) fn garbled(&self, what: impl Into<String>) -> ClientError {
        ClientError::Garbled { server: self.name(), what: what.into() }
    }

    /// The error of a request that got no answer, or of an answer that broke off.
    pub(super) fn http_error(&self, error: &reqwest::Error) -> ClientError {
        let (server, reason) = (self.name(), printable(&cause(error)));
        if error.is_connect() {
            ClientError::Unreachable { server, reason }
        } else {
            ClientError::BrokenOff { server, reason }
        }
    }

    /// Counts how long nothing gets on, from now.
    pub(super) fn retries(&self) -> Retries {
        Retries::new(self.retry_for, Instant::now())
    }

    /// Waits before the next attempt of what has failed. Gives the error back if there is to be none.
    pub(super) async fn pause(
        &self,
        retries: &mut Retries,
        error: ClientError,
        bar: &ProgressBar,
    ) -> Result<(), ClientError> {
        let pause = retries.next_pause(error.retry_after(), Instant::now());
        match pause.filter(|_| error.is_transient(self.reached.get())) {
            Some(pause) => {
                let seconds = pause.as_secs_f32();
                bar.suspend(|| tracing::warn!("{error}; it is tried again in {seconds} s"));
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Makes an attempt again and again until it succeeds, or fails in a way that does not pass.
    pub(super) async fn retrying<T>(
        &self,
        bar: &ProgressBar,
        mut attempt: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut retries = self.retries();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => self.pause(&mut retries, error, bar).await?,
            }
        }
    }
}

/// The fields of an error that hold a sentence, the best first: RFC 9457, and that of a job that failed.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: Option<String>,
    error_message: Option<String>,
    title: Option<String>,
}

/// The sentence in the body of an error, if there is one.
fn sentence(body: &str) -> Option<String> {
    let problem: Problem = serde_json::from_str(body).ok()?;
    let sentence = problem.detail.or(problem.error_message).or(problem.title)?;
    let sentence: String = printable(&sentence).chars().take(MAX_SENTENCE).collect();
    (!sentence.is_empty()).then_some(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        let connection = ConnectionSettings { key: None, retry_for: Duration::ZERO };
        Server::new(&url.parse().unwrap(), &connection).unwrap()
    }

    #[test]
    fn routes_are_below_the_path_of_the_server() {
        for (address, route) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/jobs"),
            ("https://example.com/verbatim/", "https://example.com/verbatim/jobs"),
            ("https://example.com/verbatim?a=b#c", "https://example.com/verbatim/jobs"),
        ] {
            assert_eq!(server(address).url("/jobs").as_str(), route);
        }
    }

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        assert_eq!(server("https://me:secret@example.com/").name(), "https://example.com");
    }

    #[test]
    fn the_sentence_of_an_error_is_taken_from_where_it_stands() {
        assert_eq!(sentence(r#"{"title": "Bad Request", "detail": "No sound."}"#).unwrap(), "No sound.");
        assert_eq!(sentence(r#"{"error_message": "It failed.", "status": "failed"}"#).unwrap(), "It failed.");
        assert_eq!(sentence(r#"{"detail": "a\u001b[31mb\n"}"#).unwrap(), "a\u{fffd}[31mb");
        assert_eq!(
            sentence(&format!(r#"{{"detail": "{}"}}"#, "x".repeat(5000))).unwrap().len(),
            MAX_SENTENCE
        );
        for nothing in ["", "<html>502</html>", "{}", r#"{"detail": ""}"#, "[1]"] {
            assert_eq!(sentence(nothing), None, "{nothing}");
        }
    }
}
