//! Probes and decodes common kinds of files, and refuses others, with the real ffprobe and ffmpeg.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use verbatim_media::{FileType, MediaError, PcmStream, probe};
use verbatim_testing::media::inputs::{PICTURE, TONE, hundred_hours, playlists, refused};
use verbatim_testing::media::recordings::make;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn decode(path: &Path) -> Vec<f32> {
    let stream = PcmStream::open(path, DAY).expect("ffmpeg starts");
    stream.map(|chunk| chunk.expect("the sound is whole")).collect::<Vec<_>>().concat()
}

/// The sentence that a probe refuses the file with.
fn refusal(path: &Path, max_duration: Duration) -> String {
    match probe(path, max_duration) {
        Err(MediaError::Unsupported(sentence)) => sentence,
        other => panic!("{} gave {other:?}", path.display()),
    }
}

fn loudness(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
}

/// Name, ffmpeg's options after those of the tone, whether it is a video.
const FORMATS: &[(&str, &str, bool)] = &[
    ("tone.wav", "", false),
    ("8k.wav", "-ar 8000", false),
    ("96k.wav", "-ar 96000 -c:a pcm_s24le", false),
    ("float.wav", "-c:a pcm_f32le", false),
    ("stereo.wav", "-ac 2", false),
    ("surround.wav", "-ac 6", false),
    ("tone.mp3", "", false),
    ("tone.m4a", "", false),
    ("surround.m4a", "-ac 6", false),
    ("tone.flac", "", false),
    ("tone.ogg", "-c:a libvorbis", false),
    ("tone.opus", "-c:a libopus", false),
    ("sound.webm", "-c:a libopus", false),
    ("tone.wma", "", false),
    ("tone.aiff", "", false),
    ("tone.caf", "", false),
    ("tone.au", "", false),
    ("tone.w64", "", false),
    ("tone.ac3", "", false),
    ("tone.wv", "", false),
    ("alac.m4a", "-c:a alac", false),
    ("sound.3gp", "-c:a aac", false),
    ("sound.mka", "-c:a libmp3lame", false),
    ("video.flv", "-ar 44100", true),
    ("video.mpg", "", true),
    ("video.webm", "-c:v libvpx -c:a libopus", true),
    ("video.mkv", "-c:v libx264 -c:a aac", true),
    ("video.mov", "-c:v libx264 -c:a aac", true),
    ("video.mp4", "-c:v libx264 -c:a aac", true),
    ("video.avi", "-c:v mpeg4 -c:a libmp3lame", true),
    ("video.wmv", "", true),
    ("video.ts", "-c:v libx264 -c:a aac", true),
];

#[test]
fn every_format_is_probed_and_decoded() {
    let dir = TempDir::new().unwrap();
    for (name, options, video) in FORMATS {
        let picture = if *video { PICTURE } else { "" };
        let path = make(dir.path(), name, &format!("{TONE} {picture} {options}"));
        let info = probe(&path, DAY).unwrap();
        let expected = if *video { FileType::Video } else { FileType::Audio };
        assert_eq!(info.file_type, expected, "{name}");
        let duration = info.duration.unwrap();
        assert!((2.8..3.3).contains(&duration), "{name} lasts {duration} s");

        let samples = decode(&path);
        let seconds = samples.len() as f64 / 16_000.0;
        assert!((2.9..3.2).contains(&seconds), "{name} gave {seconds} s");
        let middle = &samples[16_000..32_000];
        assert!(loudness(middle) > 0.02, "{name} is silent");
        // 440 Hz crosses zero upwards 440 times a second.
        let crossings = middle.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        assert!((430..450).contains(&crossings), "{name} has {crossings} crossings");
    }
}

#[test]
fn a_cover_makes_no_video() {
    let dir = TempDir::new().unwrap();
    let cover = format!("{TONE} {PICTURE} -map 0 -map 1 -frames:v 1 -disposition:v attached_pic");
    for (name, codec) in [("a.mp3", "png"), ("a.m4a", "mjpeg"), ("a.flac", "png")] {
        let path = make(dir.path(), name, &format!("{cover} -c:v {codec}"));
        assert_eq!(probe(&path, DAY).unwrap().file_type, FileType::Audio, "{name}");
        assert!(loudness(&decode(&path)) > 0.02, "{name}");
    }
}

