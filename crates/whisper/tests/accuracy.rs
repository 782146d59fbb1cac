//! Word error rates on real speech, where a folder of it lies beside the checkout: `../shared/speech` with a
//! `manifest.tsv`. `make accuracy` measures the same more finely, beside a peer.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use verbatim_speech::{DecodeOptions, Language, SAMPLE_RATE, Segment, Window};
use verbatim_vad::{Vad, Windows};
use verbatim_whisper::{ComputeType, Model, Transcriber};

const BATCH: usize = 8;

struct Clip {
    path: String,
    kind: String,
    language: String,
    reference: String,
}

/// Errors and words of the reference.
#[derive(Default)]
struct Errors {
    errors: usize,
    words: usize,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn words_are_right_on_real_speech() {
    let folder = root().join("../shared/speech");
    let Ok(manifest) = std::fs::read_to_string(folder.join("manifest.tsv")) else {
        verbatim_testing::skip("there is no speech in ../shared/speech");
        return;
    };
    let mut by_language: BTreeMap<String, Vec<Clip>> = BTreeMap::new();
    for clip in clips(&manifest, &folder) {
        by_language.entry(clip.language.clone()).or_default().push(clip);
    }
    let vad = Vad::load(&root().join("models/silero_vad_v6.onnx")).unwrap();
    let transcriber = Transcriber::new(Model::load(&root().join("models/base"), ComputeType::Auto).unwrap());

    let mut totals: BTreeMap<(String, String), Errors> = BTreeMap::new();
    let (mut invented, mut suspect) = (Vec::new(), Vec::new());
    for (language, clips) in by_language {
        // "zxx" is no language: there is nothing to hear, and the language is left to the model.
        let options = DecodeOptions { language: Language::parse(&language), ..DecodeOptions::default() };
        for (clip, segments) in clips.iter().zip(transcribe(&transcriber, &vad, &options, &folder, &clips)) {
            let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
            let suspects = segments.iter().filter(|segment| segment.suspect);
            suspect.extend(suspects.map(|segment| format!("{}: {}", clip.path, segment.text)));
            if clip.kind == "noise" {
                invented.extend((!text.trim().is_empty()).then(|| format!("{}: {text}", clip.path)));
                continue;
            }
            let (wanted, heard) = (words(&clip.reference, &language), words(&text, &language));
            let total = totals.entry((language.clone(), clip.kind.clone())).or_default();
            total.errors += distance(&wanted, &heard);
            total.words += wanted.len();
        }
    }
    let mut english = Errors::default();
    for ((language, kind), Errors { errors, words }) in &totals {
        println!(
            "{language} {kind}: {errors} errors in {words} words, {:.1} %",
            100.0 * *errors as f64 / *words as f64
        );
        if language == "en" {
            english.errors += errors;
            english.words += words;
        }
    }
    let rate = 100.0 * english.errors as f64 / english.words as f64;
    println!("English: {rate:.2} % of {} words; words invented in noise: {invented:?}", english.words);
    // Numbers and spellings are not normalised here, which costs 3 to 4 points over `make accuracy`.
    assert!(rate < 12.0, "something is broken in the engine");
    assert!(invented.is_empty());
    assert!(suspect.is_empty(), "what was said is held for made up: {suspect:?}");
}

#[test]
fn what_is_made_up_in_noise_is_suspect() {
    let folder = root().join("../shared/speech");
    let Ok(manifest) = std::fs::read_to_string(folder.join("manifest.tsv")) else {
        verbatim_testing::skip("there is no speech in ../shared/speech");
        return;
    };
    let vad = Vad::load(&root().join("models/silero_vad_v6.onnx")).unwrap();
    let transcriber = Transcriber::new(Model::load(&root().join("models/base"), ComputeType::Auto).unwrap());
    // Voice activity detection keeps nothing of these clips, and the model knows itself that most are silent.
    let options = DecodeOptions { no_speech_threshold: None, ..DecodeOptions::default() };
    let mut made_up = 0;
    for clip in clips(&manifest, &folder).iter().filter(|clip| clip.kind == "noise") {
        let samples = samples(&folder.join(&clip.path));
        let windows: Vec<Window> = samples
            .chunks(30 * SAMPLE_RATE)
            .enumerate()
            .map(|(index, samples)| Window::new(index, 30.0 * index as f64, samples.to_vec()))
            .map(|window| vad.annotate(window).unwrap())
            .collect();
        for transcript in transcriber.transcribe(&windows, &options).unwrap() {
            for segment in transcript.segments {
                println!("{}: {}", clip.path, segment.text);
                assert!(segment.suspect, "{segment:?}");
                made_up += 1;
            }
        }
    }
    assert!(made_up > 0, "the model was to be made to say something");
}

/// The clips that say something about words: those with a reference, and noise.
fn clips(manifest: &str, folder: &Path) -> Vec<Clip> {
    let mut lines = manifest.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (path, kind, language, reference) =
        (column("path"), column("kind"), column("language"), column("reference"));
    lines
        .map(|row| Clip {
            path: row[path].into(),
            kind: row[kind].into(),
            language: row[language].into(),
            reference: match row[reference].ends_with(".txt") {
                true => std::fs::read_to_string(folder.join(row[reference])).unwrap(),
                false => row[reference].into(),
            },
        })
        .filter(|clip| {
            clip.kind == "noise" || !(clip.reference.is_empty() || clip.reference.ends_with(".rttm"))
        })
        .collect()
}

/// The segments of every clip; windows of all clips share batches.
fn transcribe(
    transcriber: &Transcriber,
    vad: &Vad,
    options: &DecodeOptions,
    folder: &Path,
    clips: &[Clip],
) -> Vec<Vec<Segment>> {
    let windows: Vec<(usize, Window)> = clips
        .iter()
        .enumerate()
        .flat_map(|(index, clip)| {
            let samples = samples(&folder.join(&clip.path));
            let windows: Vec<_> =
                Windows::new(vad, std::iter::once(Ok(samples))).map(Result::unwrap).collect();
            windows.into_iter().map(move |window| (index, window))
        })
        .collect();
    let mut segments = vec![Vec::new(); clips.len()];
    for batch in windows.chunks(BATCH) {
        let windows: Vec<Window> = batch.iter().map(|(_, window)| window.clone()).collect();
        for ((clip, _), transcript) in batch.iter().zip(transcriber.transcribe(&windows, options).unwrap()) {
            segments[*clip].extend(transcript.segments);
        }
    }
    segments
}

fn samples(path: &Path) -> Vec<f32> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i"]).arg(path);
    let output =
        ffmpeg.args(["-map", "0:a:0", "-ac", "1", "-ar", "16000", "-f", "s16le", "-"]).output().unwrap();
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    output
        .stdout
        .chunks_exact(2)
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0)
        .collect()
}

/// Lower-case words without punctuation; characters where words are not set apart.
fn words(text: &str, language: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('’', "'");
    if matches!(language, "zh" | "ja") {
        return text.chars().filter(|char| char.is_alphanumeric()).map(String::from).collect();
    }
    let apart = |char: char| !(char.is_alphanumeric() || char == '\'');
    text.split(apart)
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
        .map(String::from)
        .collect()
}

/// Levenshtein's: how many words have to be changed, added or taken away.
fn distance(wanted: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, wanted) in wanted.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, heard) in heard.iter().enumerate() {
            let substituted = diagonal + usize::from(wanted != heard);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()]
}
