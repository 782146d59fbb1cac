//! Brings a file to a server, in whatever way that takes it, and gives the id of its job.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::error::ClientError;
use super::remembered::{RememberedUploads, UploadKey};
use super::server::Server;
use super::source::SourceFile;
use super::{form, tus};
use crate::jobs::JobId;

/// Uploads a file, with a progress bar on standard error. Goes on with an upload of the same file that is not complete.
pub(in crate::commands) async fn upload(
    server: &Server,
    source: &SourceFile,
    options: &[(&'static str, String)],
    remembered: &RememberedUploads,
) -> Result<JobId, ClientError> {
    let bar = bar(source);
    let uploaded = upload_with(server, source, options, remembered, &bar).await;
    bar.finish_and_clear();
    uploaded
}

async fn upload_with(
    server: &Server,
    source: &SourceFile,
    options: &[(&'static str, String)],
    remembered: &RememberedUploads,
    bar: &ProgressBar,
) -> Result<JobId, ClientError> {
    let metadata = tus::metadata(&source.name, options);
    let key = UploadKey::new(&server.name(), source, &metadata);
    if let Some(id) = remembered.find(&key) {
        match tus::send(server, source, id, None, bar).await {
            Err(ClientError::UploadGone { .. }) => remembered.forget(&key),
            ended => return forget(remembered, &key, ended, id),
        }
    }
    match server.retrying(bar, async || tus::create(server, source, &metadata).await).await? {
        None => form::submit(server, source, options, bar).await,
        Some(id) => {
            remembered.remember(&key, id, Timestamp::now());
            let ended = tus::send(server, source, id, Some(0), bar).await;
            forget(remembered, &key, ended, id)
        }
    }
}

/// Forgets an upload that is complete, or that no other start can complete.
fn forget(
    remembered: &RememberedUploads,
    key: &UploadKey,
    ended: Result<(), ClientError>,
    id: JobId,
) -> Result<JobId, ClientError> {
    let is_over = match &ended {
        Ok(()) | Err(ClientError::UploadGone { .. } | ClientError::Changed(_)) => true,
        Err(error) => error.is_of_recording(),
    };
    if is_over {
        remembered.forget(key);
    }
    ended.map(|()| id)
}

/// A progress bar of bytes, on standard error; drawn only on a terminal.
fn bar(source: &SourceFile) -> ProgressBar {
    let template = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(source.size).with_style(style).with_message(source.name.clone());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
