//! Resumable uploads: what each request of the tus protocol is answered, and that nothing is left of what is refused.

mod connections;
mod survival;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use serde_json::Value;
use tempfile::TempDir;
use verbatim::jobs::JobId;
use verbatim::settings::UploadLimits;

use crate::support::app::{ApiAlone, Client, json, problem};
use crate::support::clips;

/// The headers of a request, besides the version of the protocol.
type Headers<'h> = &'h [(&'h str, &'h str)];

const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// A request of the protocol.
async fn tus(client: &Client, method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Response {
    let request = client.http.request(method.parse().unwrap(), client.url(path));
    let request = request.header("tus-resumable", "1.0.0").body(body.to_vec());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.unwrap();
    assert_eq!(header(&response, "tus-resumable"), Some("1.0.0"));
    response
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// An upload that was begun.
#[derive(Debug, Clone)]
struct Upload {
    client: Client,
    path: String,
}

impl Upload {
    /// Begins an upload of so many bytes.
    async fn begin(client: &Client, length: u64) -> Self {
        Self::begin_with(client, length, "").await
    }

    async fn begin_with(client: &Client, length: u64, metadata: &str) -> Self {
        let headers = [("upload-length", &*length.to_string()), ("upload-metadata", metadata)];
        let response = tus(client, "POST", "/uploads", &headers, b"").await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        Self::at(client, header(&response, "location").unwrap())
    }

    fn at(client: &Client, path: &str) -> Self {
        Self { client: client.clone(), path: path.to_owned() }
    }

    /// The id of the job that it becomes.
    fn job(&self) -> JobId {
        JobId::parse(self.path.strip_prefix("/uploads/").unwrap()).unwrap()
    }

    /// The same upload on another server.
    fn on(&self, client: &Client) -> Self {
        Self::at(client, &self.path)
    }

    async fn head(&self) -> Response {
        tus(&self.client, "HEAD", &self.path, &[], b"").await
    }

    /// The offset of an upload that is there.
    async fn offset(&self) -> u64 {
        let response = self.head().await;
        assert_eq!(response.status(), 200);
        header(&response, "upload-offset").unwrap().parse().unwrap()
    }

    async fn send(&self, offset: u64, bytes: &[u8]) -> Response {
        self.send_with(offset, bytes, &[]).await
    }

    async fn send_with(&self, offset: u64, bytes: &[u8], headers: Headers<'_>) -> Response {
        let offset = offset.to_string();
        let headers = [&[BYTES, ("upload-offset", &*offset)], headers].concat();
        tus(&self.client, "PATCH", &self.path, &headers, bytes).await
    }

    async fn status(&self) -> Value {
        json(self.client.get(&format!("/status/{}", self.job())).await).await.1
    }
}

/// The whole minutes until an upload expires.
fn minutes_left(response: &Response) -> i64 {
    let expires = header(response, "upload-expires").unwrap();
    assert!(expires.ends_with(" GMT"), "{expires}");
    let expires = jiff::fmt::rfc2822::parse(expires).unwrap().timestamp();
    expires.duration_since(Timestamp::now()).as_mins()
}

fn silence(dir: &TempDir) -> Vec<u8> {
    std::fs::read(clips::silence(dir.path())).unwrap()
}

/// A file of nearly 3 MB, of which the server writes some before all has arrived.
fn sine(dir: &TempDir) -> Vec<u8> {
    let options = "-f lavfi -i sine=frequency=300:duration=15 -ar 48000 -ac 2 -c:a pcm_s16le";
    std::fs::read(clips::make(dir.path(), "sine.wav", options)).unwrap()
}

/// The one file with this ending in the data folder.
fn file_ending(api: &ApiAlone, ending: &str) -> PathBuf {
    api.files().into_iter().find(|path| path.to_string_lossy().ends_with(ending)).unwrap()
}

#[tokio::test]
async fn what_the_server_can_do_is_told_to_whoever_asks() {
    let api = ApiAlone::start().await;
    for path in ["/uploads", "/uploads/", "/uploads/anything"] {
        let response = api.client.http.request(reqwest::Method::OPTIONS, api.client.url(path)).send();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 204);
        for (name, value) in [
            ("tus-resumable", "1.0.0"),
            ("tus-version", "1.0.0"),
            ("tus-max-size", "10000000"),
            ("tus-checksum-algorithm", "sha1,sha256"),
            (
                "tus-extension",
                "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum",
            ),
        ] {
            assert_eq!(header(&response, name), Some(value), "{name}");
        }
    }
}

#[tokio::test]
async fn an_upload_in_pieces_becomes_the_job_of_its_id() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = silence(&dir);
    // folder/talk.wav, German, http://example.com/hook, audio/wav
    let metadata = "filename Zm9sZGVyL3RhbGsud2F2,language R2VybWFu,webhook_url aHR0cDovL2V4YW1wbGUuY29tL2hvb2s=,\
                    filetype YXVkaW8vd2F2";
    let upload = Upload::begin_with(&api.client, file.len() as u64, metadata).await;
    let head = upload.head().await;
    assert_eq!(head.status(), 200);
    let length = file.len().to_string();
    for (name, value) in [
        ("upload-offset", "0"),
        ("upload-length", &*length),
        ("upload-metadata", metadata),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(header(&head, name), Some(value), "{name}");
    }
    assert!((50..=60).contains(&minutes_left(&head)), "{head:?}");
    assert_eq!(upload.status().await["status"], 404, "it is not a job yet");

    let (first, rest) = file.split_at(3000);
    let sent = upload.send(0, first).await;
    assert_eq!((sent.status().as_u16(), header(&sent, "upload-offset")), (204, Some("3000")));
    assert!((23 * 60..=24 * 60).contains(&minutes_left(&sent)), "{sent:?}");
    assert_eq!(upload.offset().await, 3000);
    let sent = upload.send(3000, rest).await;
    assert_eq!((sent.status().as_u16(), header(&sent, "upload-offset")), (204, Some(&*length)));
    assert_eq!(header(&sent, "upload-expires"), None, "a job does not expire");

    let status = upload.status().await;
    for (name, value) in [
        ("status", "pending".into()),
        ("filename", "talk.wav".into()),
        ("file_size", file.len().into()),
        ("file_type", "audio".into()),
        ("language", "de".into()),
        ("webhook_url", Value::from("http://example.com/hook")),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
    let files = api.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].ends_with(upload.job().to_string()));
    assert_eq!(std::fs::read(&files[0]).unwrap(), file);
}

