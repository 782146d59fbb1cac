//! Results as files: what other programs read of them, and the rules of subtitles on an hour of speech.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;
use verbatim::jobs::formats::subtitles::Layout;
use verbatim::jobs::formats::{Cues, Format, RenderOptions, render};
use verbatim::jobs::result::TranscriptionResult;

use crate::speech::{models_dir, structurer};
use crate::support::clips;

/// A subtitle as a program reads it: start and end in milliseconds, and its text with its line breaks.
#[derive(Debug, Clone, PartialEq)]
struct Cue {
    start: u64,
    end: u64,
    text: String,
}

impl Cue {
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }
}

/// The subtitles of a file in SubRip or WebVTT, with line breaks of either kind.
fn cues(file: &str) -> Vec<Cue> {
    let file = file.replace("\r\n", "\n");
    let blocks = file.split("\n\n").filter(|block| block.contains(" --> "));
    let cue = |block: &str| {
        let (times, text) = block.split_once(" --> ").unwrap();
        let (end, text) = text.split_once('\n').unwrap();
        let start = times.lines().last().unwrap();
        Cue { start: milliseconds(start), end: milliseconds(end), text: unescaped(text.trim_end()) }
    };
    blocks.map(cue).collect()
}

/// The milliseconds of `00:00:00,000` or of `00:00.000`.
fn milliseconds(time: &str) -> u64 {
    let (seconds, milliseconds) = time.trim().split_once([',', '.']).unwrap();
    let seconds = seconds.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
    seconds * 1000 + milliseconds.parse::<u64>().unwrap()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// A result whose segments have these words, each with its start and end in seconds.
fn result(language: &str, segments: &[&[(&str, f64, f64)]]) -> TranscriptionResult {
    let segment = |(id, words): (usize, &&[(&str, f64, f64)])| {
        let text: String = words.iter().map(|(word, _, _)| *word).collect();
        let timed = words
            .iter()
            .map(|(word, start, end)| json!({"word": word, "start": start, "end": end, "probability": 1.0}));
        json!({
            "id": id, "seek": 0, "start": words[0].1, "end": words[words.len() - 1].2, "text": text, "tokens": [],
            "temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0,
            "suspect": false, "words": timed.collect::<Vec<_>>(),
        })
    };
    serde_json::from_value(json!({
        "transcript": "", "language_detection": {"language": language, "confidence": 1.0}, "topics": [],
        "source_type": "audio", "filename": "a.wav", "file_size": 1, "job_id": "", "processing_completed_at": "",
        "models_used": {"whisper": "base", "spacy": null},
        "whisper_segments": segments.iter().enumerate().map(segment).collect::<Vec<_>>(),
    }))
    .unwrap()
}

fn rendered(result: &TranscriptionResult, format: Format, cues: Cues) -> String {
    let structurer = structurer();
    render(result, format, &RenderOptions { cues, structurer: Some(&structurer) }).unwrap()
}

/// A file of subtitles, read by ffmpeg and written in the format of the other name.
fn converted(dir: &Path, text: &str, from: &str, to: &str) -> String {
    let (input, output) = (dir.join(format!("in.{from}")), dir.join(format!("out.{to}")));
    fs::write(&input, text).unwrap();
    let name = |extension: &str| if extension == "vtt" { "webvtt" } else { "srt" };
    let run = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", name(from), "-i"])
        .arg(&input)
        .args(["-f", name(to)])
        .arg(&output)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    fs::read_to_string(output).unwrap()
}

#[test]
fn ffmpeg_reads_the_same_subtitles_from_srt_and_from_vtt() {
    let dir = TempDir::new().unwrap();
    let english = result(
        "en",
        &[
            &[(" It", 0.5, 0.7), (" rained", 0.7, 1.0), (" & snowed,", 1.0, 1.8), (" and", 1.8, 1.9)],
            &[(" the", 1.9, 2.0), (" old", 2.0, 2.3), (" boats", 2.3, 2.8), (" that", 2.8, 3.0)],
            &[(" nobody", 3.0, 3.4), (" had", 3.4, 3.5), (" sold", 3.5, 4.0), (" sank.", 4.0, 4.5)],
            &[(" 3 < 4", 3671.25, 3672.0), (" and", 3672.0, 3672.5), (" 5 > 4.", 3672.5, 3674.0)],
        ],
    );
    let chinese =
        result("zh", &[&[("我们昨天", 1.0, 2.0), ("去了北京，", 2.0, 3.0), ("今天想去看长城。", 3.0, 5.5)]]);
    for result in [english, chinese] {
        for cut in [Cues::Segments, Cues::Broadcast(Layout::default())] {
            let srt = rendered(&result, Format::Srt, cut);
            let vtt = rendered(&result, Format::Vtt, cut);
            let expected = cues(&srt);
            assert!(!expected.is_empty());
            assert_eq!(cues(&vtt), expected);
            assert_eq!(cues(&converted(dir.path(), &srt, "srt", "vtt")), expected, "{srt}");
            assert_eq!(cues(&converted(dir.path(), &vtt, "vtt", "srt")), expected, "{vtt}");
        }
    }
}

/// An hour of speech: recordings of the speech beside the checkout, transcribed once and repeated, each time later.
/// `None` if there is none.
fn hour() -> Option<TranscriptionResult> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/speech/long");
    let names = ["columbia.opus", "lj001_concat.mp3", "mobydick_ch1_77s.mp3"];
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    if !files.iter().all(|file| file.exists()) {
        verbatim_testing::skip("there is no speech in ../shared/speech/long");
        return None;
    }
    let dir = TempDir::new().unwrap();
    let words = "transcribe --whisper-model tiny.en --spacy-model none --enable-topics false --format json --output .";
    let run = Command::new(env!("CARGO_BIN_EXE_verbatim"))
        .args(words.split(' ').map(OsStr::new).chain(files.iter().map(|file| file.as_os_str())))
        .current_dir(dir.path())
        .env("MODELS_DIR", models_dir())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let read = |file: &PathBuf| -> Value {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        serde_json::from_slice(&fs::read(dir.path().join(format!("{stem}.json"))).unwrap()).unwrap()
    };
    let results: Vec<TranscriptionResult> =
        files.iter().map(read).map(|result| serde_json::from_value(result).unwrap()).collect();
    let mut whole = results[0].clone();
    whole.whisper_segments.clear();
    let mut offset = 0.0;
    for result in results.iter().cycle() {
        for numbered in &result.whisper_segments {
            let mut numbered = numbered.clone();
            numbered.segment.start += offset;
            numbered.segment.end += offset;
            for word in &mut numbered.segment.words {
                word.start += offset;
                word.end += offset;
            }
            whole.whisper_segments.push(numbered);
        }
        offset = whole.whisper_segments.last().unwrap().segment.end + 1.5;
        if offset > 3600.0 {
            return Some(whole);
        }
    }
    None
}

