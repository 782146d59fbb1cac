//! Sound that is no file: samples that come as they are spoken, and what is said in the window that is still open.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, mpsc};

use tokio_util::sync::CancellationToken;
use verbatim::jobs::JobId;
use verbatim::recognizer::{Recognizer, RecognizerError, RecognizerInput};
use verbatim::work::{Ended, Place, Sink, Sound, Source, Transcribing, Transcription};
use verbatim_media::MediaError;
use verbatim_speech::{DecodeOptions, Language, SAMPLE_RATE, WindowTranscript};
use verbatim_vad::Windows;

use crate::speech::{TestEngine, samples, vad};

/// Chunks that somebody pushes.
struct Pushed(mpsc::Receiver<Vec<f32>>);

impl Iterator for Pushed {
    type Item = io::Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.recv().ok().map(Ok)
    }
}

impl Sound for Pushed {}

/// The text of every window, as it ends.
#[derive(Default)]
struct Texts(Vec<(usize, String)>);

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Recognizer(#[from] RecognizerError),
    #[error(transparent)]
    Media(#[from] MediaError),
}

impl Sink for Texts {
    type Error = Failed;

    async fn take(&mut self, event: Transcribing) -> Result<(), Failed> {
        if let Transcribing::Transcribed(Place { index, .. }, transcript) = event {
            self.0.push((index, text(&transcript)));
        }
        Ok(())
    }
}

fn text(transcript: &WindowTranscript) -> String {
    transcript.segments.iter().map(|segment| segment.text.as_str()).collect()
}

fn english() -> DecodeOptions {
    DecodeOptions { language: Some(Language::ENGLISH), ..DecodeOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_that_are_pushed_are_transcribed_as_a_file_of_them_is() {
    let samples = samples(60);
    let transcribe = async |chunk: usize| {
        let (push, pushed) = mpsc::channel();
        let source = Source { vad: vad(), known: HashSet::new(), analyses: Vec::new() };
        let source = source.start(move || Ok(Pushed(pushed))).unwrap();
        for chunk in samples.chunks(chunk) {
            push.send(chunk.to_vec()).unwrap();
        }
        drop(push);
        let transcription = Transcription {
            recognizer: Arc::new(TestEngine::tiny_en().start()),
            job: JobId::new(),
            options: english(),
            detected: None,
            stop: CancellationToken::new(),
        };
        let mut texts = Texts::default();
        assert_eq!(transcription.run(source, &mut texts).await.unwrap(), Ended::Complete);
        texts.0.sort();
        texts.0
    };
    let expected = transcribe(samples.len()).await;
    assert!(expected.len() >= 2, "{expected:?}");
    assert_eq!(transcribe(1_600).await, expected);
}

#[tokio::test]
async fn the_open_window_tells_what_was_said_so_far() {
    let samples = samples(20);
    let vad = vad();
    let (push, pushed) = mpsc::channel();
    let mut windows = Windows::live(&vad, Pushed(pushed));
    assert!(windows.open_window().is_none());
    let recognizer = TestEngine::tiny_en().start();
    let mut words = Vec::new();
    for second in samples.chunks(SAMPLE_RATE) {
        push.send(second.to_vec()).unwrap();
        assert!(windows.read_chunk().unwrap());
        let Some(open) = windows.open_window() else { continue };
        let input = RecognizerInput::new(open);
        let transcript = recognizer.transcribe(JobId::new(), input, Arc::new(english())).await.unwrap();
        words.push(text(&transcript).split_whitespace().count());
    }
    assert!(words.len() >= 4 && words.last() > words.first(), "{words:?}");
    drop(push);
    let whole = RecognizerInput::new(windows.next().unwrap().unwrap());
    let whole = recognizer.transcribe(JobId::new(), whole, Arc::new(english())).await.unwrap();
    assert!(text(&whole).split_whitespace().count() >= *words.last().unwrap());
}