#[tokio::test]
async fn a_finished_upload_is_answered_as_such() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = silence(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    assert_eq!(upload.send(0, &file).await.status(), 204);
    let head = upload.head().await;
    let length = file.len().to_string();
    assert_eq!((head.status().as_u16(), header(&head, "upload-offset")), (200, Some(&*length)));
    assert_eq!(header(&head, "upload-length"), Some(&*length));
    // As from a client that did not get the answer.
    for (offset, bytes) in [(0, &file[..]), (file.len() as u64, b"")] {
        let again = upload.send(offset, bytes).await;
        assert_eq!((again.status().as_u16(), header(&again, "upload-offset")), (204, Some(&*length)));
    }
    let detail = problem(upload.send(7, &file).await, 409).await;
    assert!(detail.contains(&length), "{detail}");
    let detail = problem(tus(&api.client, "DELETE", &upload.path, &[], b"").await, 409).await;
    assert!(detail.contains(&upload.job().to_string()), "{detail}");
    assert_eq!(api.store.unfinished().await.unwrap(), [upload.job()]);
}

#[tokio::test]
async fn the_first_request_may_bring_bytes() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = silence(&dir);
    let length = file.len().to_string();
    let headers = [BYTES, ("upload-length", &*length)];
    let all = tus(&api.client, "POST", "/uploads", &headers, &file).await;
    assert_eq!((all.status().as_u16(), header(&all, "upload-offset")), (201, Some(&*length)));
    let upload = Upload::at(&api.client, header(&all, "location").unwrap());
    assert_eq!(upload.status().await["filename"], "upload");

    let some = tus(&api.client, "POST", "/uploads", &headers, &file[..500]).await;
    assert_eq!((some.status().as_u16(), header(&some, "upload-offset")), (201, Some("500")));
    let upload = Upload::at(&api.client, header(&some, "location").unwrap());
    assert_eq!(upload.send(500, &file[500..]).await.status(), 204);
    assert_eq!(api.store.unfinished().await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_length_may_come_later_and_only_once() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = silence(&dir);
    let begun = tus(&api.client, "POST", "/uploads", &[("upload-defer-length", "1")], b"").await;
    assert_eq!(begun.status(), 201);
    let upload = Upload::at(&api.client, header(&begun, "location").unwrap());
    let head = upload.head().await;
    assert_eq!((header(&head, "upload-length"), header(&head, "upload-defer-length")), (None, Some("1")));
    assert_eq!(upload.send(0, &file[..3000]).await.status(), 204);
    for (length, status) in [("2999", 400), ("10000001", 413), ("1e3", 400)] {
        let detail = problem(upload.send_with(3000, b"x", &[("upload-length", length)]).await, status).await;
        assert!(detail.contains("arrived") || detail.contains("10 MB") || detail.contains("1e3"), "{detail}");
    }
    let length = file.len().to_string();
    let sent = upload.send_with(3000, &file[3000..4000], &[("upload-length", &*length)]).await;
    assert_eq!(sent.status(), 204);
    assert_eq!(header(&upload.head().await, "upload-length"), Some(&*length));
    let detail = problem(upload.send_with(4000, b"x", &[("upload-length", "9000")]).await, 400).await;
    assert!(detail.contains("cannot change"), "{detail}");
    assert_eq!(upload.send(4000, &file[4000..]).await.status(), 204);
    assert_eq!(upload.status().await["file_size"], file.len());
}

