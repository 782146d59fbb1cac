//! Makes files that are to be refused.

use std::fs;
use std::path::{Path, PathBuf};

use super::recordings::make;

/// Options of ffmpeg for a tone of three seconds.
pub const TONE: &str = "-f lavfi -i sine=frequency=440:duration=3";
/// Options of ffmpeg for a moving picture of three seconds.
pub const PICTURE: &str = "-f lavfi -i testsrc=duration=3:size=160x120:rate=25";

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).expect("a temporary folder can be written");
    path
}

fn first_bytes(path: &Path, count: usize) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("the file was just made");
    bytes.truncate(count);
    bytes
}

/// The header of a WAV file, 16 kHz mono, that holds `bytes` bytes of samples.
pub fn wav_header(bytes: u32) -> Vec<u8> {
    let mut header = b"RIFF".to_vec();
    header.extend(bytes.saturating_add(36).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    header.extend(16_000_u32.to_le_bytes());
    header.extend(32_000_u32.to_le_bytes());
    header.extend(b"\x02\0\x10\0data");
    header.extend(bytes.to_le_bytes());
    header
}

/// Playlists that name a sound file, `/etc/passwd` and `url`, each with its own extension and with that of an MP4
/// file.
pub fn playlists(dir: &Path, url: &str) -> Vec<PathBuf> {
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

/// Files that a probe refuses, each with a part of the sentence that it is refused with.
pub fn refused(dir: &Path) -> Vec<(PathBuf, &'static str)> {
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

/// A QuickTime file of a hundred hours: its 90,000 chunks of 4 s are all the same 32 kB of samples.
pub fn hundred_hours(dir: &Path) -> PathBuf {
    const CHUNKS: u32 = 90_000;
    const SAMPLES: u32 = 32_000;
    fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let size = u32::try_from(content.len() + 8).expect("a small box");
        [&size.to_be_bytes()[..], kind, &content].concat()
    }
    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }
    let ftyp = boxed(b"ftyp", &[b"qt  ", &words(&[0]), b"qt  "]);
    let mdat = boxed(b"mdat", &[&[0x80; SAMPLES as usize]]);
    let offset = u32::try_from(ftyp.len() + 8).expect("a small box");
    // 8 bits, 8 kHz, mono.
    let sound =
        [&words(&[0, 1])[..], &words(&[0, 0]), &[0, 1, 0, 8, 0, 0, 0, 0], &words(&[8000 << 16])].concat();
    let stbl = boxed(
        b"stbl",
        &[
            &boxed(b"stsd", &[&words(&[0, 1]), &boxed(b"raw ", &[&sound])]),
            &boxed(b"stts", &[&words(&[0, 1, CHUNKS * SAMPLES, 1])]),
            &boxed(b"stsc", &[&words(&[0, 1, 1, SAMPLES, 1])]),
            &boxed(b"stsz", &[&words(&[0, 1, CHUNKS * SAMPLES])]),
            &boxed(b"stco", &[&words(&[0, CHUNKS]), &words(&vec![offset; CHUNKS as usize])]),
        ],
    );
    let dref = boxed(b"dinf", &[&boxed(b"dref", &[&words(&[0, 1]), &boxed(b"url ", &[&words(&[1])])])]);
    let minf = boxed(b"minf", &[&boxed(b"smhd", &[&words(&[0, 0])]), &dref, &stbl]);
    let hdlr = boxed(b"hdlr", &[&words(&[0]), b"mhlr", b"soun", &words(&[0, 0, 0, 0])]);
    let mdhd = boxed(b"mdhd", &[&words(&[0, 0, 0, 8000, CHUNKS * SAMPLES, 0])]);
    let mdia = boxed(b"mdia", &[&mdhd, &hdlr, &minf]);
    let tkhd = boxed(b"tkhd", &[&words(&[7, 0, 0, 1, 0, 1]), &[0; 60]]);
    let mvhd = boxed(b"mvhd", &[&words(&[0, 0, 0, 1000, 1000]), &[0; 80]]);
    let moov = boxed(b"moov", &[&mvhd, &boxed(b"trak", &[&tkhd, &mdia])]);
    write(dir, "hundred hours.mov", [ftyp, mdat, moov].concat())
}
