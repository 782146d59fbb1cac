//! Files to upload, good and bad, made on the spot by the real ffmpeg.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// ffmpeg's options for three seconds of a tone and of a moving picture.
pub(crate) const TONE: &str = "-f lavfi -i sine=frequency=440:duration=3";
pub(crate) const PICTURE: &str = "-f lavfi -i testsrc=duration=3:size=160x120:rate=10";

/// Runs ffmpeg to make `name` in `dir`. The options are split at spaces.
pub(crate) fn make(dir: &Path, name: &str, options: &str) -> PathBuf {
    let path = dir.join(name);
    let run = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(options.split_whitespace())
        .arg(&path)
        .output()
        .expect("ffmpeg runs");
    assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
    path
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).expect("a temporary folder can be written");
    path
}

fn first_bytes(of: &Path, count: usize) -> Vec<u8> {
    let mut bytes = fs::read(of).expect("the file was just made");
    bytes.truncate(count);
    bytes
}

/// The header of a WAV file, 16 kHz mono, with so many bytes of samples.
pub(crate) fn wav_header(bytes: u32) -> Vec<u8> {
    let mut header = b"RIFF".to_vec();
    header.extend(bytes.saturating_add(36).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    header.extend(16_000_u32.to_le_bytes());
    header.extend(32_000_u32.to_le_bytes());
    header.extend(b"\x02\0\x10\0data");
    header.extend(bytes.to_le_bytes());
    header
}

/// Playlists that name real sound, `/etc/passwd` and `url`, under their own names and disguised.
pub(crate) fn playlists(dir: &Path, url: &str) -> Vec<PathBuf> {
    let sound = make(dir, "sound.ts", &format!("{TONE} -c:a aac"));
    let mut made = Vec::new();
    for (index, target) in [sound.to_str().expect("UTF-8"), "/etc/passwd", url].into_iter().enumerate() {
        let file_url = if target == url { url.to_owned() } else { format!("file://{target}") };
        let hls = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{file_url}\n#EXT-X-ENDLIST\n"
        );
        let concat = format!("ffconcat version 1.0\nfile '{target}'\n");
        let dash = format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             mediaPresentationDuration=\"PT3S\" profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\">\
             <Period><AdaptationSet mimeType=\"audio/mp4\"><Representation id=\"1\" bandwidth=\"64000\">\
             <BaseURL>{file_url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        );
        let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n";
        let asx = format!("<asx version=\"3.0\"><entry><ref href=\"{file_url}\"/></entry></asx>");
        let kinds = [
            ("m3u8", hls.as_str()),
            ("ffconcat", concat.as_str()),
            ("mpd", dash.as_str()),
            ("sdp", sdp),
            ("asx", asx.as_str()),
            ("pls", &format!("[playlist]\nFile1={file_url}\nNumberOfEntries=1\nVersion=2\n")),
        ];
        for (kind, content) in kinds {
            for extension in [kind, "mp4"] {
                made.push(write(dir, &format!("{kind}-{index}.{extension}"), content));
            }
        }
    }
    made
}

/// What is refused at once, with a part of the sentence that says so.
pub(crate) fn refused(dir: &Path) -> Vec<(PathBuf, &'static str)> {
    let video = make(dir, "whole.mp4", &format!("{TONE} {PICTURE} -c:v libx264 -c:a aac"));
    let subtitles = "1\n00:00:01,000 --> 00:00:02,000\nHello.\n";
    let text = "This is a text about nothing in particular.\n".repeat(500);
    let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    vec![
        (write(dir, "text.mp4", &text), "not audio or video"),
        (write(dir, "short.mp4", "hello"), "not audio or video"),
        (write(dir, "page.mp3", "<html><body><audio src=x.mp3></body></html>"), "not audio or video"),
        (write(dir, "subtitles.wav", subtitles), "not audio or video"),
        (write(dir, "zeros.mp3", vec![0; 100_000]), "not audio or video"),
        (write(dir, "noise.ogg", noise), "not audio or video"),
        (write(dir, "truncated.mp4", first_bytes(&video, 20_000)), "not audio or video"),
        (write(dir, "header.wav", wav_header(0)), "empty"),
        (make(dir, "picture.png", "-f lavfi -i testsrc -frames:v 1"), "not audio or video"),
        (make(dir, "mute.mp4", &format!("{PICTURE} -c:v libx264")), "without sound"),
        (make(dir, "mute.webm", &format!("{PICTURE} -c:v libvpx")), "without sound"),
    ]
}
