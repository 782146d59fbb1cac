//! What a user of the engine can count on, on real speech and the real models.

use std::path::Path;

use super::{BASE, TINY_EN, clip, models};
use crate::{ComputeType, DecodeRequest, Error, Model, Session};
use verbatim_speech::{DecodeOptions, Language, SAMPLE_RATE, Task, Window};
use verbatim_vad::{Vad, Windows};

fn windows(samples: &[f32]) -> Vec<Window> {
    let vad = Vad::load(&models().join("silero_vad_v6.onnx")).unwrap();
    Windows::new(&vad, samples.chunks(16_000).map(|chunk| Ok(chunk.to_vec()))).map(Result::unwrap).collect()
}

#[test]
fn segments_are_timed_in_the_recording_though_silences_were_left_out() {
    // 3 s of silence, the 7.1 s of austen-0870, 2.5 s of silence, cards-005 …
    let samples = clip("with-pauses");
    let windows = windows(&samples);
    let transcripts = BASE.transcribe(&windows, &DecodeOptions::default()).unwrap();
    let segments: Vec<_> = transcripts.into_iter().flat_map(|transcript| transcript.segments).collect();
    let duration = samples.len() as f64 / SAMPLE_RATE as f64;
    assert!(segments.iter().all(|segment| segment.start < segment.end && segment.end <= duration));
    assert!(segments.windows(2).all(|pair| pair[0].end <= pair[1].start + 1e-9), "{segments:#?}");
    // austen-0880 ends at 39 s; then there are 4 s of silence.
    let before = segments.iter().rfind(|segment| segment.start < 39.0).unwrap();
    assert!(before.end < 40.0, "{before:?}");
    let start_of = |words: &str| {
        let segment = segments.iter().find(|segment| segment.text.to_lowercase().contains(words));
        segment.unwrap_or_else(|| panic!("no “{words}” in {segments:#?}")).start
    };
    for (words, start) in [("dashwood", 3.0), ("spades", 12.6), ("cold", 30.4), ("amiable himself", 43.0)] {
        let found = start_of(words);
        assert!(
            (found - start).abs() < 1.5,
            "“{words}” was said from {start} s on, not {found}: {segments:#?}"
        );
    }
}

#[test]
fn a_recording_that_changes_its_language_is_followed() {
    // A little over a minute of each.
    let german = clip("german");
    let pause = vec![0.0; SAMPLE_RATE];
    let times = 65 * SAMPLE_RATE / german.len() + 1;
    let samples = [clip("english-70s"), [pause, german].concat().repeat(times)].concat();
    let windows = windows(&samples);
    let languages = |options: &DecodeOptions| -> Vec<String> {
        let transcripts = BASE.transcribe(&windows, options).unwrap();
        transcripts.iter().map(|transcript| transcript.language.to_string()).collect()
    };
    let told = DecodeOptions { language: Some(Language::ENGLISH), beam_size: 1, ..DecodeOptions::default() };
    assert!(languages(&told).iter().all(|language| language == "en"));
    let followed = languages(&DecodeOptions { follow_language: true, ..told });
    assert_eq!(followed[0], "en", "{followed:?}");
    assert_eq!(followed[followed.len() - 1], "de", "{followed:?}");
    assert_eq!(followed.windows(2).filter(|pair| pair[0] != pair[1]).count(), 1, "{followed:?}");
}

#[test]
fn the_language_is_judged_the_same_with_the_first_token_before_it_and_alone() {
    let windows = [Window::new(0, 0.0, clip("german")[..5 * SAMPLE_RATE].to_vec())];
    let detected = BASE.detect_language(&BASE.encode(&windows[0]));
    assert_eq!(detected.best().unwrap().0.code(), "de");
    let english =
        || DecodeOptions { language: Some(Language::ENGLISH), beam_size: 1, ..DecodeOptions::default() };
    let cases = [
        (DecodeOptions { language: None, ..english() }, "de"),
        (english(), "en"),
        (DecodeOptions { follow_language: true, ..english() }, "de"),
        // Behind a prompt the first token is not the start of the transcript.
        (DecodeOptions { hotwords: Some("Berlin".into()), ..english() }, "en"),
    ];
    for (options, language) in cases {
        let transcript = BASE.transcribe(&windows, &options).unwrap().remove(0);
        assert_eq!(transcript.language.code(), language);
        for (judged, probability) in transcript.language_probabilities.iter() {
            assert!((probability - detected.of(judged)).abs() < 1e-6, "{judged}");
        }
    }
}