#[test]
fn an_hour_of_speech_is_cut_by_every_rule() {
    let Some(result) = hour() else { return };
    // Loads the models, which is not to be measured.
    structurer();
    let began = Instant::now();
    let srt = rendered(&result, Format::Srt, Cues::Broadcast(Layout::default()));
    println!("rendered in {:.2?}", began.elapsed());
    let cues = cues(&srt);
    let solid = |text: &str| text.split_whitespace().collect::<String>();
    let said: String = result.whisper_segments.iter().map(|numbered| solid(&numbered.segment.text)).collect();
    assert_eq!(cues.iter().map(|cue| solid(&cue.text)).collect::<String>(), said);
    let words = || result.whisper_segments.iter().flat_map(|numbered| &numbered.segment.words);
    let mut ahead = words().map(|word| (solid(&word.word).len(), word.start * 1000.0));
    let mut late = 0;
    for cue in &cues {
        // The first word of a subtitle is said when it appears, or up to a quarter of a second later.
        let (mut left, mut first) = (solid(&cue.text).len(), None);
        while left > 0 {
            let (length, start) = ahead.next().unwrap();
            first.get_or_insert(start);
            left -= length;
        }
        late += usize::from(!(-50.0..=252.0).contains(&(first.unwrap() - cue.start as f64)));
    }
    let (mut fast, mut short, mut sentences, mut lines) = (0, 0, 0, [0, 0]);
    for pair in cues.windows(2) {
        let (cue, next) = (&pair[0], &pair[1]);
        let (length, gap) = (cue.end - cue.start, next.start.checked_sub(cue.end).expect("no overlap"));
        assert!(length <= 7000 && cue.lines().count() <= 2, "{cue:?}");
        assert!(cue.lines().all(|line| line.width() <= 42), "{cue:?}");
        assert!(gap == 83 || gap >= 500 || length <= 1000 || length == 7000, "{gap} ms after {cue:?}");
        let characters = cue.text.width() as u64;
        let is_fast = characters * 50 > length;
        // What is too short or too fast has used all the time there is.
        assert!(!(is_fast || length < 1000) || gap <= 83, "{cue:?} could last longer");
        fast += usize::from(is_fast);
        short += usize::from(length < 1000);
        sentences += usize::from(cue.text.ends_with(['.', '?', '!', ',', ';', ':']));
        lines[cue.lines().count() - 1] += 1;
    }
    println!(
        "{} subtitles of {} words, {lines:?} with one and two lines: {fast} too fast, {short} too short, {late} at \
         another time than their words, {sentences} end at a mark",
        cues.len(),
        words().count()
    );
    assert!(late * 100 < cues.len(), "{late} of {} appear at another time than their words", cues.len());
    assert!(fast * 20 < cues.len() && short * 50 < cues.len(), "{fast} too fast, {short} too short");
    assert!(sentences * 2 > cues.len(), "{sentences} of {} end at a mark", cues.len());
    let lines = cues.iter().map(|cue| cue.lines().count()).sum::<usize>();
    let without = render(&result, Format::Srt, &RenderOptions::default()).unwrap();
    let (dangling, without) = (dangling(&cues), dangling(&self::cues(&without)));
    println!(
        "{dangling} of {lines} lines end with an article, a preposition or the like; without phrases {without}"
    );
    assert!(
        dangling * 100 < lines && dangling * 4 < without,
        "{dangling} of {lines}, {without} without phrases"
    );
}

