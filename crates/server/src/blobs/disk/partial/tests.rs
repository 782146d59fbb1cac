//! Two values of [`DiskBlobs`] on one folder stand for two processes.

use tempfile::TempDir;

use super::*;
use crate::blobs::OpenBlob;
use crate::store;

const EXPIRY: Duration = Duration::from_secs(3600);

fn open(data: &TempDir) -> DiskBlobs {
    DiskBlobs::open(data.path()).unwrap().with_upload_expiry(EXPIRY)
}

fn names(blobs: &DiskBlobs) -> Vec<String> {
    let entries = fs::read_dir(&blobs.dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn content(blob: &OpenBlob) -> Vec<u8> {
    fs::read(blob.path()).unwrap()
}

/// An upload of ten bytes, of which five are stored.
async fn half(blobs: &DiskBlobs) -> (JobId, Box<dyn PartialUpload>) {
    let id = JobId::new();
    let metadata = "filename dGFsay5tcDQ=".to_owned();
    let mut partial = blobs.partials().create(id, Some(10), metadata, Timestamp::now()).await.unwrap();
    partial.write(b"01234").await.unwrap();
    partial.commit(Timestamp::now()).await.unwrap();
    (id, partial)
}

#[tokio::test]
async fn what_was_committed_survives_and_what_was_not_is_cut_off() {
    let data = TempDir::new().unwrap();
    let blobs = open(&data);
    let (id, mut partial) = half(&blobs).await;
    partial.write(&vec![7; 2 * BUFFER_BYTES]).await.unwrap();
    assert_eq!((partial.state().offset, partial.written()), (5, 5 + 2 * BUFFER_BYTES as u64));
    let state = partial.state().clone();
    drop(partial);
    let path = Files::new(&blobs.dir, id).bytes;
    assert!(fs::metadata(&path).unwrap().len() > 5);

    let mut partial = open(&data).partials().open(id).await.unwrap();
    assert_eq!((partial.state(), partial.written()), (&state, 5));
    assert_eq!(fs::read(&path).unwrap(), b"01234");
    assert!(!partial.state().is_complete());
    partial.write(b"5678").await.unwrap();
    partial.roll_back().await.unwrap();
    partial.write(b"56789").await.unwrap();
    partial.commit(Timestamp::now()).await.unwrap();
    assert!(partial.state().is_complete());
    assert_eq!(fs::read(&path).unwrap(), b"0123456789");
    assert_eq!(blobs.partials().complete().await.unwrap(), [id]);
}

#[tokio::test]
async fn bytes_that_the_disk_has_lost_are_asked_for_again() {
    let data = TempDir::new().unwrap();
    let blobs = open(&data);
    let (id, partial) = half(&blobs).await;
    drop(partial);
    fs::write(Files::new(&blobs.dir, id).bytes, "012").unwrap();
    assert_eq!(blobs.partials().open(id).await.unwrap().state().offset, 3);
}

#[tokio::test]
async fn a_length_that_comes_later_is_stored() {
    let data = TempDir::new().unwrap();
    let blobs = open(&data);
    let id = JobId::new();
    let mut partial = blobs.partials().create(id, None, String::new(), Timestamp::now()).await.unwrap();
    assert_eq!((partial.state().length, partial.state().is_complete()), (None, false));
    partial.set_length(7).await.unwrap();
    drop(partial);
    assert_eq!(blobs.partials().open(id).await.unwrap().state().length, Some(7));
}

#[tokio::test]
async fn a_newer_request_of_the_same_process_gets_the_upload_when_the_older_one_has_ended() {
    let data = TempDir::new().unwrap();
    let blobs = open(&data);
    let (id, mut older) = half(&blobs).await;
    let superseded = older.superseded();
    assert!(!superseded.is_cancelled());
    let (newer, ()) = tokio::join!(blobs.partials().open(id), async {
        superseded.cancelled().await;
        older.write(b"56").await.unwrap();
        older.commit(Timestamp::now()).await.unwrap();
        drop(older);
    });
    let newer = newer.unwrap();
    assert_eq!(newer.state().offset, 7);
    assert!(!newer.superseded().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_request_of_another_process_keeps_the_upload_until_it_lets_go() {
    let data = TempDir::new().unwrap();
    let (blobs, other) = (open(&data), open(&data));
    let (id, mut partial) = half(&blobs).await;
    let locked = other.partials().open(id).await.unwrap_err();
    assert_eq!(locked.kind(), io::ErrorKind::WouldBlock);
    assert!(!partial.superseded().is_cancelled());

    // Nobody comes meanwhile.
    partial.write(b"56").await.unwrap();
    partial.release().await.unwrap();
    partial.hold().await.unwrap();
    partial.commit(Timestamp::now()).await.unwrap();

    // Another one comes and is still there.
    partial.release().await.unwrap();
    let mut newer = other.partials().open(id).await.unwrap();
    assert_eq!(newer.state().offset, 7);
    assert_eq!(partial.hold().await.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    newer.write(b"7").await.unwrap();
    newer.commit(Timestamp::now()).await.unwrap();
    drop(newer);
    // It has gone, but what it has stored stays.
    assert_eq!(partial.hold().await.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(partial);
    let partial = blobs.partials().open(id).await.unwrap();
    assert_eq!(partial.state().offset, 8);

    other.partials().open(JobId::new()).await.unwrap_err();
    partial.remove().await.unwrap();
    assert_eq!(other.partials().open(id).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(names(&blobs), Vec::<String>::new());
}

#[tokio::test]
async fn room_is_promised_once() {
    let data = TempDir::new().unwrap();
    let (blobs, other) = (open(&data), open(&data));
    let most = blobs.free_bytes().unwrap() / 10 * 6;
    let now = Timestamp::now();
    let first = blobs.partials().create(JobId::new(), Some(most), String::new(), now).await.unwrap();
    let refused = other.partials().create(JobId::new(), Some(most), String::new(), now).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(names(&blobs).len(), 2, "only the first one is there");
    first.remove().await.unwrap();
    other.partials().create(JobId::new(), Some(most), String::new(), now).await.unwrap();
}

#[tokio::test]
async fn what_has_expired_and_what_a_crash_has_left_is_purged() {
    let data = TempDir::new().unwrap();
    let (blobs, other) = (open(&data), open(&data));
    let now = Timestamp::now();
    let [expired, fresh, running] = [half(&blobs).await, half(&blobs).await, half(&blobs).await];
    let later = now + EXPIRY + Duration::from_secs(60);
    drop(expired.1);
    let (fresh, mut partial) = fresh;
    partial.write(b"5").await.unwrap();
    partial.commit(later).await.unwrap();
    drop(partial);
    let (bytes, state) = (Files::new(&blobs.dir, JobId::new()), Files::new(&blobs.dir, JobId::new()));
    fs::write(&bytes.bytes, "without a state").unwrap();
    fs::write(&state.new_state, "half a st").unwrap();

    other.partials().purge_expired(now + EXPIRY / 2).await.unwrap();
    assert!(!bytes.bytes.exists() && !state.new_state.exists());
    assert_eq!(names(&blobs).len(), 6);
    other.partials().purge_expired(later).await.unwrap();
    let left = [fresh, running.0].map(|id| [format!("{id}.upload"), format!("{id}.upload.json")]);
    let mut left = left.concat();
    left.sort();
    assert_eq!(names(&blobs), left, "one that a request has open stays");
}

#[tokio::test]
async fn a_finished_upload_is_there_until_its_job_has_it() {
    let data = TempDir::new().unwrap();
    let (blobs, other) = (open(&data), open(&data));
    let store = store::open(&data.path().join("jobs.db")).await.unwrap();
    let (id, mut partial) = half(&blobs).await;
    partial.write(b"56789").await.unwrap();
    partial.commit(Timestamp::now()).await.unwrap();

    let blob = partial.finish().await.unwrap();
    assert_eq!((blob.size(), content(&blob.open().unwrap())), (10, b"0123456789".to_vec()));
    assert_eq!(blobs.jobs().await.unwrap(), [id]);
    drop(blob);
    assert_eq!(blobs.jobs().await.unwrap(), []);

    // A process that ends here has stored no job.
    let path = blobs.path(id);
    fs::hard_link(Files::new(&blobs.dir, id).bytes, &path).unwrap();
    assert_eq!(other.sweep(store.as_ref()).await.unwrap(), Vec::<String>::new());
    assert!(path.exists(), "its request still runs");
    drop(partial);
    assert_eq!(other.sweep(store.as_ref()).await.unwrap(), Vec::<String>::new());
    assert!(!path.exists(), "only the name of the job's blob is removed");
    assert_eq!(other.partials().complete().await.unwrap(), [id]);

    let partial = other.partials().open(id).await.unwrap();
    // As if that process had gone on to here without the sweep.
    fs::hard_link(Files::new(&blobs.dir, id).bytes, &path).unwrap();
    partial.finish().await.unwrap().keep();
    partial.remove().await.unwrap();
    assert_eq!(names(&blobs), [id.to_string()]);
    let blob = Blobs::open(&blobs, id).await.unwrap();
    assert_eq!(content(&blob), b"0123456789");
}