#[tokio::test]
async fn bytes_count_only_with_their_checksum() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = [&b"hello world"[..], &silence(&dir)].concat();
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    let sha1 = ("upload-checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=");
    for wrong in [&b"hello World"[..], b"hello worl", &file] {
        let response = upload.send_with(0, wrong, &[sha1]).await;
        assert_eq!(response.status().as_u16(), 460);
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!((&body["title"], &body["status"]), (&"Checksum Mismatch".into(), &460.into()));
        assert_eq!(upload.offset().await, 0);
    }
    let sha256 = ("upload-checksum", "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=");
    assert_eq!(upload.send_with(0, b"hello world", &[sha256]).await.status(), 204);
    assert_eq!(std::fs::read(file_ending(&api, ".upload")).unwrap(), b"hello world");
    let detail = problem(upload.send_with(11, b"x", &[("upload-checksum", "md5 eA==")]).await, 400).await;
    assert!(detail.contains("md5"), "{detail}");
    assert_eq!(upload.offset().await, 11);
    // One that brings a wrong body with the first request has nothing to resume.
    tus(&api.client, "DELETE", &upload.path, &[], b"").await;
    let headers = [BYTES, ("upload-length", "50"), sha1];
    assert_eq!(tus(&api.client, "POST", "/uploads", &headers, b"hello").await.status().as_u16(), 460);
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn requests_that_do_not_follow_the_protocol_are_refused_and_change_nothing() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = silence(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    assert_eq!(upload.send(0, &file[..100]).await.status(), 204);

    for version in [None, Some("0.2.2")] {
        for (method, path) in [("POST", "/uploads"), ("PATCH", &*upload.path), ("DELETE", &*upload.path)] {
            let mut request = api.client.http.request(method.parse().unwrap(), api.client.url(path));
            if let Some(version) = version {
                request = request.header("tus-resumable", version);
            }
            let response = request.header("upload-length", "10").send().await.unwrap();
            assert_eq!(header(&response, "tus-version"), Some("1.0.0"));
            assert_eq!(header(&response, "tus-resumable"), Some("1.0.0"));
            problem(response, 412).await;
        }
    }
    let offset = ("upload-offset", "100");
    let json_type = ("content-type", "application/json");
    for (headers, status, says) in [
        (&[BYTES][..], 400, "Upload-Offset is missing"),
        (&[BYTES, ("upload-offset", "-1")], 400, "“-1” in upload-offset"),
        (&[BYTES, ("upload-offset", "1 00")], 400, "“1 00”"),
        (&[offset], 415, "application/offset+octet-stream"),
        (&[offset, json_type], 415, "application/offset+octet-stream"),
        (&[BYTES, ("upload-offset", "99")], 409, "goes on at byte 100, not at byte 99"),
        (&[BYTES, ("upload-offset", "101")], 409, "goes on at byte 100"),
        (&[BYTES, offset, ("upload-checksum", "sha1 x")], 400, "Upload-Checksum"),
    ] {
        let detail =
            problem(tus(&api.client, "PATCH", &upload.path, headers, &file[100..]).await, status).await;
        assert!(detail.contains(says), "{detail}");
    }
    let detail = problem(upload.send(100, &file).await, 413).await;
    assert!(detail.contains("more bytes than"), "{detail}");
    let wrong = tus(&api.client, "PUT", &upload.path, &[], b"").await;
    assert_eq!(header(&wrong, "allow"), Some("HEAD, PATCH, DELETE, OPTIONS"));
    problem(wrong, 405).await;
    problem(tus(&api.client, "GET", "/uploads", &[], b"").await, 405).await;
    assert_eq!(upload.offset().await, 100);

    for path in [format!("/uploads/{}", JobId::new()), "/uploads/none".into(), "/uploads/..%2Fx".into()] {
        let unknown = Upload::at(&api.client, &path);
        assert_eq!(unknown.head().await.status(), 404);
        assert!(problem(unknown.send(0, b"x").await, 404).await.starts_with("There is no such upload"));
        problem(tus(&api.client, "DELETE", &path, &[], b"").await, 404).await;
    }
}

