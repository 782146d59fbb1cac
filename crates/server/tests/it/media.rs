//! Every container and shape of sound people have, through the real ffprobe and ffmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use verbatim::job::FileType;
use verbatim::media::{PcmStream, probe_blocking};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Runs ffmpeg to make `name` in `dir`. The options are split at spaces.
fn make(dir: &Path, name: &str, options: &str) -> PathBuf {
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

fn decode(path: &Path) -> Vec<f32> {
    let stream = PcmStream::open(path, DAY).unwrap();
    stream.map(|chunk| chunk.unwrap()).collect::<Vec<_>>().concat()
}

fn loudness(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
}

const TONE: &str = "-f lavfi -i sine=frequency=440:duration=3";
const PICTURE: &str = "-f lavfi -i testsrc=duration=3:size=160x120:rate=10";

/// Name, ffmpeg's options behind the tone, whether it is a video.
const FORMATS: [(&str, &str, bool); 24] = [
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
    ("tone.aac", "", false),
    ("tone.aiff", "", false),
    ("tone.caf", "", false),
    ("tone.au", "", false),
    ("video.webm", "-c:v libvpx -c:a libopus", true),
    ("video.mkv", "-c:v libx264 -c:a aac", true),
    ("video.mov", "-c:v libx264 -c:a aac", true),
    ("video.mp4", "-c:v libx264 -c:a aac", true),
    ("video.avi", "-c:v mpeg4 -c:a libmp3lame", true),
    ("video.ts", "-c:v libx264 -c:a aac", true),
];

#[test]
fn every_format_is_known_and_decoded() {
    let dir = TempDir::new().unwrap();
    for (name, options, video) in FORMATS {
        let picture = if video { PICTURE } else { "" };
        let path = make(dir.path(), name, &format!("{TONE} {picture} {options}"));
        let info = probe_blocking(&path, DAY).unwrap();
        let expected = if video { FileType::Video } else { FileType::Audio };
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
