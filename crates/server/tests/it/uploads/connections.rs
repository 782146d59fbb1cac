//! Connections that are cut, fall silent or come twice.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::support::app::eventually;

/// A request for the rest of an upload, whose client may stop anywhere.
struct Sending(TcpStream);

impl Sending {
    /// Sends the head of a request of so many bytes, and the first of them.
    async fn begin(upload: &Upload, offset: u64, length: usize, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(upload.client.address).await.unwrap();
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
             Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n",
            upload.path
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        Self(stream)
    }

    /// The beginning of the answer, as long as it comes in one piece.
    async fn answer(&mut self) -> String {
        let mut answer = vec![0; 2000];
        let read = self.0.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }
}

/// Waits until the server has written some of the upload.
async fn until_written(api: &ApiAlone) {
    let path = file_ending(api, ".upload");
    eventually("bytes on the disk", || async { std::fs::metadata(&path).unwrap().len() > 0 }).await;
}

#[tokio::test]
async fn what_has_arrived_before_the_connection_was_cut_is_kept() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = sine(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    for cut in [1000, 500_000, 2_000_000] {
        let offset = upload.offset().await as usize;
        let rest = file.len() - offset;
        let sending = Sending::begin(&upload, offset as u64, rest, &file[offset..cut]).await;
        drop(sending);
        // The state is stored when the end of the connection was seen. Nobody asks before, for that would end it, too.
        let state = file_ending(&api, ".upload.json");
        let stored = || async {
            let json = std::fs::read(&state).unwrap();
            serde_json::from_slice::<Value>(&json).unwrap()["offset"] == cut
        };
        eventually("the offset", stored).await;
        assert_eq!(upload.offset().await, cut as u64);
    }
    assert_eq!(upload.send(2_000_000, &file[2_000_000..]).await.status(), 204);
    assert_eq!(std::fs::read(&api.files()[0]).unwrap(), file);
}

#[tokio::test]
async fn a_newer_request_ends_one_whose_connection_was_cut_in_silence() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = sine(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    let mut silent = Sending::begin(&upload, 0, file.len(), &file[..2_000_000]).await;
    until_written(&api).await;
    let offset = upload.offset().await;
    assert!(offset > 0 && offset <= 2_000_000, "{offset}");
    let answer = silent.answer().await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("taken over"), "{answer}");

    assert_eq!(upload.send(offset, &file[offset as usize..]).await.status(), 204);
    assert_eq!(std::fs::read(&api.files()[0]).unwrap(), file);
    assert_eq!(api.store.unfinished().await.unwrap(), [upload.job()]);
}

#[tokio::test]
async fn a_newer_request_that_does_not_ask_first_is_told_where_the_upload_goes_on() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = sine(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    let mut silent = Sending::begin(&upload, 0, file.len(), &file[..2_000_000]).await;
    until_written(&api).await;
    let detail = problem(upload.send(0, &file).await, 409).await;
    assert!(silent.answer().await.contains("taken over"));
    let offset = upload.offset().await;
    assert!(detail.contains(&format!("at byte {offset}")), "{detail}");
    assert_eq!(upload.send(offset, &file[offset as usize..]).await.status(), 204);
    assert_eq!(std::fs::read(&api.files()[0]).unwrap(), file);
}

#[tokio::test]
async fn an_upload_under_way_can_be_given_up() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = sine(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    let mut sending = Sending::begin(&upload, 0, file.len(), &file[..2_000_000]).await;
    until_written(&api).await;
    assert_eq!(tus(&api.client, "DELETE", &upload.path, &[], b"").await.status(), 204);
    assert!(sending.answer().await.starts_with("HTTP/1.1 400"));
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn bytes_without_their_checksum_are_not_kept_when_the_connection_is_cut() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = sine(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    let mut stream = TcpStream::connect(upload.client.address).await.unwrap();
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        upload.path,
        file.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&file[..2_000_000]).await.unwrap();
    until_written(&api).await;
    drop(stream);
    assert_eq!(upload.offset().await, 0);
    assert_eq!(std::fs::metadata(file_ending(&api, ".upload")).unwrap().len(), 0);
}

#[tokio::test]
async fn a_server_that_stops_keeps_what_has_arrived() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = sine(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    let mut sending = Sending::begin(&upload, 0, file.len(), &file[..2_000_000]).await;
    until_written(&api).await;
    api.stopping.cancel();
    let answer = sending.answer().await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("resume the upload"), "{answer}");
    assert!(upload.offset().await > 0);
}

#[tokio::test]
async fn many_uploads_at_once_keep_apart() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = silence(&dir);
    let uploads = (0..12u8).map(|number| {
        let (client, mut file) = (api.client.clone(), file.clone());
        *file.last_mut().unwrap() = number;
        tokio::spawn(async move {
            let upload = Upload::begin(&client, file.len() as u64).await;
            for start in (0..file.len()).step_by(1000) {
                let end = file.len().min(start + 1000);
                assert_eq!(upload.send(start as u64, &file[start..end]).await.status(), 204);
            }
            (upload.job(), file)
        })
    });
    for upload in uploads.collect::<Vec<_>>() {
        let (job, file) = upload.await.unwrap();
        let stored = api.files().into_iter().find(|path| path.ends_with(job.to_string())).unwrap();
        assert_eq!(std::fs::read(stored).unwrap(), file);
    }
    assert_eq!(api.files().len(), 12);
}