#[tokio::test]
async fn an_upload_that_could_not_become_a_job_is_not_begun() {
    let api = ApiAlone::start().await;
    let length = ("upload-length", "1000");
    for (headers, status, says) in [
        (&[][..], 400, "size of the file is missing"),
        (&[("upload-length", "x")], 400, "“x” in upload-length"),
        (&[("upload-length", "0")], 400, "The file is empty."),
        (&[("upload-length", "10000001")], 413, "at most 10 MB"),
        (&[("upload-defer-length", "2")], 400, "Upload-Defer-Length"),
        (&[length, ("upload-defer-length", "1")], 400, "Upload-Defer-Length"),
        (&[length, ("upload-metadata", "filename ???")], 400, "“filename” is not base64"),
        // klingon, yue, ftp://example.com, 2
        (&[length, ("upload-metadata", "language a2xpbmdvbg==")], 422, "klingon"),
        (&[length, ("upload-metadata", "language eXVl")], 422, "yue"),
        (&[length, ("upload-metadata", "webhook_url ZnRwOi8vZXhhbXBsZS5jb20=")], 422, "ftp://example.com"),
        (&[length, ("upload-metadata", "temperature Mg==")], 422, "temperature: “2”"),
        (&[length, ("upload-metadata", "hotwords /w==")], 422, "“hotwords” is not UTF-8"),
    ] {
        let detail = problem(tus(&api.client, "POST", "/uploads", headers, b"").await, status).await;
        assert!(detail.contains(says), "{detail}");
        api.assert_nothing_left().await;
    }
    let detail = problem(tus(&api.client, "POST", "/uploads", &[length], b"bytes").await, 415).await;
    assert!(detail.contains("offset+octet-stream"), "{detail}");
    let too_many = tus(&api.client, "POST", "/uploads", &[BYTES, ("upload-length", "4")], b"bytes").await;
    problem(too_many, 413).await;
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn a_file_that_is_not_media_is_refused_with_its_last_byte_and_nothing_is_left() {
    let api = ApiAlone::start().await;
    let text = b"This is not a film.";
    let upload = Upload::begin(&api.client, text.len() as u64).await;
    assert_eq!(upload.send(0, &text[..5]).await.status(), 204);
    let detail = problem(upload.send(5, &text[5..]).await, 400).await;
    assert!(detail.contains("not audio or video"), "{detail}");
    api.assert_nothing_left().await;
    assert_eq!(upload.head().await.status(), 404);
    let headers = [BYTES, ("upload-length", "19")];
    problem(tus(&api.client, "POST", "/uploads", &headers, text).await, 400).await;
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn an_upload_that_is_given_up_is_gone() {
    let api = ApiAlone::start().await;
    let upload = Upload::begin(&api.client, 1000).await;
    assert_eq!(upload.send(0, b"some").await.status(), 204);
    assert_eq!(tus(&api.client, "DELETE", &upload.path, &[], b"").await.status(), 204);
    api.assert_nothing_left().await;
    assert_eq!(upload.head().await.status(), 404);
    problem(upload.send(4, b"more").await, 404).await;
    problem(tus(&api.client, "DELETE", &upload.path, &[], b"").await, 404).await;
}

#[tokio::test]
async fn a_client_that_can_only_post_names_its_method_in_a_header() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let file = silence(&dir);
    let upload = Upload::begin(&api.client, file.len() as u64).await;
    let post = async |method: &str, headers: Headers<'_>, body: &[u8]| {
        let headers = [&[("x-http-method-override", method)], headers].concat();
        tus(&api.client, "POST", &upload.path, &headers, body).await
    };
    assert_eq!(post("PATCH", &[BYTES, ("upload-offset", "0")], &file[..7]).await.status(), 204);
    let head = post("HEAD", &[], b"").await;
    assert_eq!((head.status().as_u16(), header(&head, "upload-offset")), (200, Some("7")));
    problem(post("NO METHOD", &[], b"").await, 400).await;
    assert_eq!(post("OPTIONS", &[], b"").await.status(), 204);
    assert_eq!(post("DELETE", &[], b"").await.status(), 204);
    assert_eq!(upload.head().await.status(), 404);
}

