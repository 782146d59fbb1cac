use std::sync::Arc;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::jobs::JobOptions;
use crate::jobs::{FileType, NewJob};
use crate::store;

fn names(uploads: &DiskBlobs) -> Vec<String> {
    let entries = fs::read_dir(&uploads.dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_kept_upload_stays_until_its_job_removes_it() {
    let data = TempDir::new().unwrap();
    let uploads = DiskBlobs::open(data.path()).unwrap();
    let job = JobId::new();
    let mut writer = uploads.begin(job).await.unwrap();
    writer.write(b"first ").await.unwrap();
    writer.write(b"second").await.unwrap();
    assert_eq!(writer.written(), 12);
    assert_eq!(names(&uploads), [format!("{job}.part")]);

    let upload = writer.finish().await.unwrap();
    assert_eq!((upload.size(), fs::read(upload.open().unwrap().path()).unwrap().len()), (12, 12));
    upload.keep();
    assert_eq!(fs::read(uploads.path(job)).unwrap(), b"first second");

    uploads.remove(job).await.unwrap();
    uploads.remove(job).await.unwrap();
    assert_eq!(names(&uploads), Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_that_is_not_kept_is_removed_on_drop() {
    let data = TempDir::new().unwrap();
    let uploads = DiskBlobs::open(data.path()).unwrap();
    let mut writer = uploads.begin(JobId::new()).await.unwrap();
    writer.write(&vec![7; BUFFER_BYTES * 3]).await.unwrap();
    drop(writer);
    assert_eq!(names(&uploads), Vec::<String>::new());

    let upload = uploads.begin(JobId::new()).await.unwrap().finish().await.unwrap();
    drop(upload);
    assert_eq!(names(&uploads), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_writer_of_the_same_job_leaves_the_first_alone() {
    let data = TempDir::new().unwrap();
    let uploads = DiskBlobs::open(data.path()).unwrap();
    let job = JobId::new();
    let first = uploads.begin(job).await.unwrap();
    assert_eq!(uploads.begin(job).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(names(&uploads), [format!("{job}.part")]);
    drop(first);
}

async fn store(data: &TempDir) -> Arc<dyn JobStore> {
    store::open(&data.path().join("jobs.db")).await.unwrap()
}

fn new_job(id: JobId) -> NewJob {
    NewJob {
        id,
        filename: "talk.mp3".to_owned(),
        file_size: 1,
        file_type: FileType::Audio,
        duration: None,
        tracks: None,
        options: JobOptions::default(),
        webhook_url: None,
        content_hash: None,
    }
}

#[tokio::test]
async fn the_sweep_moves_only_orphans_and_they_are_purged_after_a_day() {
    let data = TempDir::new().unwrap();
    let uploads = DiskBlobs::open(data.path()).unwrap();
    let store = store(&data).await;
    let (needed, orphan, crashed) = (JobId::new(), JobId::new(), JobId::new());
    store.insert(new_job(needed), Timestamp::now()).await.unwrap();
    let ended = JobId::new();
    store.insert(new_job(ended), Timestamp::now()).await.unwrap();
    store.cancel(ended, "Cancelled.", Timestamp::now()).await.unwrap();
    fs::write(uploads.path(ended), "x").unwrap();
    for name in [needed.to_string(), orphan.to_string(), format!("{crashed}.part"), "notes".to_owned()] {
        fs::write(uploads.dir.join(name), "x").unwrap();
    }
    fs::create_dir(uploads.dir.join(JobId::new().to_string())).unwrap();
    let running = uploads.begin(JobId::new()).await.unwrap();
    let unkept = uploads.begin(JobId::new()).await.unwrap().finish().await.unwrap();

    let before = names(&uploads).len();
    let mut expected = [orphan.to_string(), format!("{crashed}.part")];
    expected.sort();
    let mut moved = uploads.sweep(store.as_ref()).await.unwrap();
    moved.sort();
    assert_eq!(moved, expected);
    let left = names(&uploads);
    assert_eq!(left.len(), before - 2);
    assert!(uploads.path(ended).exists(), "workers remove it once it was kept long enough");
    assert!(!left.contains(&expected[0]) && !left.contains(&expected[1]));
    assert!(unkept.open().is_ok());
    drop(running);

    let is_orphan = |name: &String| data.path().join("orphans").join(name).exists();
    let now = SystemTime::now();
    uploads.purge_orphans(now + ORPHANS_KEPT / 2).await.unwrap();
    assert!(expected.iter().all(is_orphan));
    uploads.purge_orphans(now + ORPHANS_KEPT + Duration::from_secs(60)).await.unwrap();
    assert!(!expected.iter().any(is_orphan));
}

/// One process keeps uploads while another sweeps, as it does at its start.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sweep_never_moves_an_upload_that_another_process_has_just_kept() {
    let data = TempDir::new().unwrap();
    let uploads = DiskBlobs::open(data.path()).unwrap();
    let (store, other) = (store(&data).await, store(&data).await);
    let all_kept = CancellationToken::new();
    let sweeping = tokio::spawn({
        let (uploads, all_kept) = (uploads.clone(), all_kept.clone());
        async move {
            let mut swept = Vec::new();
            while !all_kept.is_cancelled() {
                swept.extend(uploads.sweep(other.as_ref()).await.unwrap());
            }
            swept
        }
    });
    let mut kept = Vec::new();
    for _ in 0..100 {
        let id = JobId::new();
        let upload = uploads.begin(id).await.unwrap().finish().await.unwrap();
        store.insert(new_job(id), Timestamp::now()).await.unwrap();
        upload.keep();
        kept.push(id);
    }
    all_kept.cancel();
    assert_eq!(sweeping.await.unwrap(), Vec::<String>::new());
    assert!(kept.iter().all(|id| uploads.path(*id).exists()));
}

#[test]
fn too_little_free_space_is_an_error() {
    let data = TempDir::new().unwrap();
    let uploads = DiskBlobs::open(data.path()).unwrap();
    uploads.require_room(1).unwrap();
    let error = uploads.require_room(u64::MAX).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().contains("MB left"), "{error}");
}
