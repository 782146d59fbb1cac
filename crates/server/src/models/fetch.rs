//! Fetches model files from the Hugging Face hub. A download resumes where an earlier one stopped, is hashed while it
//! arrives, and gets its name only once it is complete and correct.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use indicatif::ProgressBar;
use jiff::Timestamp;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::error::HubError;
use super::part::{Part, disk_error};
use super::retry::{Retries, retry_after};
use super::verify::{wrong_hash, wrong_size};
use super::{KnownModel, PinnedFile};
use crate::http_client;

/// The most time to connect to the hub, and to wait for its next bytes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client of the hub, or of a server with the same URLs.
#[derive(Debug)]
pub struct Hub {
    client: Client,
    endpoint: Url,
    /// The time between the first two failed attempts.
    retry_delay: Duration,
}

impl Hub {
    /// Fails if no HTTP client can be made.
    pub fn new(endpoint: Url, retry_delay: Duration) -> Result<Self, HubError> {
        let client = http_client::builder().connect_timeout(TIMEOUT).read_timeout(TIMEOUT).build();
        let client = client.map_err(|error| HubError::Unreachable {
            url: endpoint.clone(),
            reason: format!("no client could be made, are the system's certificates installed? {error}"),
        })?;
        Ok(Self { client, endpoint, retry_delay })
    }

    /// Fetches the files of a model that are missing or wrong. `progress` makes a progress bar for the name of a file
    /// and its size in bytes.
    pub async fn fetch(
        &self,
        model: &KnownModel,
        models_dir: &Path,
        progress: impl Fn(&str, Option<u64>) -> ProgressBar,
    ) -> Result<(), HubError> {
        let (Some(repository), Some(revision)) = (&model.repository, &model.revision) else {
            let packages: Vec<_> = model.packages.iter().flat_map(|set| set.requirements.clone()).collect();
            return Err(HubError::NotOnHub { name: model.name.clone(), packages: packages.join(" ") });
        };
        let dir = model.dir(models_dir);
        fs::create_dir_all(&dir).map_err(disk_error("cannot create", &dir))?;
        let _lock = lock(&dir).await?;
        for file in &model.files {
            let path = dir.join(&file.name);
            if is_correct(&path, file).map_err(disk_error("cannot read", &path))? {
                continue;
            }
            let bar = progress(&format!("{}/{}", model.name, file.name), file.bytes);
            let url = self.file_url(repository, revision, &file.name);
            self.fetch_file(&url, &path, file, &bar).await?;
            bar.finish();
        }
        Ok(())
    }

    /// The URL of a file on the hub: `{endpoint}/{repository}/resolve/{revision}/{file}`.
    fn file_url(&self, repository: &str, revision: &str, file: &str) -> Url {
        let mut url = self.endpoint.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{repository}/resolve/{revision}/{file}"));
        url
    }