/// Somebody far from the microphone, whom the model by itself leaves out.
#[test]
fn a_sentence_much_quieter_than_those_around_it_is_found_and_stands_in_its_place() {
    let quiet: Vec<f32> = clip("austen-0930").into_iter().map(|sample| 0.03 * sample).collect();
    let pause = |seconds: f64| vec![0.0; (seconds * SAMPLE_RATE as f64) as usize];
    let samples = [clip("goforward"), pause(1.5), quiet, pause(1.5), clip("cards-003"), pause(1.0)].concat();
    for word_timestamps in [true, false] {
        let language = Some(Language::ENGLISH);
        let options = DecodeOptions { language, word_timestamps, ..DecodeOptions::default() };
        let transcripts = BASE.transcribe(&windows(&samples), &options).unwrap();
        let segments = transcripts.into_iter().flat_map(|one| one.segments);
        let text: String = segments.map(|segment| segment.text.to_lowercase()).collect();
        let places = ["go forward", "amiable himself", "clubs"].map(|words| text.find(words));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
    }
}

#[test]
fn silence_and_noise_hold_no_words() {
    for name in ["silence", "noise", "sweep"] {
        let transcripts = BASE.transcribe(&windows(&clip(name)), &DecodeOptions::default()).unwrap();
        let segments: Vec<_> = transcripts.iter().flat_map(|transcript| &transcript.segments).collect();
        assert!(segments.is_empty(), "{name}: {segments:#?}");
    }
    // Also where voice activity was not asked first: by the thresholds, which are meant for greedy decoding.
    let silent = Window::new(0, 0.0, clip("silence"));
    let greedy = DecodeOptions { beam_size: 1, ..DecodeOptions::default() };
    let transcripts = BASE.transcribe(&[silent], &greedy).unwrap();
    assert_eq!(transcripts[0].segments, []);
}

#[test]
fn a_text_that_repeats_itself_is_tried_again_at_higher_temperatures() {
    let loops = Window::new(0, 0.0, clip("sweep"));
    let greedy =
        DecodeOptions { temperatures: vec![0.0], no_speech_threshold: None, ..DecodeOptions::default() };
    let first = TINY_EN.transcribe(std::slice::from_ref(&loops), &greedy).unwrap();
    assert!(first[0].segments[0].compression_ratio > 2.4, "the clip makes the model repeat itself");
    let options = DecodeOptions { no_speech_threshold: None, ..DecodeOptions::default() };
    let again = TINY_EN.transcribe(std::slice::from_ref(&loops), &options).unwrap();
    assert!(
        again[0].segments.iter().all(|segment| segment.temperature > 0.0 && segment.compression_ratio <= 2.4)
    );
    assert_eq!(again, TINY_EN.transcribe(&[loops], &options).unwrap(), "the seed makes a run repeat");
}

/// Windows of 30 s, whether or not there is speech, with what voice activity detection thinks of them.
fn all_of_it(samples: &[f32]) -> Vec<Window> {
    let vad = Vad::load(&models().join("silero_vad_v6.onnx")).unwrap();
    let windows = samples.chunks(30 * SAMPLE_RATE).enumerate();
    windows
        .map(|(index, samples)| {
            vad.annotate(Window::new(index, 30.0 * index as f64, samples.to_vec())).unwrap()
        })
        .collect()
}

#[test]
fn what_is_made_up_where_nobody_speaks_is_suspect_and_speech_is_not() {
    // The model is made to say something.
    let talkative = DecodeOptions {
        no_speech_threshold: None,
        temperatures: vec![0.0, 0.8],
        best_of: 1,
        ..DecodeOptions::default()
    };
    let mut made_up = 0;
    for name in ["silence", "noise", "sweep"] {
        let windows = all_of_it(&clip(name));
        for (transcriber, word_timestamps) in [(&BASE, true), (&TINY_EN, true), (&TINY_EN, false)] {
            let options = DecodeOptions { word_timestamps, ..talkative.clone() };
            let transcripts = transcriber.transcribe(&windows, &options).unwrap();
            for segment in transcripts.iter().flat_map(|transcript| &transcript.segments) {
                made_up += 1;
                assert!(segment.suspect, "{name}: {segment:?}");
            }
        }
    }
    assert!(made_up > 4, "the models said {made_up} things of silence and noise");
    for name in ["with-pauses", "austen-joined", "cards-001", "numbers", "english-70s", "german"] {
        let samples = clip(name);
        for windows in [all_of_it(&samples), windows(&samples)] {
            let transcripts = BASE.transcribe(&windows, &DecodeOptions::default()).unwrap();
            for segment in transcripts.iter().flat_map(|transcript| &transcript.segments) {
                assert!(!segment.suspect, "{name}: {segment:?}");
            }
        }
    }
}

