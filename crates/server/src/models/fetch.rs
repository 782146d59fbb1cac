//! Fetches model files from the Hugging Face hub: resumed where an earlier try stopped, hashed while they
//! stream, and given their name only once they are whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use indicatif::ProgressBar;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use super::verify::{matches_hash, matches_size};
use super::{KnownModel, PinnedFile};
use crate::http_client;

/// How long the hub may take to answer, and then to send anything at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a download is begun, the first time included, when the connection breaks and nothing comes.
const ATTEMPTS: u32 = 5;

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("{name} is not on the hub; it comes with the Python packages {packages}: `make models` gets it")]
    NotOnHub { name: String, packages: String },
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: Url, reason: String },
    #[error("the download of {url} broke off: {reason}")]
    BrokenOff { url: Url, reason: String },
    #[error("{url} was answered with {status}")]
    Status { url: Url, status: StatusCode },
    #[error("{path} is not what models.toml pins ({reason}); it was removed", path = path.display())]
    Wrong { path: PathBuf, reason: String },
    #[error("{what} {path}: {error}", path = path.display())]
    Disk { what: &'static str, path: PathBuf, error: io::Error },
}

impl HubError {
    /// Whether the next try may go better.
    fn may_pass(&self) -> bool {
        match self {
            Self::BrokenOff { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::TOO_MANY_REQUESTS)
            }
            _ => false,
        }
    }
}

/// The hub, or a server of the same layout.
#[derive(Debug)]
pub struct Hub {
    client: Client,
    endpoint: Url,
    /// The time between two tries.
    retry_delay: Duration,
}

/// A file on its way: what is there of it, and the hash of that.
struct Part<'f> {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    size: u64,
    pinned: &'f PinnedFile,
}

impl Hub {
    pub fn new(endpoint: Url, retry_delay: Duration) -> Result<Self, HubError> {
        let client = http_client::builder().connect_timeout(PATIENCE).read_timeout(PATIENCE).build();
        let client = client.map_err(|error| HubError::Unreachable {
            url: endpoint.clone(),
            reason: format!("no client could be made, are the system's certificates installed? {error}"),
        })?;
        Ok(Self { client, endpoint, retry_delay })
    }

    /// Fetches what is missing or wrong of a model; files that are right stay as they are. `progress`
    /// makes a bar for a file and its size.
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
        fs::create_dir_all(&dir).map_err(disk("cannot create", &dir))?;
        for file in &model.files {
            let path = dir.join(&file.name);
            if is_right(&path, file).map_err(disk("cannot read", &path))? {
                continue;
            }
            let bar = progress(&format!("{}/{}", model.name, file.name), file.bytes);
            let url = self.file_url(repository, revision, &file.name);
            self.fetch_file(&url, &path, file, &bar).await?;
            bar.finish();
        }
        Ok(())
    }

    /// `{endpoint}/{repository}/resolve/{revision}/{file}`, the layout of the hub.
    fn file_url(&self, repository: &str, revision: &str, file: &str) -> Url {
        let mut url = self.endpoint.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{repository}/resolve/{revision}/{file}"));
        url
    }

    async fn fetch_file(
        &self,
        url: &Url,
        path: &Path,
        pinned: &PinnedFile,
        bar: &ProgressBar,
    ) -> Result<(), HubError> {
        let mut attempt = 1;
        loop {
            let mut part = Part::open(path, pinned)?;
            let before = part.size;
            match self.fill(url, &mut part, bar).await {
                Ok(()) => return part.finish(path),
                Err(error) if attempt < ATTEMPTS && error.may_pass() => {
                    tracing::warn!(attempt, "the download goes on after a pause: {error}");
                    tokio::time::sleep(self.retry_delay).await;
                    attempt = if part.size > before { 1 } else { attempt + 1 };
                }
                Err(error) => {
                    part.leave();
                    return Err(error);
                }
            }
        }
    }

    /// Fetches what the part lacks.
    async fn fill(&self, url: &Url, part: &mut Part<'_>, bar: &ProgressBar) -> Result<(), HubError> {
        if part.pinned.bytes == Some(part.size) {
            return Ok(());
        }
        let mut request = self.client.get(url.clone());
        if part.size > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.size));
        }
        let response = request.send().await.map_err(|error| failed(url, &error))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response) == Some(part.size) => {}
            // The server knows no ranges, or has another file than ours began as.
            StatusCode::OK => part.restart()?,
            status => {
                part.restart()?;
                return Err(HubError::Status { url: url.clone(), status });
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
            part.append(&chunk.map_err(|error| failed(url, &error))?)?;
            bar.set_position(part.size);
        }
        Ok(())
    }
}

impl<'f> Part<'f> {
    /// Takes up what an earlier try has left, if the hash will tell whether that belongs to the file.
    fn open(path: &Path, pinned: &'f PinnedFile) -> Result<Self, HubError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(pinned.sha256.is_none());
        let mut file = options.open(&path).map_err(disk("cannot write", &path))?;
        let (hasher, size) = hash_all(&mut file).map_err(disk("cannot read", &path))?;
        let mut part = Self { path, file, hasher, size, pinned };
        if pinned.bytes.is_some_and(|bytes| part.size > bytes) {
            part.restart()?;
        }
        Ok(part)
    }

    fn restart(&mut self) -> Result<(), HubError> {
        (|| {
            self.file.set_len(0)?;
            io::Seek::rewind(&mut self.file)
        })()
        .map_err(disk("cannot write", &self.path))?;
        self.hasher = Sha256::new();
        self.size = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.size += bytes.len() as u64;
        if self.pinned.bytes.is_some_and(|bytes| self.size > bytes) {
            return Err(self.remove(format!("it has more than {} bytes", self.pinned.bytes.unwrap_or(0))));
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(disk("cannot write", &self.path))
    }

    /// Gives the file its name, if it is the right one.
    fn finish(mut self, path: &Path) -> Result<(), HubError> {
        if let Some(bytes) = self.pinned.bytes.filter(|bytes| *bytes != self.size) {
            let reason = format!("it has {} bytes, not {bytes}", self.size);
            return Err(self.remove(reason));
        }
        let found = format!("{:x}", std::mem::take(&mut self.hasher).finalize());
        if let Some(wanted) = self.pinned.sha256.as_ref().filter(|wanted| **wanted != found) {
            let reason = format!("its sha256 is {found}, not {wanted}");
            return Err(self.remove(reason));
        }
        self.file.sync_all().map_err(disk("cannot write", &self.path))?;
        fs::rename(&self.path, path).map_err(disk("cannot rename to", path))
    }

    /// Keeps what has come for the next time; nothing is not worth keeping.
    fn leave(self) {
        if self.size == 0
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{} could not be removed: {error}", self.path.display());
        }
    }

    fn remove(&self, reason: String) -> HubError {
        match fs::remove_file(&self.path) {
            Ok(()) => HubError::Wrong { path: self.path.clone(), reason },
            Err(error) => HubError::Disk { what: "cannot remove", path: self.path.clone(), error },
        }
    }
}

fn is_right(path: &Path, pinned: &PinnedFile) -> io::Result<bool> {
    Ok(matches_size(path, pinned)?.is_none() && matches_hash(path, pinned)?.is_none())
}

fn hash_all(file: &mut File) -> io::Result<(Sha256, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher, size)),
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

/// The N of `Content-Range: bytes N-…`.
fn starts_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn failed(url: &Url, error: &reqwest::Error) -> HubError {
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

fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HubError {
    move |error| HubError::Disk { what, path: path.to_owned(), error }
}