#[tokio::test]
async fn an_upload_that_has_expired_is_gone_before_it_is_swept() {
    let api = ApiAlone::start().await;
    let upload = Upload::begin(&api.client, 1000).await;
    expire(&file_ending(&api, ".upload.json"));
    assert_eq!(upload.head().await.status(), 410);
    assert_eq!(problem(upload.send(0, b"some").await, 410).await, "The upload has expired; begin a new one.");
}

/// As if the client had sent nothing for a day.
fn expire(state: &Path) {
    let mut json: Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
    json["expires"] = "2026-01-01T00:00:00Z".into();
    std::fs::write(state, json.to_string()).unwrap();
}

#[tokio::test]
async fn room_on_the_disk_is_promised_to_no_two_uploads() {
    let limits = UploadLimits { max_file_size: u64::MAX, max_media_duration: Duration::from_secs(5) };
    let api = ApiAlone::with_limits(limits).await;
    let headers = [("upload-length", "999999999999999")];
    let detail = problem(tus(&api.client, "POST", "/uploads", &headers, b"").await, 507).await;
    assert!(detail.contains("not enough room"), "{detail}");
    api.assert_nothing_left().await;

    let (_, health) = json(api.client.get("/health").await).await;
    let most = health["disk"]["free_bytes"].as_u64().unwrap() / 10 * 6;
    let first = Upload::begin(&api.client, most).await;
    let headers = [("upload-length", &*most.to_string())];
    problem(tus(&api.client, "POST", "/uploads", &headers, b"").await, 507).await;
    assert_eq!(tus(&api.client, "DELETE", &first.path, &[], b"").await.status(), 204);
    let second = Upload::begin(&api.client, most).await;

    // One whose length was not known has to fit when it is.
    let begun = tus(&api.client, "POST", "/uploads", &[("upload-defer-length", "1")], b"").await;
    let deferred = Upload::at(&api.client, header(&begun, "location").unwrap());
    let length = ("upload-length", "999999999999999");
    problem(deferred.send_with(0, b"x", &[length]).await, 507).await;
    assert_eq!((second.offset().await, deferred.offset().await), (0, 0));
}