#[test]
fn the_name_of_a_file_does_not_matter() {
    let dir = TempDir::new().unwrap();
    let sound = make(dir.path(), "a.wav", TONE);
    for name in ["none", "a.txt", "list.m3u8", "-i", "a:b.mp4", "%d.png", "quote'\"\u{1F399}.mp3"] {
        let path = dir.path().join(name);
        fs::copy(&sound, &path).unwrap();
        let info = probe(&path, DAY).unwrap();
        assert_eq!((info.file_type, info.duration), (FileType::Audio, Some(3.0)), "{name}");
        assert_eq!(decode(&path).len(), 48_000, "{name}");
    }
}

#[test]
fn sound_that_starts_late_or_has_gaps_keeps_its_times() {
    let dir = TempDir::new().unwrap();
    let options = format!("{PICTURE} -itsoffset 2 {TONE} -map 0:v -map 1:a -c:v libx264 -c:a aac");
    for name in ["late.mkv", "late.mp4"] {
        let path = make(dir.path(), name, &options);
        let samples = decode(&path);
        let seconds = samples.len() as f64 / 16_000.0;
        assert!((4.9..5.2).contains(&seconds), "{name} gave {seconds} s");
        let duration = probe(&path, DAY).unwrap().duration.unwrap();
        assert!((duration - seconds).abs() < 0.1, "{name}: {duration} s, gave {seconds}");
        assert!(loudness(&samples[..31_000]) < 1e-3, "{name} starts too early");
        assert!(loudness(&samples[33_000..64_000]) > 0.02, "{name} starts too late");
    }
    let gap = "-f lavfi -i sine=duration=6 -af aselect='not(between(t,2,4))' -c:a libopus";
    let samples = decode(&make(dir.path(), "gap.webm", gap));
    let seconds = samples.len() as f64 / 16_000.0;
    assert!((5.8..6.2).contains(&seconds), "the gap is closed: {seconds} s");
    assert!(loudness(&samples[36_000..60_000]) < 1e-3);
    assert!(loudness(&samples[68_000..90_000]) > 0.02);
}

#[test]
fn files_without_sound_are_refused_with_the_reason() {
    let dir = TempDir::new().unwrap();
    for (path, reason) in refused(dir.path()) {
        let sentence = refusal(&path, DAY);
        assert!(sentence.contains(reason), "{}: {sentence}", path.display());
        assert!(sentence.ends_with('.') && !sentence.contains("/dev/stdin"), "{sentence}");
    }
    assert!(refusal(dir.path(), DAY).contains("not a plain file"));
    let missing = probe(&dir.path().join("missing"), DAY);
    assert!(matches!(missing, Err(MediaError::Tool(_))), "{missing:?}");
}

#[test]
fn a_playlist_is_refused_and_nothing_that_it_names_is_read() {
    let dir = TempDir::new().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("http://{}/sound.ts", server.local_addr().unwrap());
    let made = playlists(dir.path(), &url);
    for path in &made {
        let sentence = refusal(path, DAY);
        assert!(sentence.contains("not audio or video"), "{}: {sentence}", path.display());
        assert!(!sentence.contains("root:"), "{sentence}");
    }
    // The decoder refuses it without a probe too.
    let decoder = PcmStream::open(&dir.path().join("ffconcat-0.mp4"), DAY);
    assert!(matches!(decoder, Err(MediaError::Unsupported(_))), "{decoder:?}");
    let error = server.accept().expect_err("nothing connects to the server");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);

    // Without these options, ffprobe follows such a playlist.
    let followed = Command::new("ffprobe")
        .args(["-v", "error", "-f", "concat", "-safe", "0", "-show_entries", "stream=codec_name"])
        .arg(dir.path().join("ffconcat-0.mp4"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&followed.stdout).contains("aac"), "{followed:?}");
}

#[test]
fn a_file_that_is_too_long_is_refused_or_broken_off() {
    let dir = TempDir::new().unwrap();
    let minute = Duration::from_secs(60);
    let silence = "-f lavfi -i anullsrc=r=8000:cl=mono:d=7200";
    let path = make(dir.path(), "silence.flac", silence);
    assert!(fs::metadata(&path).unwrap().len() < 2_000_000);
    assert_eq!(refusal(&path, minute), "The file lasts longer than the 60 seconds that are allowed.");
    assert_eq!(
        refusal(&path, Duration::from_secs(5400)),
        "The file lasts longer than the 90 minutes that are allowed."
    );
    probe(&path, DAY).unwrap();

    // A FLAC file that was written to a pipe has no duration in its header.
    let without_duration = dir.path().join("without_duration.flac");
    let pipe = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", path.to_str().unwrap(), "-f", "flac", "pipe:1"])
        .stdout(fs::File::create(&without_duration).unwrap())
        .status()
        .unwrap();
    assert!(pipe.success());
    assert!(refusal(&without_duration, minute).contains("lasts longer"));
    for path in [without_duration, hundred_hours(dir.path())] {
        let chunks: Vec<_> = PcmStream::open(&path, minute).unwrap().collect();
        let (error, sound) = chunks.split_last().unwrap();
        assert_eq!(sound.len(), 60);
        assert!(error.as_ref().unwrap_err().to_string().contains("lasts longer"), "{error:?}");
    }
}

