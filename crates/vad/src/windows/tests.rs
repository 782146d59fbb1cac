use verbatim_testing::{chords, clip, models};

use super::*;

fn vad() -> Vad {
    Vad::load(&models().join("silero_vad_v6.onnx")).unwrap()
}

fn windows(vad: &Vad, samples: &[f32], chunk: usize) -> Vec<Window> {
    let chunks = samples.chunks(chunk).map(|chunk| Ok(chunk.to_vec()));
    Windows::new(vad, chunks).map(Result::unwrap).collect()
}

/// Clips of speech, each followed by that many seconds of silence.
fn speech(parts: &[(&str, usize)]) -> Vec<f32> {
    let mut samples = Vec::new();
    for (name, silence) in parts {
        samples.extend(clip(name));
        samples.resize(samples.len() + silence * SAMPLE_RATE, 0.0);
    }
    samples
}

#[test]
fn windows_hold_the_original_samples_at_their_times() {
    let parts =
        [("austen-0870", 1), ("cards-005", 5), ("austen-joined", 0), ("austen-joined", 61), ("cards-001", 2)];
    let samples = speech(&parts);
    let windows = windows(&vad(), &samples, 16_000);
    assert!(windows.len() >= 3, "{}", windows.len());
    let mut last_end = 0.0;
    for (index, window) in windows.iter().enumerate() {
        assert_eq!(window.index, index);
        assert!(window.samples.len() as u64 <= MAX_SAMPLES);
        assert!(window.start() >= last_end, "windows do not overlap");
        last_end = window.end();
        let ends =
            window.pieces.iter().skip(1).map(|piece| piece.offset).chain([window.samples.len() as u64]);
        for (piece, end) in window.pieces.iter().zip(ends) {
            let length = (end - piece.offset) as usize;
            let original = &samples[piece.origin as usize..][..length];
            assert_eq!(&window.samples[piece.offset as usize..][..length], original);
        }
    }
    assert!(last_end <= samples.len() as f64 / SAMPLE_RATE as f64);
    assert!(windows.iter().any(|window| window.pieces.len() > 1), "a long silence was left out of a window");
}

#[test]
fn windows_have_the_probabilities_of_speech_of_the_stream() {
    let vad = vad();
    let samples = speech(&[("austen-0870", 1), ("cards-005", 5), ("austen-0870", 0)]);
    let all = vad.annotate(Window::new(0, 0.0, samples.clone())).unwrap();
    let share = |window: &Window| window.voiced(0.0, seconds_of(window.samples.len() as u64), 0.5).unwrap();
    for window in windows(&vad, &samples, 16_000) {
        let ends = window.pieces.iter().skip(1).map(|next| next.offset).chain([window.samples.len() as u64]);
        for (piece, end) in window.pieces.iter().zip(ends) {
            let here = window.voice.share(piece.offset, end, 0.5);
            assert_eq!(here, all.voice.share(piece.origin, piece.origin + end - piece.offset, 0.5));
        }
        assert!((0.5..0.95).contains(&share(&window)), "{}", share(&window));
    }
    assert_eq!(Window::new(0, 0.0, samples).voiced(0.0, 1.0, 0.5), None);
}

#[test]
fn chunks_of_any_size_give_the_same_windows() {
    let vad = vad();
    let samples = speech(&[("cards-005", 3), ("austen-joined", 0), ("austen-0870", 20)]);
    let expected = windows(&vad, &samples, samples.len());
    for chunk in [511, 16_000, 99_999] {
        assert_eq!(windows(&vad, &samples, chunk), expected, "chunks of {chunk}");
    }
}

#[test]
fn speech_without_pauses_is_cut_and_nothing_is_lost() {
    let mut samples = Vec::new();
    while samples.len() < 100 * SAMPLE_RATE {
        samples.extend(clip("austen-0870").iter().filter(|sample| sample.abs() > 0.01));
    }
    let windows = windows(&vad(), &samples, 16_000);
    assert!(windows.len() >= 4);
    let covered: f64 = windows.iter().map(|window| window.end() - window.start()).sum();
    assert!(covered > 95.0, "only {covered} s of 100 are covered");
}

/// A sentence is said six times. After the third, which ends behind 20 s, the speaker pauses for longer than else.
#[test]
fn a_full_window_is_cut_at_the_longest_pause_of_its_last_third() {
    let sentence = clip("austen-0870");
    let mut samples = Vec::new();
    let mut long_pause = 0..0;
    for time in 0..6 {
        samples.extend_from_slice(&sentence);
        let pause = if time == 2 { SAMPLE_RATE } else { SAMPLE_RATE / 4 };
        if time == 2 {
            long_pause = samples.len()..samples.len() + pause;
        }
        samples.resize(samples.len() + pause, 0.0);
    }
    assert!((21 * SAMPLE_RATE..25 * SAMPLE_RATE).contains(&long_pause.start), "{long_pause:?}");
    let windows = windows(&vad(), &samples, 16_000);
    let end = (windows[0].end() * SAMPLE_RATE as f64) as usize;
    assert!(long_pause.contains(&end), "{end} is not in {long_pause:?}");
    assert_eq!(windows[1].start(), windows[0].end(), "nothing is lost");
    let voiced = |window: &Window| window.voice.share(0, window.samples.len() as u64, 0.5);
    assert!(windows.iter().all(|window| voiced(window) > Some(0.5)), "each part has its probabilities");
}