#[test]
fn a_loop_is_suspect_even_where_nobody_listened() {
    let greedy =
        DecodeOptions { temperatures: vec![0.0], no_speech_threshold: None, ..DecodeOptions::default() };
    let transcripts = TINY_EN.transcribe(&[Window::new(0, 0.0, clip("sweep"))], &greedy).unwrap();
    let segments = &transcripts[0].segments;
    assert!(!segments.is_empty() && segments.iter().all(|segment| segment.suspect), "{segments:?}");
}

#[test]
fn a_window_that_is_removed_half_way_leaves_the_others_as_they_are() {
    let clips = ["cards-001", "austen-joined", "numbers"].map(|name| Window::new(0, 0.0, clip(name)));
    let options = DecodeOptions::default();
    let alone = |window| TINY_EN.transcribe(std::slice::from_ref(window), &options).unwrap().remove(0);
    let expected = [(0, alone(&clips[0])), (2, alone(&clips[2]))];
    for step in [0, 3] {
        let mut session = Session::default();
        for (key, window) in (0..).zip(&clips) {
            TINY_EN.add(&mut session, key, &TINY_EN.encode(window), &options).unwrap();
        }
        let mut done = Vec::new();
        (0..step).for_each(|_| done.extend(TINY_EN.step(&mut session)));
        assert!(done.is_empty());
        session.remove(1);
        session.remove(9);
        assert_eq!(session.len(), 2);
        while !session.is_empty() {
            done.extend(TINY_EN.step(&mut session));
        }
        done.sort_by_key(|(key, _)| *key);
        assert_eq!(done, expected);
    }
}

#[test]
fn an_english_only_model_says_so() {
    let window = Window::new(0, 0.0, clip("cards-001"));
    let encoded = &TINY_EN.encode(&window);
    assert!(!TINY_EN.model().is_multilingual());
    assert_eq!(TINY_EN.detect_language(encoded).best(), Some((Language::ENGLISH, 1.0)));
    let german = DecodeOptions { language: Language::parse("de"), ..DecodeOptions::default() };
    let translate = DecodeOptions { task: Task::Translate, ..DecodeOptions::default() };
    for (options, sentence) in [
        (german, "the model only knows English; it cannot transcribe german"),
        (translate, "the model only knows English; it cannot translate"),
    ] {
        let error = TINY_EN.decode(&[DecodeRequest { encoded, options: &options }]).unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn a_language_that_the_model_lacks_is_refused() {
    let window = Window::new(0, 0.0, clip("cards-001"));
    let cantonese = Language::parse("yue").unwrap();
    assert!(!BASE.model().knows(cantonese) && BASE.model().knows(Language::ENGLISH));
    let error =
        BASE.transcribe(&[window], &DecodeOptions { language: Some(cantonese), ..DecodeOptions::default() });
    assert!(matches!(error, Err(Error::Language(language)) if language == cantonese));
}

#[test]
fn a_folder_that_is_no_model_is_refused_with_the_file_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let sentence = |dir: &Path| Model::load(dir, ComputeType::F32).unwrap_err().to_string();
    assert!(sentence(dir.path()).contains("config.json"));
    for file in ["config.json", "model.bin", "tokenizer.json"] {
        std::os::unix::fs::symlink(models().join("tiny.en").join(file), dir.path().join(file)).unwrap();
    }
    Model::load(dir.path(), ComputeType::F32).unwrap();

    let replace = |file: &str, with: &[u8]| {
        std::fs::remove_file(dir.path().join(file)).unwrap();
        std::fs::write(dir.path().join(file), with).unwrap();
    };
    // The tokens of another model.
    let tokenizer = std::fs::read(models().join("base/tokenizer.json")).unwrap();
    replace("tokenizer.json", &tokenizer);
    assert!(sentence(dir.path()).contains("the model knows only 51864 tokens"), "{}", sentence(dir.path()));
    replace("tokenizer.json", b"{}");
    assert!(sentence(dir.path()).contains("tokenizer.json is not a usable model file: it is no tokenizer"));
    let weights = std::fs::read(models().join("tiny.en/model.bin")).unwrap();
    replace("model.bin", &weights[..weights.len() / 2]);
    let cut_off = sentence(dir.path());
    assert!(cut_off.contains("model.bin is not a usable model file: variable `"), "{cut_off}");
    assert!(cut_off.contains("the file ends at byte"), "{cut_off}");
    replace("config.json", b"[1, 2]");
    assert!(
        sentence(dir.path())
            .contains("config.json is not a usable model file: it is no Whisper configuration")
    );
    assert!(
        Vad::load(&dir.path().join("config.json")).unwrap_err().to_string().contains("it is no ONNX network")
    );
}
