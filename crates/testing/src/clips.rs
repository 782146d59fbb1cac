//! Builds the clips that the fixtures were computed from. `scripts/fixtures/clips.py` builds the same ones in Python.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The sample rate of every clip, in Hz.
const SAMPLE_RATE: usize = 16_000;

/// A clip of `clips.json` in -1 … 1, 16 kHz mono.
pub fn clip(name: &str) -> Vec<f32> {
    Clips::shared().samples_of(name)
}

/// Chords with a beat, a bass and a falling melody, in -1 … 1, 16 kHz mono.
pub fn chords(seconds: usize) -> Vec<f32> {
    let sample = |index: usize| {
        let t = index as f64 / SAMPLE_RATE as f64;
        let tone = |hertz: f64| (std::f64::consts::TAU * hertz * t).sin();
        let chord = 0.2 * (tone(440.0) + tone(554.0) + tone(659.0)) * (-4.0 * (t % 0.5)).exp();
        (chord + 0.3 * tone(110.0) + 0.2 * tone(880.0 - 100.0 * (t % 4.0))) as f32
    };
    (0..seconds * SAMPLE_RATE).map(sample).map(|sample: f32| sample.clamp(-1.0, 1.0)).collect()
}

/// A text spoken by a synthetic voice of espeak-ng, in -1 … 1, 16 kHz mono.
pub fn spoken(voice: &str, text: &str) -> Vec<f32> {
    let samples = speak(&serde_json::json!({ "voice": voice, "speed": 150, "text": text }));
    samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect()
}

/// The clips of `clips.json`: files of Debian's pocketsphinx-testdata, synthetic voices, and computed sounds.
#[derive(Debug)]
pub(crate) struct Clips {
    root: PathBuf,
    clips: Vec<Value>,
}

impl Clips {
    /// Reads `clips.json`, once.
    pub(crate) fn shared() -> &'static Self {
        static CLIPS: LazyLock<Clips> = LazyLock::new(Clips::load);
        &CLIPS
    }

    fn load() -> Self {
        let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/clips.json")).unwrap();
        let described: Value = serde_json::from_slice(&text).unwrap();
        Self {
            root: described["pocketsphinx"].as_str().unwrap().into(),
            clips: described["clips"].as_array().unwrap().clone(),
        }
    }

    /// The clip in -1 … 1, if the one built here has that checksum; otherwise the reason why it may differ.
    pub(crate) fn samples(&self, name: &str, sha256: &str) -> Result<Vec<f32>, String> {
        let source = self.source(name);
        let samples = self.build(source);
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if digest == sha256 {
            return Ok(samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect());
        }
        assert!(
            source.get("espeak").is_some(),
            "clip {name} has changed, and no version of a program explains it"
        );
        Err("this espeak-ng or ffmpeg speaks it differently".into())
    }

    /// The clip in -1 … 1, with whichever version of espeak-ng and ffmpeg it was made.
    fn samples_of(&self, name: &str) -> Vec<f32> {
        self.build(self.source(name)).iter().map(|sample| f32::from(*sample) / 32768.0).collect()
    }

    fn source(&self, name: &str) -> &Value {
        let clip = self.clips.iter().find(|clip| clip["name"] == name);
        &clip.unwrap_or_else(|| panic!("no clip {name}"))["source"]
    }

    fn build(&self, source: &Value) -> Vec<i16> {
        let (kind, parameters) = source.as_object().unwrap().iter().next().unwrap();
        let count = |key: &str| parameters[key].as_u64().unwrap() as u32;
        match kind.as_str() {
            "wav" => wav_data(&self.read(parameters)),
            "raw" => little_endian(&self.read(parameters)),
            "espeak" => speak(parameters),
            "silence" => vec![0; parameters.as_u64().unwrap() as usize],
            "noise" => noise(count("seed"), count("samples"), count("shift")),
            "sweep" => sweep(count("samples"), count("step"), count("growth"), count("shift")),
            "join" => parameters.as_array().unwrap().iter().flat_map(|part| self.part(part)).collect(),
            kind => panic!("clips.json has a source of unknown kind {kind}"),
        }
    }

    fn part(&self, part: &Value) -> Vec<i16> {
        match part.as_u64() {
            Some(silence) => vec![0; silence as usize],
            None => self.build(self.source(part.as_str().unwrap())),
        }
    }

    fn read(&self, path: &Value) -> Vec<u8> {
        let path = self.root.join(path.as_str().unwrap());
        std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; install pocketsphinx-testdata", path.display()))
    }
}

fn wav_data(bytes: &[u8]) -> Vec<i16> {
    let at = bytes.windows(4).position(|tag| tag == b"data").unwrap();
    let size = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
    little_endian(&bytes[at + 8..at + 8 + size])
}

fn little_endian(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn speak(parameters: &Value) -> Vec<i16> {
    let dir = tempfile::tempdir().unwrap();
    let spoken = dir.path().join("spoken.wav");
    let text = |key: &str| parameters[key].as_str().unwrap();
    let mut espeak = Command::new("espeak-ng");
    espeak
        .args(["-v", text("voice"), "-s", &parameters["speed"].to_string(), "-w"])
        .arg(&spoken)
        .arg(text("text"));
    run(&mut espeak);
    // Without SIMD, so that the samples are the same on every processor.
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-cpuflags", "0", "-i"]).arg(Path::new(&spoken));
    ffmpeg.args(["-ar", "16000", "-ac", "1", "-f", "s16le", "-"]);
    little_endian(&run(&mut ffmpeg))
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The upper half of a linear congruential generator's states.
fn noise(seed: u32, samples: u32, shift: u32) -> Vec<i16> {
    let mut x = seed;
    (0..samples)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 16) as i16 >> shift
        })
        .collect()
}

/// A triangle wave whose frequency rises evenly.
fn sweep(samples: u32, mut step: u32, growth: u32, shift: u32) -> Vec<i16> {
    let mut phase = 0u32;
    (0..samples)
        .map(|_| {
            let sample = (i32::from((phase >> 16) as i16).abs() * 2 - 32767) >> shift;
            phase = phase.wrapping_add(step);
            step = step.wrapping_add(growth);
            sample as i16
        })
        .collect()
}
