//! Words beside long silences lie where they were said, though something else was taken for speech on the far side.

use verbatim_testing::spoken;

use super::{BASE, chords, clip, models};
use verbatim_speech::Piece;
use verbatim_speech::{DecodeOptions, Language, SAMPLE_RATE, Segment, Task, Window};
use verbatim_vad::{Vad, Windows};

/// Where the sentence starts, and the sound on the other side of the silence, in seconds.
const FAR: usize = 40;

fn german() -> DecodeOptions {
    DecodeOptions { language: Some(Language::parse("de").unwrap()), beam_size: 1, ..DecodeOptions::default() }
}

fn segments(windows: &[Window], options: &DecodeOptions) -> Vec<Segment> {
    let transcripts = BASE.transcribe(windows, options).unwrap();
    transcripts.into_iter().flat_map(|transcript| transcript.segments).collect()
}

/// The segments of a recording.
fn transcribed(samples: &[f32], options: &DecodeOptions) -> Vec<Segment> {
    let vad = Vad::load(&models().join("silero_vad_v6.onnx")).unwrap();
    let windows: Vec<Window> = Windows::new(&vad, samples.chunks(16_000).map(|chunk| Ok(chunk.to_vec())))
        .map(Result::unwrap)
        .collect();
    segments(&windows, options)
}

/// A window of stretches of a recording, each from so many seconds on.
fn window(stretches: &[(usize, &[f32])]) -> Window {
    let mut window = Window::new(0, 0.0, Vec::new());
    window.pieces.clear();
    for (start, samples) in stretches {
        let origin = (start * SAMPLE_RATE) as u64;
        window.pieces.push(Piece { offset: window.samples.len() as u64, origin });
        window.samples.extend_from_slice(samples);
    }
    window
}

/// With words, without, and translated.
fn ways() -> [DecodeOptions; 3] {
    let without_words = DecodeOptions { word_timestamps: false, ..german() };
    let translated = DecodeOptions { task: Task::Translate, ..german() };
    [german(), without_words, translated]
}

#[test]
fn a_sentence_behind_music_begins_behind_it() {
    let samples = [chords(FAR), clip("german")].concat();
    for options in ways() {
        let segments = transcribed(&samples, &options);
        // The window begins a second before the sentence is heard, and its first word may be spread over that.
        assert!(segments.iter().all(|segment| segment.start >= 39.0), "{segments:#?}");
        assert!(segments[0].start < 41.0, "{segments:#?}");
        if options.task == Task::Transcribe {
            assert!(segments[0].text.contains("Morgen"), "{segments:#?}");
        }
    }
}

/// Half a second that is no speech and that the model leaves out.
fn knock() -> Vec<f32> {
    clip("noise")[..SAMPLE_RATE / 2].iter().map(|sample| sample / 2.0).collect()
}

#[test]
fn no_word_is_drawn_over_a_silence_to_a_sound_before_it() {
    let (knock, sentence) = (knock(), clip("german"));
    let at_front = window(&[(0, &knock), (FAR, &sentence)]);
    for options in ways() {
        lies_behind_the_silence(&at_front, &options);
    }
    let twice = window(&[(0, &knock), (20, &knock), (FAR, &sentence)]);
    lies_behind_the_silence(&twice, &german());
    let around = window(&[(0, &knock), (FAR, &sentence), (FAR + 30, &knock)]);
    lies_behind_the_silence(&around, &german());
}

/// The sentence lasts 9 s.
fn lies_behind_the_silence(window: &Window, options: &DecodeOptions) {
    let segments = segments(std::slice::from_ref(window), options);
    let within = |start: f64, end: f64| 40.0 <= start && start <= end && end < 50.0;
    assert!(segments.iter().all(|segment| within(segment.start, segment.end)), "{segments:#?}");
    let words = segments.iter().flat_map(|segment| &segment.words);
    assert!(words.clone().all(|word| within(word.start, word.end)), "{segments:#?}");
    assert_eq!(words.count() > 0, options.word_timestamps);
}

#[test]
fn a_word_that_was_said_before_a_silence_stays_there() {
    let pause = |spoken: &[f32]| vec![0.0; 20 * SAMPLE_RATE - spoken.len()];
    let yes = spoken("de", "Ja.");
    let segments = transcribed(&[yes.as_slice(), &pause(&yes), &clip("german")].concat(), &german());
    let words: Vec<_> = segments.iter().flat_map(|segment| &segment.words).collect();
    assert!(words[0].word.starts_with(" Ja") && words[0].end < 1.0, "{segments:#?}");
    assert!(words[1..].iter().all(|word| word.start > 19.5), "{segments:#?}");
}

/// The model does not write the first word down; the second is not to be put in its place.
#[test]
fn a_word_that_is_left_out_draws_no_other_to_its_place() {
    let yes = spoken("en", "Yes.");
    let pause = vec![0.0; 20 * SAMPLE_RATE - yes.len()];
    let segments = transcribed(&[yes.as_slice(), &pause, &clip("german")].concat(), &german());
    let words = segments.iter().flat_map(|segment| &segment.words);
    let drawn = words.filter(|word| word.start < 19.0 && word.word.contains("Guten"));
    assert_eq!(drawn.count(), 0, "{segments:#?}");
}
