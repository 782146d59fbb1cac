//! Uploads that are no sound, or want to do harm: refused with a sentence, and nothing is left of them.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use verbatim::settings::UploadLimits;
use verbatim_testing::media::inputs::{hundred_hours, playlists, refused};

use crate::support::app::{ApiAlone, problem};
use crate::support::clips::make;
use crate::support::form;

/// Uploads the file to each endpoint, gives the sentences, and sees that nothing is left.
async fn refusals(api: &ApiAlone, path: &Path) -> Vec<String> {
    let mut sentences = Vec::new();
    for endpoint in ["/process", "/process-audio", "/process-video"] {
        sentences.push(problem(api.client.post(endpoint, form::file(path)).await, 400).await);
        api.assert_nothing_left().await;
    }
    sentences
}

#[tokio::test]
async fn what_is_not_sound_is_refused() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let empty = dir.path().join("empty.mp3");
    fs::write(&empty, "").unwrap();
    for (path, reason) in refused(dir.path()).into_iter().chain([(empty, "empty")]) {
        for sentence in refusals(&api, &path).await {
            assert!(sentence.contains(reason), "{}: {sentence}", path.display());
        }
    }
}

#[tokio::test]
async fn a_playlist_is_refused_and_fetches_nothing() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sound.ts", server.local_addr().unwrap());
    for path in playlists(dir.path(), &url) {
        let detail = problem(api.client.post("/process", form::file(&path)).await, 400).await;
        assert!(detail.contains("not audio or video"), "{}: {detail}", path.display());
        assert!(!detail.contains("root:"), "{detail}");
        api.assert_nothing_left().await;
    }
    let server = server.into_std().unwrap();
    let error = server.accept().expect_err("somebody came for the sound");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_small_file_of_many_hours_is_refused() {
    let limits = UploadLimits { max_file_size: 10_000_000, max_media_duration: Duration::from_secs(3600) };
    let (api, dir) = (ApiAlone::with_limits(limits).await, TempDir::new().unwrap());
    for path in [hundred_hours(dir.path()), make(dir.path(), "a.flac", "-f lavfi -i anullsrc=r=8000:d=3700")]
    {
        assert!(fs::metadata(&path).unwrap().len() < 1_000_000);
        for sentence in refusals(&api, &path).await {
            assert_eq!(sentence, "The file lasts longer than the 60 minutes that are allowed.");
        }
    }
}
