//! What is taken, what is refused, and that nothing is left of what was refused.

use std::convert::Infallible;
use std::iter::repeat_n;
use std::time::Duration;

use futures_util::stream;
use reqwest::multipart::{Form, Part};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use verbatim::settings::UploadLimits;
use verbatim_speech::Language;

use crate::support::app::{ApiAlone, json, problem};
use crate::support::{clips, form};

/// The beginning of an upload whose client sends no more.
const HALF_A_REQUEST: &str = "POST /process HTTP/1.1\r\nHost: x\r\n\
    Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 999999\r\n\r\n\
    --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF";

/// A server that takes at most 10 kB, and media of at most 5 s.
async fn small() -> ApiAlone {
    ApiAlone::with_limits(UploadLimits { max_file_size: 10_000, max_media_duration: Duration::from_secs(5) })
        .await
}

async fn refused(api: &ApiAlone, path: &str, form: Form, status: u16) -> String {
    let detail = problem(api.client.post(path, form).await, status).await;
    api.assert_nothing_left().await;
    detail
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let silence = clips::silence(dir.path());
    for (name, value) in [
        ("language", "klingon"),
        ("language", "e"),
        ("language", "yue"),
        ("word_timestamps", "perhaps"),
        ("task", "summarise"),
        ("temperature", "1.5"),
        ("temperature", "warm"),
        ("webhook_url", "example.com/hook"),
        ("webhook_url", "ftp://example.com"),
        ("webhook_url", "file:///etc/passwd"),
        ("webhook_url", "http://"),
        ("webhook_url", "javascript:alert(1)"),
    ] {
        let query = format!("/process?{name}={value}");
        let by_query = refused(&api, &query, form::file(&silence), 422).await;
        assert!(by_query.contains(value), "{by_query}");
        let after = form::file(&silence).text(name, value);
        assert_eq!(refused(&api, "/process", after, 422).await, by_query);
        let before = Form::new().text(name, value).part("file", Part::bytes(b"x".to_vec()));
        assert_eq!(refused(&api, "/process", before, 422).await, by_query);
    }
    let long = Form::new().text("language", "x".repeat(10_000));
    refused(&api, "/process", long, 422).await;
    let long = format!("http://example.com/{}", "x".repeat(3_000));
    refused(&api, "/process", form::file(&silence).text("webhook_url", long), 422).await;
    for name in ["initial_prompt", "hotwords"] {
        let long = refused(&api, "/process", form::file(&silence).text(name, "x".repeat(5_000)), 422).await;
        assert_eq!(long, format!("{name}: the text is longer than 4096 bytes."));
    }
    let twice = refused(&api, "/process?language=en&language=de", form::file(&silence), 422).await;
    assert_eq!(twice, "The query cannot be read: language is in it twice.");
}

#[tokio::test]
async fn a_model_that_only_knows_english_is_asked_for_no_translation() {
    let (api, dir) = (ApiAlone::with_languages([Language::ENGLISH].into()).await, TempDir::new().unwrap());
    let silence = clips::silence(dir.path());
    let by_query = refused(&api, "/process?task=translate", form::file(&silence), 422).await;
    assert_eq!(by_query, "The model base knows only English; it cannot translate.");
    let by_form = form::file(&silence).text("task", "translate");
    assert_eq!(refused(&api, "/process", by_form, 422).await, by_query);
    api.submit(form::file(&silence).text("task", "transcribe")).await;
}

#[tokio::test]
async fn a_request_without_one_file_is_refused() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let silence = clips::silence(dir.path());
    let missing = refused(&api, "/process", Form::new().text("language", "en"), 422).await;
    assert!(missing.contains("“file”"), "{missing}");
    let no_form = api.client.http.post(api.client.url("/process")).body("file").send().await.unwrap();
    assert_eq!(problem(no_form, 422).await, missing);
    let two = form::file(&silence).part("file", Part::bytes(b"more".to_vec()));
    assert!(refused(&api, "/process", two, 422).await.contains("two files"));
}