/// How many lines end with a word that belongs to the next one.
fn dangling(cues: &[Cue]) -> usize {
    let ends = ["the", "a", "an", "of", "and", "to", "his", "her", "my", "their"];
    let last = |line: &str| line.rsplit(' ').next().unwrap_or_default().to_lowercase();
    cues.iter().flat_map(Cue::lines).filter(|line| ends.contains(&last(line).as_str())).count()
}

#[test]
fn the_command_line_writes_every_format() {
    let dir = TempDir::new().unwrap();
    let novel = clips::novel();
    let formats = Format::ALL.map(Format::name).join(",");
    let run = |words: &str| {
        Command::new(env!("CARGO_BIN_EXE_verbatim"))
            .args(words.split(' ').map(OsStr::new).chain([novel.as_os_str()]))
            .current_dir(dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("MODELS_DIR", models_dir())
            .env("WHISPER_MODEL", "tiny.en")
            .output()
            .unwrap()
    };
    let all = run(&format!("transcribe --output out/ --format {formats}"));
    assert!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
    let stem = novel.file_stem().unwrap().to_str().unwrap();
    let read = |format: Format| {
        fs::read_to_string(dir.path().join(format!("out/{stem}.{}", format.extension()))).unwrap()
    };
    let result: TranscriptionResult = serde_json::from_str(&read(Format::Json)).unwrap();
    assert!(!result.topics.is_empty() && result.transcript.contains("young man"), "{result:?}");
    for format in Format::ALL {
        assert_eq!(read(format), rendered(&result, format, Cues::Broadcast(Layout::default())), "{format:?}");
    }
    let narrow = run("transcribe --format srt --max-line-width 20 --max-line-count 1");
    let narrow = cues(std::str::from_utf8(&narrow.stdout).unwrap());
    assert!(narrow.len() > 1 && narrow.iter().all(|cue| cue.text.width() <= 20), "{narrow:?}");
    let refused = run("transcribe --format srt --max-line-width 9");
    assert_eq!(
        String::from_utf8(refused.stderr).unwrap().trim_end(),
        "verbatim: --max-line-width: “9” is not a whole number from 10 to 200."
    );
}
