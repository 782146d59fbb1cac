//! Fetches files from addresses that clients give instead of a file.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header;
use futures_util::stream::{BoxStream, StreamExt};
use tokio::time::timeout;
use url::Url;

use super::error::{IntakeError, innermost};
use super::filename::{Disposition, sanitise};
use super::form::STALL_TIMEOUT;
use super::receive::Chunks;
use crate::http_client::{GuardedClient, Networks, guarded};

/// How long a server may take until it begins to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Fetches files, from public addresses and allowed networks only. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Fetcher(GuardedClient);

/// A file that has begun to arrive.
pub(super) struct Fetched {
    pub(super) filename: String,
    /// Bytes, if the server tells.
    pub(super) length: Option<u64>,
    body: BoxStream<'static, reqwest::Result<Bytes>>,
}

impl Fetcher {
    /// Fails if no TLS can be set up.
    pub fn new(networks: Networks) -> reqwest::Result<Self> {
        guarded(networks).map(Self)
    }

    /// Asks for a file. `address` begins with `http://` or `https://`.
    pub(super) async fn fetch(&self, address: &str) -> Result<Fetched, IntakeError> {
        let refused = |reason: String| {
            IntakeError::Refused(format!("The address {address} cannot be fetched: {reason}."))
        };
        let url: Url = address.parse().map_err(|error| refused(format!("{error}")))?;
        let request = self.0.get(url).map_err(|error| refused(error.to_string()))?;
        let answer = timeout(ANSWER_TIMEOUT, request.send()).await;
        let answer = answer.map_err(|_| refused("its server does not answer".into()))?;
        let answer = answer.map_err(|error| refused(innermost(&error).to_string()))?;
        if !answer.status().is_success() {
            return Err(refused(format!("its server answers {}", answer.status())));
        }
        let disposition = answer.headers().get(header::CONTENT_DISPOSITION);
        let named = disposition.and_then(|value| Disposition::parse(value.as_bytes()).filename);
        let of_path = || {
            let last =
                answer.url().path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
            percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned()
        };
        Ok(Fetched {
            filename: sanitise(&named.unwrap_or_else(of_path)),
            length: answer.content_length(),
            body: answer.bytes_stream().boxed(),
        })
    }
}

impl Chunks for Fetched {
    async fn next(&mut self) -> Result<Option<Bytes>, IntakeError> {
        let chunk = timeout(STALL_TIMEOUT, self.body.next()).await;
        let chunk =
            chunk.map_err(|_| broke_off(format!("nothing arrived for {} s", STALL_TIMEOUT.as_secs())))?;
        chunk.transpose().map_err(|error| broke_off(innermost(&error).to_string()))
    }
}

fn broke_off(reason: String) -> IntakeError {
    IntakeError::Refused(format!("The file at the url broke off: {reason}."))
}