#[test]
fn a_duration_that_the_headers_lack_is_measured() {
    let dir = TempDir::new().unwrap();
    // The quiet beginning would make ffprobe estimate hours.
    let quiet = "-f lavfi -i anullsrc=d=10 -f lavfi -i anoisesrc=d=120 -filter_complex concat=n=2:v=0:a=1";
    let live = "-live 1 -f webm";
    for (name, options) in [
        ("quiet.aac", "-c:a aac"),
        ("quiet.mp3", "-q:a 2 -write_xing 0"),
        ("live.webm", &format!("-c:a libopus {live}")),
        ("live.mkv", "-c:a aac -live 1"),
    ] {
        let path = make(dir.path(), name, &format!("{quiet} {options}"));
        let duration = probe(&path, Duration::from_secs(200)).unwrap().duration.unwrap();
        let decoded = decode(&path).len() as f64 / 16_000.0;
        assert!(
            (decoded - 130.0).abs() < 1.0 && (duration - decoded).abs() < 0.2,
            "{name}: {duration}, {decoded}"
        );
        assert!(refusal(&path, Duration::from_secs(125)).contains("longer than the 2 minutes"));
    }
}

#[test]
fn a_truncated_file_is_decoded_to_its_end() {
    let dir = TempDir::new().unwrap();
    let options = "-f lavfi -i sine=duration=20 -c:a aac -movflags +faststart";
    let whole = fs::read(make(dir.path(), "whole.m4a", options)).unwrap();
    for (name, content) in [
        ("cut.m4a", &whole[..whole.len() / 2]),
        (
            "cut.flac",
            &fs::read(make(dir.path(), "a.flac", "-f lavfi -i sine=duration=20")).unwrap()[..100_000],
        ),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        probe(&path, DAY).unwrap();
        let mut stream = PcmStream::open(&path, DAY).unwrap();
        let samples: usize = stream.by_ref().map(|chunk| chunk.unwrap().len()).sum();
        assert!((16_000 * 5..16_000 * 19).contains(&samples), "{name} gave {samples}");
        assert_eq!(stream.seconds_read(), samples as f64 / 16_000.0);
        assert!(stream.next().is_none());
    }
}

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn dropping_the_stream_ends_and_reaps_ffmpeg() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), "long.flac", "-f lavfi -i anullsrc=r=8000:cl=mono:d=7200");
    let mut stream = PcmStream::open(&path, DAY).unwrap();
    stream.next().unwrap().unwrap();
    let pid = stream.process_id().unwrap();
    assert!(is_running(pid));
    drop(stream);
    assert!(!is_running(pid));
}

#[test]
fn ffmpeg_runs_with_limits_and_without_environment() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), "long.flac", "-f lavfi -i anullsrc=r=8000:cl=mono:d=7200");
    let mut stream = PcmStream::open(&path, Duration::from_secs(4000)).unwrap();
    stream.next().unwrap().unwrap();
    let proc = format!("/proc/{}", stream.process_id().unwrap());

    assert_eq!(fs::read_to_string(format!("{proc}/environ")).unwrap(), "LANG=C\0");
    let limits = fs::read_to_string(format!("{proc}/limits")).unwrap();
    let limit = |name: &str| -> Vec<String> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect()
    };
    assert_eq!(limit("Max cpu time"), ["1060", "1060"]);
    assert_eq!(limit("Max file size"), ["0", "0"]);
    assert_eq!(limit("Max address space"), ["2147483648", "2147483648"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);

    let arguments = fs::read_to_string(format!("{proc}/cmdline")).unwrap();
    let arguments: Vec<&str> = arguments.split('\0').collect();
    for option in ["-nostdin", "-vn", "-sn", "-dn"] {
        assert!(arguments.contains(&option), "{option} is missing");
    }
    assert!(arguments.windows(2).any(|pair| pair == ["-protocol_whitelist", "file,pipe"]));
    assert!(!arguments.iter().any(|argument| argument.contains(dir.path().to_str().unwrap())));
}