#[test]
fn windows_do_not_depend_on_loudness_or_offset() {
    let vad = vad();
    let samples = speech(&[("austen-0870", 1), ("cards-005", 5), ("austen-joined", 0)]);
    let expected = windows(&vad, &samples, 16_000);
    for (gain, offset) in [(0.03, 0.0), (0.01, 0.0), (0.03, 0.1), (1.0, 0.3), (10.0, 0.0)] {
        let step = |sample: &f32| ((sample * gain + offset) * 32768.0).round().clamp(-32768.0, 32767.0);
        let other: Vec<f32> = samples.iter().map(step).map(|step| step / 32768.0).collect();
        let found = windows(&vad, &other, 16_000);
        assert_eq!(found.len(), expected.len(), "{gain} {offset}");
        for (found, expected) in found.iter().zip(&expected) {
            let apart = (found.start() - expected.start()).abs().max((found.end() - expected.end()).abs());
            assert!(apart < 0.3, "{gain} {offset}: {apart} s");
            assert_eq!(found.pieces.len(), expected.pieces.len(), "{gain} {offset}");
        }
        for chunk in [511, 99_999] {
            assert!(windows(&vad, &other, chunk) == found, "{gain} {offset}: chunks of {chunk}");
        }
    }
}

/// The first chord is taken for speech for a tenth of a second.
#[test]
fn a_chord_opens_no_window_and_speech_after_music_is_complete() {
    let vad = vad();
    assert_eq!(windows(&vad, &chords(40), 16_000), []);
    let windows = windows(&vad, &[chords(40), clip("german")].concat(), 16_000);
    assert_eq!(windows.len(), 1);
    assert_eq!(windows[0].pieces.len(), 1, "{:?}", windows[0].pieces);
    // The speech begins 40 s into the recording, and is certain only after 1.8 s.
    assert!((39.0..40.0).contains(&windows[0].start()), "{}", windows[0].start());
}

#[test]
fn a_doubtful_sound_counts_beside_speech() {
    let vad = vad();
    let chord = &chords(1)[..SAMPLE_RATE / 4];
    let speech = clip("austen-0870");
    let found = |samples: &[f32]| windows(&vad, samples, 16_000);
    let near = found(&[chord, &speech].concat());
    assert_eq!((near.len(), near[0].start()), (1, 0.0), "the chord is before the speech");
    let silence = vec![0.0; 5 * SAMPLE_RATE];
    let far = found(&[chord, &silence, &speech].concat());
    assert!(far[0].start() > 4.0, "{}", far[0].start());
}

#[test]
fn silence_and_empty_streams_have_no_windows() {
    let vad = vad();
    for length in [0, 1, 511, 512, 16_000 * 40] {
        assert_eq!(windows(&vad, &vec![0.0; length], 16_000), [], "{length} samples");
    }
}

#[test]
fn an_error_comes_after_the_windows_of_what_was_read_before() {
    let vad = vad();
    let pcm = [Ok(speech(&[("austen-0870", 0)])), Err(io::Error::other("the decoder died"))];
    let items: Vec<_> = Windows::new(&vad, pcm.into_iter()).collect();
    assert_eq!(items.len(), 2);
    assert!(items[0].is_ok());
    assert_eq!(items[1].as_ref().unwrap_err().to_string(), "the decoder died");
}

#[test]
fn the_open_window_grows_to_the_closed_one() {
    let vad = vad();
    let samples = speech(&[("austen-joined", 3), ("austen-0870", 3)]);
    let mut windows = Windows::live(&vad, samples.chunks(1_600).map(|chunk| Ok(chunk.to_vec())));
    assert_eq!(windows.open_window(), None);
    let (mut most, mut closed) = (0, Vec::new());
    while windows.read_chunk().unwrap() {
        if let Some(open) = windows.open_window() {
            assert!(open.samples.len() as u64 <= MAX_SAMPLES);
            let ends = open.pieces.iter().skip(1).map(|next| next.offset).chain([open.samples.len() as u64]);
            for (piece, end) in open.pieces.iter().zip(ends) {
                let original = &samples[piece.origin as usize..][..(end - piece.offset) as usize];
                assert_eq!(&open.samples[piece.offset as usize..end as usize], original);
            }
            most = most.max(open.samples.len());
        }
    }
    closed.extend(windows.map(Result::unwrap));
    assert_eq!(
        closed,
        self::windows(&vad, &samples, samples.len()),
        "levels are ordinary, so nothing else changes"
    );
    let length: usize = closed.iter().map(|window| window.samples.len()).sum();
    assert!(most > length / 3 && most <= length, "{most} of {length}");
}
