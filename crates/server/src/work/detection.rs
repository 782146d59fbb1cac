//! Detects the language of a recording without transcribing it: from its first windows, as a job does.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;
use verbatim_media::Tracks;
use verbatim_speech::{Language, LanguageProbabilities, Window};
use verbatim_vad::Vad;

use super::decoding::LANGUAGE_WINDOWS;
use super::error::PipelineError;
use super::source::{Source, SourceEvent, broken_off};
use super::upload_sound::{SharedUpload, UploadSound};
use crate::blobs::OpenBlob;
use crate::jobs::JobId;
use crate::recognizer::{Recognizer, RecognizerInput, RecognizerPool};

/// Detects languages by the default model, or by another one that is in memory already. Clones share the models.
#[derive(Debug, Clone)]
pub struct LanguageDetector {
    pub recognizers: RecognizerPool,
    pub vad: Arc<Vad>,
    pub max_media_duration: Duration,
    /// How many recordings are looked at beside each other.
    pub slots: Arc<Semaphore>,
}

impl LanguageDetector {
    /// The language of an upload, and its probability; `None` if nothing is said in it. Reads no further than it must.
    pub async fn detect(
        &self,
        upload: OpenBlob,
        tracks: Option<Tracks>,
    ) -> Result<Option<(Language, f32)>, PipelineError> {
        let _slot = self.slots.acquire().await.map_err(|_| PipelineError::Stopped)?;
        let acquired = match self.recognizers.take_any(|model| model.only_language().is_none()) {
            Some(in_memory) => in_memory,
            None => self.recognizers.acquire(self.recognizers.default_name()).await?,
        };
        let sound = (Arc::new(upload), tracks, self.max_media_duration);
        detect(acquired.recognizer().as_ref(), JobId::new(), self.vad.clone(), sound).await
    }
}

/// The language of an upload's tracks, at most so long; `None` if nothing is said. It takes turns with others as `job`.
pub(super) async fn detect(
    recognizer: &dyn Recognizer,
    job: JobId,
    vad: Arc<Vad>,
    sound: (SharedUpload, Option<Tracks>, Duration),
) -> Result<Option<(Language, f32)>, PipelineError> {
    let windows = first_windows(vad, sound).await?;
    if windows.is_empty() {
        return Ok(None);
    }
    if let Some(only) = recognizer.model().only_language() {
        return Ok(Some((only, 1.0)));
    }
    let inputs = windows.into_iter().map(RecognizerInput::new);
    let judged = try_join_all(inputs.map(|input| recognizer.detect(job, input))).await?;
    Ok(LanguageProbabilities::mean(&judged).best())
}

async fn first_windows(
    vad: Arc<Vad>,
    (upload, tracks, longest): (SharedUpload, Option<Tracks>, Duration),
) -> Result<Vec<Window>, PipelineError> {
    let source = Source { vad, known: HashSet::new(), analyses: Vec::new() };
    let mut events = source
        .start(move || UploadSound::open(upload, tracks, longest))
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
