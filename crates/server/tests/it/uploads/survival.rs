//! The real binary keeps uploads: killed at any moment, on a full disk, beside another process on the same folder.

use std::fs;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use verbatim::store;

use super::*;
use crate::process::{Server, database};
use crate::recovery::SmallDisk;
use crate::support::app::eventually;

/// The novel, with its name.
const NAMED: &str = "filename bm92ZWwud2F2";

fn novel() -> Vec<u8> {
    fs::read(clips::novel()).unwrap()
}

/// Waits for the job of an upload and checks that it heard what was sent.
async fn assert_heard(server: &Server, upload: &Upload) {
    let (status, body) = server.end_of(upload.job()).await;
    assert_eq!(status, 200, "{body}");
    let transcript = body["result"]["transcript"].as_str().unwrap().to_lowercase();
    assert!(transcript.contains("young man"), "{transcript}");
}

/// Waits until the folder of uploads is empty.
async fn assert_nothing_left(dir: &Path) {
    let uploads = dir.join("data/uploads");
    let is_empty = || async { uploads.read_dir().unwrap().next().is_none() };
    eventually("the folder of uploads to be empty", is_empty).await;
}

/// Asks until the upload is not locked: its server may still be finishing it.
async fn offset(upload: &Upload) -> u64 {
    loop {
        let head = upload.head().await;
        match head.status().as_u16() {
            200 => return header(&head, "upload-offset").unwrap().parse().unwrap(),
            423 => {}
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_byte_that_was_answered() {
    let (dir, file) = (TempDir::new().unwrap(), novel());
    let server = Server::start(dir.path()).await;
    let upload = Upload::begin_with(&server.client, file.len() as u64, NAMED).await;
    assert_eq!(upload.send(0, &file[..10_000]).await.status(), 204);
    // This much is under way when the process ends.
    let mut stream = TcpStream::connect(server.client.address).await.unwrap();
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 10000\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 50000\r\n\r\n",
        upload.path
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&file[10_000..20_000]).await.unwrap();
    server.kill();

    let server = Server::start(dir.path()).await;
    let upload = upload.on(&server.client);
    let head = upload.head().await;
    assert_eq!(header(&head, "upload-metadata"), Some(NAMED));
    let kept = upload.offset().await as usize;
    assert!((10_000..=20_000).contains(&kept), "{kept}");
    assert_eq!(upload.send(kept as u64, &file[kept..]).await.status(), 204);
    assert_eq!(upload.status().await["filename"], "novel.wav");
    assert_heard(&server, &upload).await;
    assert_nothing_left(dir.path()).await;
}

/// The database does not take the job, so that the process can be ended between the last byte and its job.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_between_the_last_byte_and_its_job_loses_no_upload() {
    let (dir, file) = (TempDir::new().unwrap(), novel());
    let server = Server::start(dir.path()).await;
    let upload = Upload::begin_with(&server.client, file.len() as u64, NAMED).await;
    let mut writer = SqliteConnectOptions::new().filename(database(dir.path())).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.unwrap();
    let sending = tokio::spawn({
        let (upload, file) = (upload.clone(), file.clone());
        async move {
            let request = upload.client.http.patch(upload.client.url(&upload.path)).body(file);
            let request = request.header("tus-resumable", "1.0.0").header("upload-offset", "0");
            request.header(BYTES.0, BYTES.1).send().await
        }
    });
    let uploads = dir.path().join("data/uploads");
    let blob = uploads.join(upload.job().to_string());
    eventually("all bytes to be there", || async { blob.exists() }).await;
    server.kill();
    assert!(sending.await.unwrap().is_err(), "it was not answered");
    sqlx::query("ROLLBACK").execute(&mut writer).await.unwrap();
    let store = store::open(&database(dir.path())).await.unwrap();
    assert_eq!(store.unfinished().await.unwrap(), []);
    store.close().await;
    assert!(uploads.join(format!("{}.upload", upload.job())).exists());

    // The client need not come back.
    let server = Server::start(dir.path()).await;
    let upload = upload.on(&server.client);
    eventually("the job", || async { upload.status().await["status"].is_string() }).await;
    assert_eq!(offset(&upload).await, file.len() as u64);
    assert_heard(&server, &upload).await;
    assert_eq!(upload.offset().await, file.len() as u64, "also after the job has ended");
    assert_nothing_left(dir.path()).await;
    assert!(!dir.path().join("data/orphans").exists(), "nothing was set aside");
}

/// Whatever the server was doing, the client goes on where the next one says, and the upload has its job.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_of_the_last_request_costs_at_most_a_repetition() {
    let (dir, file) = (TempDir::new().unwrap(), novel());
    let mut server = Server::start(dir.path()).await;
    for round in 0..6u64 {
        let upload = Upload::begin_with(&server.client, file.len() as u64, NAMED).await;
        let sending = tokio::spawn({
            let (upload, file) = (upload.clone(), file.clone());
            async move {
                let request = upload.client.http.patch(upload.client.url(&upload.path)).body(file);
                let request = request.header("tus-resumable", "1.0.0").header("upload-offset", "0");
                request.header(BYTES.0, BYTES.1).send().await.is_ok_and(|answer| answer.status() == 204)
            }
        });
        // Some rounds end it while it receives, some while it probes, some after the job is stored.
        tokio::time::sleep(Duration::from_millis(30 * round)).await;
        server.kill();
        let was_answered = sending.await.unwrap();
        server = Server::start(dir.path()).await;
        let upload = upload.on(&server.client);
        let kept = offset(&upload).await;
        assert!(!was_answered || kept == file.len() as u64, "round {round}: {kept} of an answered upload");
        if kept < file.len() as u64 {
            assert_eq!(upload.send(kept, &file[kept as usize..]).await.status(), 204, "round {round}");
        }
        assert_heard(&server, &upload).await;
    }
    assert_nothing_left(dir.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_one_has_the_upload_and_the_other_gets_it_when_the_client_is_silent() {
    let (dir, file) = (TempDir::new().unwrap(), novel());
    let (first, second) = tokio::join!(Server::start(dir.path()), Server::start(dir.path()));
    let upload = Upload::begin_with(&first.client, file.len() as u64, NAMED).await;
    let on_second = upload.on(&second.client);
    assert_eq!(on_second.offset().await, 0);

    let mut stream = TcpStream::connect(first.client.address).await.unwrap();
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        upload.path,
        file.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A slow client that is never silent for long.
    let slow = async {
        let mut turns = tokio::time::interval(Duration::from_millis(100));
        for byte in &file {
            turns.tick().await;
            stream.write_all(&[*byte]).await.unwrap();
        }
    };
    // The second process may be asked before the first one has seen the request.
    let refused = async {
        loop {
            let response = on_second.send(0, b"").await;
            if response.status() != 204 {
                return problem(response, 423).await;
            }
        }
    };
    let sentence = tokio::select! {
        () = slow => panic!("the client has sent all"),
        sentence = refused => sentence,
    };
    assert!(sentence.contains("try again"), "{sentence}");

    // The client is silent now; its connection is still there.
    let kept = offset(&on_second).await;
    assert!(kept > 0, "what had arrived at the first process counts");
    let answered = on_second.send(kept, &file[kept as usize..]).await;
    assert_eq!(answered.status(), 204);
    // It sends again after all.
    stream.write_all(&file[kept as usize..kept as usize + 1000]).await.unwrap();
    let mut answer = vec![0; 2000];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("taken over"), "{answer}");
    assert_heard(&second, &on_second).await;
    assert_eq!(offset(&upload).await, file.len() as u64);
    assert_nothing_left(dir.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_uploads_that_have_expired_are_swept() {
    let dir = TempDir::new().unwrap();
    let server = Server::start_with(dir.path(), &[("UPLOAD_EXPIRY", Path::new("1s"))]).await;
    let upload = Upload::begin(&server.client, 1000).await;
    assert_nothing_left(dir.path()).await;
    assert_eq!(upload.head().await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_an_upload_up_and_costs_none_of_its_bytes() {
    // The service leaves 268 MB of a disk free.
    let Some(disk) = SmallDisk::mount("300m") else {
        verbatim_testing::skip("a full disk for uploads: this process may not mount a file system");
        return;
    };
    let (dir, file) = (TempDir::new().unwrap(), novel());
    let data = disk.0.path().join("data");
    let server = Server::start_with(dir.path(), &[("DATA_DIR", &data)]).await;
    let upload = Upload::begin_with(&server.client, file.len() as u64, NAMED).await;
    assert_eq!(upload.send(0, &file[..10_000]).await.status(), 204);
    disk.fill();
    let detail = problem(upload.send(10_000, &file[10_000..]).await, 507).await;
    assert!(detail.contains("not enough room"), "{detail}");
    problem(tus(&server.client, "POST", "/uploads", &[("upload-length", "1000")], b"").await, 507).await;
    assert_eq!(upload.offset().await, 10_000);
    disk.make_room();
    assert_eq!(upload.send(10_000, &file[10_000..]).await.status(), 204);
    assert_heard(&server, &upload).await;
}
