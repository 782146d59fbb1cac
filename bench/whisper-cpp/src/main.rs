//! Runs whisper.cpp over the files of a list: `whisper-cpp ASKED ANSWER`, both JSON. See ../systems.py.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState, get_lang_str,
};

const SAMPLE_RATE: f64 = 16_000.0;

/// Samples drawn at temperatures above 0, where greedy decoding falls back to them: the default of whisper.cpp's own
/// command line, like everything that is not set here.
const BEST_OF: i32 = 5;

#[derive(Deserialize)]
struct Asked {
    /// A `ggml-*.bin`.
    model: String,
    threads: i32,
    /// 1 is greedy decoding.
    beam: i32,
    /// Path, and language code if it is known.
    files: Vec<(String, Option<String>)>,
}

#[derive(Default, Serialize)]
struct Answer {
    load_seconds: f64,
    audio_seconds: f64,
    /// Without loading the model and reading the files.
    seconds: f64,
    peak_megabytes: f64,
    /// Path, text and language; no text where the file was refused.
    files: Vec<(String, Option<String>, Option<String>)>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(asked), Some(answer), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: whisper-cpp ASKED ANSWER");
    };
    let text = std::fs::read(&asked).with_context(|| format!("cannot read {asked}"))?;
    let asked: Asked =
        serde_json::from_slice(&text).with_context(|| format!("{asked} is not what is asked"))?;
    let found = run(&asked)?;
    std::fs::write(&answer, serde_json::to_vec(&found)?).with_context(|| format!("cannot write {answer}"))
}

fn run(asked: &Asked) -> anyhow::Result<Answer> {
    whisper_rs::install_logging_hooks();
    let began = Instant::now();
    let mut parameters = WhisperContextParameters::new();
    parameters.flash_attn(true);
    let context = WhisperContext::new_with_params(Path::new(&asked.model), parameters)
        .with_context(|| format!("whisper.cpp cannot load {}", asked.model))?;
    let mut state = context.create_state()?;
    let mut answer = Answer { load_seconds: began.elapsed().as_secs_f64(), ..Answer::default() };
    for (path, language) in &asked.files {
        let found = samples(path).and_then(|samples| {
            let began = Instant::now();
            let found = transcribe(&mut state, asked, language.as_deref(), &samples)?;
            answer.audio_seconds += samples.len() as f64 / SAMPLE_RATE;
            answer.seconds += began.elapsed().as_secs_f64();
            Ok(found)
        });
        answer.files.push(match found {
            Ok((text, language)) => (path.clone(), Some(text), language),
            Err(error) => {
                eprintln!("{path}: {error:#}");
                (path.clone(), None, None)
            }
        });
    }
    answer.peak_megabytes = peak_megabytes()?;
    Ok(answer)
}

/// Text and language.
fn transcribe(
    state: &mut WhisperState,
    asked: &Asked,
    language: Option<&str>,
    samples: &[f32],
) -> anyhow::Result<(String, Option<String>)> {
    let mut parameters = FullParams::new(match asked.beam {
        1 => SamplingStrategy::Greedy { best_of: BEST_OF },
        // The patience that its own command line asks for.
        beam_size => SamplingStrategy::BeamSearch { beam_size, patience: -1.0 },
    });
    parameters.set_n_threads(asked.threads);
    parameters.set_language(language.or(Some("auto")));
    parameters.set_print_progress(false);
    parameters.set_print_realtime(false);
    state.full(parameters, samples)?;
    let mut text = Vec::new();
    for segment in state.as_iter() {
        text.extend(segment.to_bytes()?);
    }
    let language = get_lang_str(state.full_lang_id_from_state()).map(String::from);
    Ok((String::from_utf8_lossy(&text).into_owned(), language))
}

/// Any sound that ffmpeg reads, as 16 kHz mono.
fn samples(path: &str) -> anyhow::Result<Vec<f32>> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", path, "-ar", "16000", "-ac", "1", "-f", "f32le", "-"])
        .output()
        .context("cannot start ffmpeg")?;
    ensure!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(output.stdout.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// The most memory that this process has held at a time.
fn peak_megabytes() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}