#[tokio::test]
async fn what_is_not_media_is_refused_whatever_its_name() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n".to_vec();
    let no_sound = clips::make(dir.path(), "mute.mp4", "-f lavfi -i testsrc=s=64x64:r=5 -t 1 -c:v mpeg4");
    for (form, says) in [
        (form::named("empty.mp4", vec![]), "empty"),
        (form::named("text.mp4", b"This is not a film.".to_vec()), ""),
        (form::named("list.m3u8", playlist.clone()), ""),
        (form::named("list.mp3", playlist), ""),
        (form::file(&no_sound), ""),
    ] {
        let detail = refused(&api, "/process", form, 400).await;
        assert!(detail.to_lowercase().contains(says), "{detail}");
    }
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_before_and_while_it_is_read() {
    let api = small().await;
    let detail = refused(&api, "/process", form::named("big.wav", vec![0; 10_001]), 400).await;
    assert_eq!(detail, "The file is too large: at most 10 kB are taken.");
    // Without a length in its head, the request is cut off while it is read.
    let chunks = stream::iter(repeat_n(Ok::<_, Infallible>(vec![0u8; 1000]), 5000));
    let part = Part::stream(reqwest::Body::wrap_stream(chunks)).file_name("big.wav");
    assert_eq!(refused(&api, "/process", Form::new().part("file", part), 400).await, detail);
    // With one, before anything is read.
    let mut stream = TcpStream::connect(api.client.address).await.unwrap();
    let head = "POST /process HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n\
                Content-Length: 99999999\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1000];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(&detail), "{answer}");
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn what_would_fill_the_disk_is_refused_before_it_is_read() {
    let limits = UploadLimits { max_file_size: u64::MAX, max_media_duration: Duration::from_secs(5) };
    let api = ApiAlone::with_limits(limits).await;
    let mut stream = TcpStream::connect(api.client.address).await.unwrap();
    let head = "POST /process HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n\
                Content-Length: 999999999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1000];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 507") && answer.contains("not enough room"), "{answer}");
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn a_server_that_stops_gives_up_the_uploads_under_way() {
    let api = ApiAlone::start().await;
    let mut stream = TcpStream::connect(api.client.address).await.unwrap();
    stream.write_all(HALF_A_REQUEST.as_bytes()).await.unwrap();
    api.until_files(1).await;
    api.stopping.cancel();
    let mut answer = vec![0; 1000];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("send the file again"), "{answer}");
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn a_client_that_still_sends_gets_to_read_why_it_is_refused() {
    let api = small().await;
    for _ in 0..5 {
        let detail =
            refused(&api, "/process?language=klingon", form::named("a", vec![0; 50_000_000]), 422).await;
        assert!(detail.contains("klingon"), "{detail}");
    }
}

#[tokio::test]
async fn a_recording_over_the_time_limit_is_refused() {
    let (api, dir) = (small().await, TempDir::new().unwrap());
    let long = clips::make(dir.path(), "long.opus", "-f lavfi -i anullsrc=r=8000:cl=mono -t 8 -b:a 6k");
    assert!(std::fs::metadata(&long).unwrap().len() < 10_000);
    refused(&api, "/process", form::file(&long), 400).await;
}

#[tokio::test]
async fn a_client_that_disconnects_leaves_nothing() {
    let api = ApiAlone::start().await;
    let mut stream = TcpStream::connect(api.client.address).await.unwrap();
    stream.write_all(HALF_A_REQUEST.as_bytes()).await.unwrap();
    api.until_files(1).await;
    drop(stream);
    api.until_files(0).await;
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn a_form_that_breaks_off_or_makes_no_sense_is_refused() {
    let api = ApiAlone::start().await;
    let part = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF";
    for body in ["", "no form at all", "--x", part, "--x\r\nno header\r\n\r\n\r\n--x--\r\n"] {
        problem(api.client.send("POST", "/process", body).await, 400).await;
        api.assert_nothing_left().await;
    }
}

#[tokio::test]
async fn the_query_wins_over_the_form_and_empty_fields_are_none() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let silence = clips::silence(dir.path());
    let options = async |path: &str, form: Form| {
        let (_, accepted) = json(api.client.post(path, form).await).await;
        let id = accepted["job_id"].as_str().unwrap_or_else(|| panic!("{accepted}")).to_owned();
        let (_, status) = json(api.client.get(&format!("/status/{id}")).await).await;
        (status["language"].clone(), status["webhook_url"].clone())
    };
    let form = || form::file(&silence).text("language", "FR").text("webhook_url", "http://form.example/");
    let (language, url) = options("/process?language=german&webhook_url=http://query.example/", form()).await;
    assert_eq!((language, url), ("de".into(), "http://query.example/".into()));
    let (language, url) = options("/process?language=&webhook_url=", form()).await;
    assert_eq!((language, url), ("fr".into(), "http://form.example/".into()));
    let before = Form::new().text("language", "en-GB").text("unknown", "field");
    let bytes = std::fs::read(&silence).unwrap();
    let (language, url) = options("/process", before.part("file", Part::bytes(bytes))).await;
    assert_eq!((language, url), ("en".into(), serde_json::Value::Null));
}

