//! Detects the language of a recording without transcribing it: from its first windows, as a job does.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use verbatim_media::Tracks;
use verbatim_speech::{Language, LanguageProbabilities, Window};
use verbatim_vad::Vad;

use super::decoding::LANGUAGE_WINDOWS;
use super::pipeline::PipelineError;
use super::source::{Source, SourceEvent, broken_off};
use super::upload_sound::UploadSound;
use crate::blobs::OpenBlob;
use crate::jobs::JobId;
use crate::recognizer::{RecognizerInput, RecognizerPool};

/// Detects languages. Clones share the models.
#[derive(Debug, Clone)]
pub struct LanguageDetector {
    pub recognizers: RecognizerPool,
    pub vad: Arc<Vad>,
    pub max_media_duration: Duration,
}

impl LanguageDetector {
    /// The language of an upload, and its probability by the default model; `None` if nothing is said in it. Reads no
    /// further than it must.
    pub async fn detect(
        &self,
        upload: OpenBlob,
        tracks: Option<Tracks>,
    ) -> Result<Option<(Language, f32)>, PipelineError> {
        let windows = self.first_windows(upload, tracks).await?;
        if windows.is_empty() {
            return Ok(None);
        }
        let acquired = self.recognizers.acquire(self.recognizers.default_name()).await?;
        let recognizer = acquired.recognizer();
        if let Some(only) = recognizer.model().only_language() {
            return Ok(Some((only, 1.0)));
        }
        // It takes turns with jobs as one of them.
        let job = JobId::new();
        let inputs = windows.into_iter().map(RecognizerInput::new);
        let judged = try_join_all(inputs.map(|input| recognizer.detect(job, input))).await?;
        Ok(LanguageProbabilities::mean(&judged).best())
    }

    async fn first_windows(
        &self,
        upload: OpenBlob,
        tracks: Option<Tracks>,
    ) -> Result<Vec<Window>, PipelineError> {
        let source = Source { vad: self.vad.clone(), known: HashSet::new(), analyses: Vec::new() };
        let longest = self.max_media_duration;
        let mut events = source
            .start(move || UploadSound::open(Arc::new(upload), tracks, longest))
            .map_err(|error| PipelineError::Job(format!("No thread could be started: {error}.")))?;
        let mut windows = Vec::new();
        // The thread ends when this receiver is dropped.
        while windows.len() < LANGUAGE_WINDOWS {
            match events.recv().await {
                Some(SourceEvent::Window { window, .. }) => windows.extend(window.map(|(window, _)| window)),
                Some(SourceEvent::End { .. }) => break,
                Some(SourceEvent::Failed(error)) => return Err(error.into()),
                None => return Err(broken_off().into()),
            }
        }
        Ok(windows)
    }
}
