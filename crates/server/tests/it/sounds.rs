//! Every kind of recording through the whole service with the real model: what is said is written down,
//! and where nothing is said nothing is.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::service::Service;
use crate::support::clips::{make, novel};

/// What [`novel`] says.
const SAID: [&str; 8] = ["he", "was", "not", "an", "ill", "disposed", "young", "man"];

/// Name and ffmpeg's options behind the speech.
const KINDS: &[(&str, &str)] = &[
    ("speech.wav", ""),
    ("8k.wav", "-ar 8000"),
    ("96k.wav", "-ar 96000 -c:a pcm_s24le"),
    ("stereo.wav", "-ac 2"),
    ("inverted.wav", "-af pan=stereo|c0=c0|c1=-1*c0"),
    ("surround.wav", "-af pan=5.1|FC=c0"),
    ("speech.mp3", ""),
    ("speech.m4a", ""),
    ("surround.m4a", "-af pan=5.1|FC=c0"),
    ("speech.flac", ""),
    ("speech.ogg", "-c:a libvorbis"),
    ("speech.opus", ""),
    ("speech.wma", ""),
    ("video.webm", "-c:v libvpx -c:a libopus"),
    ("video.mkv", "-c:v libx264 -c:a flac"),
    ("video.mov", "-c:v libx264 -c:a aac"),
    ("video.avi", "-c:v mpeg4 -c:a libmp3lame"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speech_is_understood_in_every_format() {
    let (service, dir) = (Service::start().await, TempDir::new().unwrap());
    let speech = format!("-i {}", novel().display());
    let recordings: Vec<PathBuf> = KINDS
        .iter()
        .map(|(name, options)| {
            let picture = "-f lavfi -i testsrc=s=64x64:r=5 -shortest";
            let picture = if name.starts_with("video") { picture } else { "" };
            make(dir.path(), name, &format!("{speech} {picture} {options}"))
        })
        .collect();
    for ((name, _), result) in KINDS.iter().zip(service.transcribe(&recordings).await) {
        let transcript = result["transcript"].as_str().unwrap().to_lowercase();
        let words: Vec<&str> = transcript.split(|c: char| !c.is_alphanumeric()).collect();
        let found = SAID.iter().filter(|word| words.contains(word)).count();
        assert!(found >= 7, "{name}: {transcript}");
        assert_eq!(
            result["source_type"],
            if name.starts_with("video") { "video" } else { "audio" },
            "{name}"
        );
        assert_eq!(result["language_detection"]["language"], "en", "{name}");
    }
    service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_said_nothing_is_written() {
    let (service, dir) = (Service::start().await, TempDir::new().unwrap());
    let recordings = wordless(dir.path());
    for (path, result) in recordings.iter().zip(service.transcribe(&recordings).await) {
        assert_eq!(result["transcript"], "", "{}", path.display());
        assert_eq!(result["topics"], Value::Array(vec![]), "{}", path.display());
        assert_eq!(result["whisper_segments"], Value::Array(vec![]), "{}", path.display());
        assert_eq!(result["language_detection"]["language"], Value::Null, "{}", path.display());
    }
    service.shut_down().await;
}

fn wordless(dir: &Path) -> Vec<PathBuf> {
    // Chords with a beat, a bass and a falling melody.
    let music = "-f lavfi -i aevalsrc=0.2*(sin(440*2*PI*t)+sin(554*2*PI*t)+sin(659*2*PI*t))*exp(-4*mod(t\\,0.5))\
                 +0.3*sin(110*2*PI*t)+0.2*sin(2*PI*t*(880-100*mod(t\\,4))):d=40";
    [
        ("half a second.wav", "-f lavfi -i anullsrc=r=16000:cl=mono -t 0.5"),
        ("click.wav", "-f lavfi -i sine=duration=0.5"),
        ("a few samples.wav", "-f lavfi -i sine=duration=0.005"),
        ("silence.flac", "-f lavfi -i anullsrc=r=16000:cl=mono -t 60"),
        ("nearly silent.wav", "-f lavfi -i anoisesrc=amplitude=0.0005:duration=40"),
        ("white noise.wav", "-f lavfi -i anoisesrc=amplitude=0.5:duration=40"),
        ("brown noise.wav", "-f lavfi -i anoisesrc=color=brown:amplitude=0.8:duration=40"),
        ("hum.mp3", "-f lavfi -i sine=frequency=50:duration=40"),
        ("music.ogg", music),
    ]
    .into_iter()
    .map(|(name, options)| make(dir, name, options))
    .collect()
}

/// Half a second of speech is too short to be sure of, but must not fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_second_of_speech_completes() {
    let (service, dir) = (Service::start().await, TempDir::new().unwrap());
    let cut = make(dir.path(), "cut.wav", &format!("-ss 0.3 -t 0.5 -i {}", novel().display()));
    let result = service.transcribe(&[cut]).await.remove(0);
    let words = result["transcript"].as_str().unwrap().split_whitespace().count();
    assert!(words <= 5, "{result}");
    for segment in result["whisper_segments"].as_array().unwrap() {
        assert!(segment["end"].as_f64().unwrap() <= 1.0, "{segment}");
    }
    service.shut_down().await;
}