#[tokio::test]
async fn a_status_shows_what_was_wished_for() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let form = form::file(&clips::silence(dir.path()))
        .text("task", "Translate")
        .text("initial_prompt", " Auf Gleis sieben, bitte. ")
        .text("hotwords", "")
        .text("temperature", "0.5");
    let (_, accepted) =
        json(api.client.post("/process?temperature=0,0.2&word_timestamps=no", form).await).await;
    let path = format!("/status/{}", accepted["job_id"].as_str().unwrap());
    let (_, status) = json(api.client.get(&path).await).await;
    for (name, value) in [
        ("language", serde_json::Value::Null),
        ("task", "translate".into()),
        ("word_timestamps", false.into()),
        ("initial_prompt", "Auf Gleis sieben, bitte.".into()),
        ("hotwords", serde_json::Value::Null),
        ("temperature", vec![0.0, 0.2].into()),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_file_s_name_is_only_ever_shown() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let silence = std::fs::read(clips::silence(dir.path())).unwrap();
    for (sent, kept) in [
        ("talk.wav", "talk.wav"),
        ("../../../etc/passwd", "passwd"),
        (r"..\..\boot.ini", "boot.ini"),
        ("say \"hi\" & 🎤; name=x.wav", "say \"hi\" & 🎤; name=x.wav"),
        ("Ünïcödé 名前.wav", "Ünïcödé 名前.wav"),
        ("", "upload"),
    ] {
        let (_, body) = json(api.client.post("/process", form::named(sent, silence.clone())).await).await;
        assert_eq!(body["filename"], kept, "{sent}");
    }
    let nul = [
        &b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename*=UTF-8''a%00%0a../b%00.wav\r\n\r\n"
            [..],
        &silence,
        b"\r\n--x--\r\n",
    ];
    let (_, body) = json(api.client.send("POST", "/process", nul.concat()).await).await;
    assert_eq!(body["filename"], "b.wav");
    assert!(api.files().iter().all(|file| file.parent().unwrap().ends_with("data/uploads")));
}

#[tokio::test]
async fn many_uploads_at_once_keep_apart() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let clip = |seconds: usize| {
        let options = format!("-f lavfi -i anullsrc=r=8000:cl=mono -t {seconds} -c:a pcm_u8");
        clips::make(dir.path(), &format!("{seconds}.wav"), &options)
    };
    let uploads = (1..=12).map(clip).map(|path| {
        let (client, form) = (api.client.clone(), form::file(&path));
        tokio::spawn(async move {
            (std::fs::metadata(path).unwrap().len(), json(client.post("/process", form).await).await)
        })
    });
    let uploads: Vec<_> = uploads.collect();
    let mut sizes = Vec::new();
    for upload in uploads {
        let (size, (status, body)) = upload.await.unwrap();
        assert_eq!((status.as_u16(), body["file_size"].as_u64()), (200, Some(size)), "{body}");
        let stored = api.files().into_iter().find(|file| file.ends_with(body["job_id"].as_str().unwrap()));
        assert_eq!(std::fs::metadata(stored.unwrap()).unwrap().len(), size);
        sizes.push(size);
    }
    assert_eq!(api.files().len(), sizes.len());
}