    /// Fetches a file, with several attempts. Attempts are counted anew whenever the download has progressed.
    async fn fetch_file(
        &self,
        url: &Url,
        path: &Path,
        pinned: &PinnedFile,
        bar: &ProgressBar,
    ) -> Result<(), HubError> {
        let mut part = Part::open(path, pinned)?;
        let mut retries = Retries::new(self.retry_delay);
        let mut reached = false;
        let mut largest_size = part.size;
        loop {
            let Err(error) = self.fetch_rest(url, &mut part, bar).await else {
                return part.finish(path);
            };
            if part.size > largest_size {
                largest_size = part.size;
                retries = Retries::new(self.retry_delay);
            }
            reached |= !matches!(error, HubError::Unreachable { .. });
            let wait = retries.next_delay(error.retry_after()).filter(|_| error.is_transient(reached));
            let Some(wait) = wait else {
                part.keep();
                return Err(error);
            };
            tracing::warn!("{error}; it is tried again in {} s", wait.as_secs_f32());
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes one attempt to fetch the rest of a part.
    async fn fetch_rest(&self, url: &Url, part: &mut Part<'_>, bar: &ProgressBar) -> Result<(), HubError> {
        if part.pinned.bytes == Some(part.size) {
            return Ok(());
        }
        let mut request = self.client.get(url.clone());
        if part.size > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.size));
        }
        let response = request.send().await.map_err(|error| http_error(url, &error))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(part.size) => {
                check_is_pinned_file(&response, part.pinned)?;
            }
            StatusCode::PARTIAL_CONTENT => {
                part.restart()?;
                let reason = "another part of the file was sent than was asked for".to_owned();
                return Err(HubError::BrokenOff { url: url.clone(), reason });
            }
            // The server does not support ranges.
            StatusCode::OK => {
                check_is_pinned_file(&response, part.pinned)?;
                part.restart()?;
            }
            status => {
                // The server's file ends before the range, so the part does not belong to it.
                if status == StatusCode::RANGE_NOT_SATISFIABLE {
                    part.restart()?;
                }
                let header = response.headers().get(RETRY_AFTER);
                let retry_after = header.and_then(|header| retry_after(header, Timestamp::now()));
                return Err(HubError::Status { url: url.clone(), status, retry_after });
            }
        }
        if part.pinned.bytes.is_none()
            && let Some(rest) = response.content_length()
        {
            bar.set_length(part.size + rest);
        }
        bar.set_position(part.size);
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            part.append(&chunk.map_err(|error| http_error(url, &error))?)?;
            bar.set_position(part.size);
        }
        // A server may send less than the rest, and a proxy may end a response early.
        match part.pinned.bytes {
            Some(bytes) if part.size < bytes => {
                let reason = format!("{} of {bytes} bytes have come", part.size);
                Err(HubError::BrokenOff { url: url.clone(), reason })
            }
            _ => Ok(()),
        }
    }
}

/// Locks the folder against other processes that fetch into it. Waits for them, and the files that they fetched are
/// then there.
async fn lock(dir: &Path) -> Result<File, HubError> {
    let folder = File::open(dir).map_err(disk_error("cannot open", dir))?;
    let locked = tokio::task::spawn_blocking(move || {
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                tracing::warn!("waiting for another process that fetches the same model");
                folder.lock()?;
            }
            // Some network file systems do not support locks.
            Err(TryLockError::Error(error)) => tracing::debug!("the folder cannot be locked: {error}"),
        }
        Ok(folder)
    });
    let locked = locked.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    locked.map_err(disk_error("cannot lock", dir))
}

/// Whether a file exists with the pinned size and hash.
fn is_correct(path: &Path, pinned: &PinnedFile) -> io::Result<bool> {
    Ok(wrong_size(path, pinned)?.is_none() && wrong_hash(path, pinned)?.is_none())
}

/// Fails if a response is not the pinned file, for example the login page of a network. The part that was fetched
/// before is kept.
fn check_is_pinned_file(response: &Response, pinned: &PinnedFile) -> Result<(), HubError> {
    let content_type =
        response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let is_page = content_type.is_some_and(|content_type| content_type.starts_with(b"text/html"));
    let length = if response.status() == StatusCode::PARTIAL_CONTENT {
        file_size(response)
    } else {
        response.content_length()
    };
    let reason = match (length, pinned.bytes) {
        _ if is_page => "a web page, as those ask for who have to log in to the network".to_owned(),
        (Some(length), Some(bytes)) if length != bytes => format!("a file of {length} bytes, not {bytes}"),
        _ => return Ok(()),
    };
    Err(HubError::OtherFile { url: response.url().clone(), reason })
}

/// The first byte of a response with a range: N in `Content-Range: bytes N-…`.
fn range_start(response: &Response) -> Option<u64> {
    content_range(response)?.split_once('-')?.0.parse().ok()
}

/// The size of the whole file of a response with a range: N in `Content-Range: bytes …/N`. `None` if it is `*`.
fn file_size(response: &Response) -> Option<u64> {
    content_range(response)?.split_once('/')?.1.parse().ok()
}

fn content_range(response: &Response) -> Option<&str> {
    response.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")
}

/// The error of a request or of a response body.
fn http_error(url: &Url, error: &reqwest::Error) -> HubError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let (url, reason) = (url.clone(), cause.to_string());
    if error.is_connect() {
        HubError::Unreachable { url, reason }
    } else {
        HubError::BrokenOff { url, reason }
    }
}
