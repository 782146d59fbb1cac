//! However loud a recording is, what is said in it is written down.

use super::{TINY_EN, clip, models};
use verbatim_speech::{DecodeOptions, Window};
use verbatim_vad::{Vad, Windows};

/// The words of a recording that a sound card made of these samples, in 16 bits.
fn words(samples: &[f32], gain: f32, offset: f32) -> Vec<String> {
    let step = |sample: &f32| ((sample * gain + offset) * 32768.0).round().clamp(-32768.0, 32767.0);
    let recorded: Vec<f32> = samples.iter().map(step).map(|step| step / 32768.0).collect();
    let vad = Vad::load(&models().join("silero_vad_v6.onnx")).unwrap();
    let windows: Vec<Window> = Windows::new(&vad, [Ok(recorded)].into_iter()).map(Result::unwrap).collect();
    let options = DecodeOptions { beam_size: 1, word_timestamps: false, ..DecodeOptions::default() };
    let transcripts = TINY_EN.transcribe(&windows, &options).unwrap();
    let text: String = transcripts
        .into_iter()
        .flat_map(|transcript| transcript.segments)
        .map(|segment| segment.text)
        .collect();
    let word = |word: &str| word.to_lowercase().trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    text.split_whitespace().map(word).collect()
}

#[test]
fn speech_is_written_down_however_quiet_and_on_an_offset() {
    let samples = clip("austen-joined");
    let expected = words(&samples, 1.0, 0.0);
    assert!(expected.len() > 50, "{expected:?}");
    for (gain, offset) in [(0.01, 0.0), (0.03, 0.1), (1.0, 0.3)] {
        let found = words(&samples, gain, offset);
        let kept = expected.iter().filter(|word| found.contains(word)).count();
        assert!(10 * kept >= 9 * expected.len(), "{gain} {offset}: {found:?}");
        assert!(found.len() <= expected.len() + 3, "{gain} {offset}: {found:?}");
    }
}
