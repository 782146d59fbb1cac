//! Sound to transcripts of its windows: what the service and the command line have in common.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use verbatim_media::MediaError;
use verbatim_speech::{DecodeOptions, Language, WindowTranscript};

use super::decoding::{Decoding, Place};
use super::source::{SourceEvent, broken_off};
use crate::jobs::JobId;
use crate::recognizer::{Recognizer, RecognizerError};
use crate::store::Analyses;

/// What happens while a recording is transcribed, in the order in which it happens.
#[derive(Debug)]
pub enum Transcribing {
    /// The language is being detected, from the first windows.
    DetectingLanguage,
    /// It is this one.
    LanguageDetected(Language),
    /// From here on windows are transcribed.
    Started,
    /// So many seconds of the recording were read.
    Read(f64),
    /// A window that the source was told to leave out, and where it ends.
    Skipped { index: usize, end: f64 },
    /// What was found out about a window besides its words, and where it ends; before its transcript.
    Analyzed { index: usize, end: f64, found: Analyses },
    /// The recognizer has this window.
    Begun(Place),
    /// Windows may end in any order.
    Transcribed(Place, WindowTranscript),
    /// All was read, so many seconds. `damage` says, in a sentence, why the sound ended before its time.
    ReadAll { seconds: f64, damage: Option<String> },
}

/// Who is told of what happens. It may take its time: nothing goes on meanwhile but what the recognizer has.
pub trait Sink {
    type Error: From<RecognizerError> + From<MediaError>;

    /// An error ends the transcription.
    fn take(&mut self, event: Transcribing) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// How a transcription ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All windows are transcribed.
    Complete,
    /// At a stop: windows that the recognizer had begun are transcribed, others are not.
    Stopped,
}

/// What to transcribe with, and how.
#[derive(Debug)]
pub struct Transcription {
    pub recognizer: Arc<dyn Recognizer>,
    /// Whose windows they are.
    pub job: JobId,
    /// Without a language, it is detected, and windows that are clearly in another are followed.
    pub options: DecodeOptions,
    /// What was detected at an earlier start.
    pub detected: Option<Language>,
    /// Take nothing more; wait for what the recognizer has begun.
    pub stop: CancellationToken,
}

impl Transcription {
    /// Transcribes every window of `source`.
    ///
    /// # Errors
    /// If the sound cannot be read, the recognizer refuses or fails on a window, or `sink` fails.
    pub async fn run<S: Sink>(
        self,
        mut source: mpsc::Receiver<SourceEvent>,
        sink: &mut S,
    ) -> Result<Ended, S::Error> {
        let Self { recognizer, job, options, detected, stop } = self;
        let mut decoding = Decoding::new(recognizer, job, options, detected);
        let (mut at_end, mut stopped) = (false, false);
        if !decoding.is_undecided() {
            sink.take(Transcribing::Started).await?;
        }
        loop {
            if decoding.can_detect(at_end) {
                sink.take(Transcribing::DetectingLanguage).await?;
                let (language, begun) = decoding.detect().await?;
                sink.take(Transcribing::LanguageDetected(language)).await?;
                for place in begun {
                    sink.take(Transcribing::Begun(place)).await?;
                }
                sink.take(Transcribing::Started).await?;
            }
            let take_more = !at_end && decoding.has_room() && !stopped && !stop.is_cancelled();
            tokio::select! {
                event = source.recv(), if take_more => match event {
                    Some(SourceEvent::Window { index, end, window, read }) => {
                        sink.take(Transcribing::Read(read)).await?;
                        match window {
                            None => sink.take(Transcribing::Skipped { index, end }).await?,
                            Some((window, found)) => {
                                sink.take(Transcribing::Analyzed { index, end, found }).await?;
                                if let Some(place) = decoding.push(window) {
                                    sink.take(Transcribing::Begun(place)).await?;
                                }
                            }
                        }
                    }
                    Some(SourceEvent::End { read, damage }) => {
                        sink.take(Transcribing::ReadAll { seconds: read, damage }).await?;
                        at_end = true;
                    }
                    Some(SourceEvent::Failed(error)) => return Err(error.into()),
                    None => return Err(broken_off().into()),
                },
                Some((place, transcript)) = decoding.next() => match transcript {
                    Ok(transcript) => sink.take(Transcribing::Transcribed(place, transcript)).await?,
                    // It had not been begun; others have.
                    Err(RecognizerError::Stopping) => stopped = true,
                    Err(error) => return Err(error.into()),
                },
                () = stop.cancelled(), if take_more => {}
                else => break,
            }
        }
        Ok(if at_end && !stopped { Ended::Complete } else { Ended::Stopped })
    }
}
