//! Words are where a voice is.
//!
//! The path through the attention gives every moment to some word. Beside a pause that is the word before or behind it,
//! which then lasts over part of the pause.

use verbatim_speech::{SAMPLE_RATE, Window, Word};

/// A frame counts as speech from this probability on.
const VOICED: f32 = 0.35;

/// Voice activity detection hears a soft first sound late: a word starts this much before it, in seconds.
const ONSET: f64 = 0.05;

/// What is less silence than this, in seconds, stays with its word.
const LEAST: f64 = 0.15;

/// Takes the silence at the front of each word off, if there is a voice behind it. Times are seconds from the window's
/// start.
pub(crate) fn trim(window: &Window, segments: &mut [Vec<Word>]) {
    for word in segments.iter_mut().flatten() {
        let sample = |seconds: f64| (seconds * SAMPLE_RATE as f64).round() as u64;
        if let Some(onset) = window.voice.onset(sample(word.start), sample(word.end), VOICED) {
            let start = onset as f64 / SAMPLE_RATE as f64 - ONSET;
            if start - word.start >= LEAST {
                word.start = start;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Silence, speech from 1 s to 2 s and silence again, in frames of 0.1 s.
    fn window() -> Window {
        let mut window = Window::new(0, 0.0, vec![0.0; 48_000]);
        (0..30).for_each(|frame| window.voice.push(frame * 1600, if frame / 10 == 1 { 0.9 } else { 0.1 }));
        window
    }

    fn start(start: f64, end: f64) -> f64 {
        let mut segments = [vec![Word { word: " a".into(), start, end, probability: 1.0 }]];
        trim(&window(), &mut segments);
        assert_eq!(segments[0][0].end, end);
        segments[0][0].start
    }

    #[test]
    fn a_word_starts_with_its_voice() {
        assert_eq!(start(0.2, 1.5), 0.95);
        assert_eq!(start(0.9, 1.5), 0.9, "a soft sound may be before it");
        assert_eq!(start(1.2, 1.5), 1.2);
        assert_eq!(start(0.2, 0.8), 0.2, "there is no voice");
        assert_eq!(start(0.2, 0.2), 0.2);
    }

    #[test]
    fn nothing_moves_where_nobody_listened() {
        let mut words = [vec![Word { word: " a".into(), start: 0.2, end: 1.5, probability: 1.0 }]];
        trim(&Window::new(0, 0.0, vec![0.0; 48_000]), &mut words);
        assert_eq!(words[0][0].start, 0.2);
    }
}
