//! An upload of any size takes a server the same memory. A program of its own, so that no other test's
//! memory is counted; the client in it is a plain socket.
//!
//! What is uploaded is written to disk in full, so it is six times the memory that may be taken, and no more.
//! `VERBATIM_UPLOAD_MB=3000` uploads as much as a long video has.

use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use verbatim::settings::UploadLimits;

use support::app::ApiAlone;

#[path = "it/support/mod.rs"]
#[expect(dead_code, reason = "most of the support is for the other tests")]
mod support;

const MB: u64 = 1_000_000;

/// How much is uploaded, unless `VERBATIM_UPLOAD_MB` says otherwise.
const UPLOAD_MB: u64 = 300;

/// Bytes by which this process's resident memory may rise.
const RISE: u64 = 50 * MB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_takes_no_memory() {
    let megabytes =
        env::var("VERBATIM_UPLOAD_MB").map_or(UPLOAD_MB, |text| text.parse().expect("a number of MB"));
    let bytes = megabytes * MB;
    let limits =
        UploadLimits { max_file_size: 10_000 * MB, max_media_duration: Duration::from_secs(24 * 3600) };
    let api = ApiAlone::with_limits(limits).await;
    for (times, way) in [(1, Way::Form), (2, Way::Resumable)] {
        // Whatever is allocated once and for all is allocated now.
        send(&api, way, MB).await;
        let before = resident();
        // Forgets the peak so far: proc(5).
        fs::write("/proc/self/clear_refs", "5").unwrap();
        send(&api, way, bytes).await;
        let rise = peak().saturating_sub(before);
        println!("{way:?}: {} MB uploaded, {} MB more memory at the most", bytes / MB, rise / MB);
        assert!(rise < RISE, "{way:?}: {} MB more memory", rise / MB);
        let stored: u64 = api.files().iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(stored > times * bytes, "{stored} bytes arrived");
    }
}

/// The request that brings a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// `POST /process`.
    Form,
    /// `POST /uploads`, with the whole file in the request that begins the upload.
    Resumable,
}

/// Uploads a WAV file of ten seconds of sound behind `filler` bytes that mean nothing.
async fn send(api: &ApiAlone, way: Way, filler: u64) {
    let dir = TempDir::new().expect("a temporary folder");
    let sound = support::clips::make(dir.path(), "a.wav", "-f lavfi -i sine=duration=10 -bitexact");
    let sound = fs::read(sound).expect("the file was just made");
    let (riff, chunks) = sound.split_at(12);
    let (path, kind, mut head, end): (_, _, Vec<u8>, &[u8]) = match way {
        Way::Form => {
            let part = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
            ("/process", "multipart/form-data; boundary=x", part.to_vec(), b"\r\n--x--\r\n")
        }
        Way::Resumable => ("/uploads", "application/offset+octet-stream", Vec::new(), b""),
    };
    head.extend(riff);
    head.extend(b"JUNK");
    head.extend(u32::try_from(filler).expect("a chunk of at most 4 GB").to_le_bytes());
    let tail = [chunks, end].concat();

    let mut stream = TcpStream::connect(api.client.address).await.expect("the server listens");
    let length = head.len() as u64 + filler + tail.len() as u64;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    stream.write_all(&head).await.expect("the server reads");
    let mut zeros = tokio::io::repeat(0).take(filler);
    tokio::io::copy(&mut zeros, &mut stream).await.expect("the server reads");
    stream.write_all(&tail).await.expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the server answers");
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

fn resident() -> u64 {
    memory("VmRSS:")
}

fn peak() -> u64 {
    memory("VmHWM:")
}

/// A line of proc(5)'s status, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    let kilobytes = line.trim().strip_suffix(" kB").and_then(|number| number.parse().ok());
    kilobytes.map(|kilobytes: u64| kilobytes * 1024).expect("a number of kB")
}
