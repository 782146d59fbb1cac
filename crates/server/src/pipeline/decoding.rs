//! A recording's windows on their way through the engine: the first ones tell the language, then all are decoded.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use verbatim_speech::{DecodeOptions, Language, LanguageProbabilities, Window, WindowTranscript};

use crate::inference::{Inference, InferenceError, Speech};
use crate::job::JobId;

/// Windows that the language is detected from. More would delay the first words of a recording; a window
/// is up to 30 s.
pub(crate) const LANGUAGE_WINDOWS: usize = 3;

/// Which window, and where it is in the recording, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl Place {
    fn of(window: &Window) -> Self {
        Self { index: window.index, start: window.start(), end: window.end() }
    }
}

/// A window that the engine has, on its way back.
type InFlight = BoxFuture<'static, (Place, Result<WindowTranscript, InferenceError>)>;

/// See the module.
pub(crate) struct Decoding {
    inference: Inference,
    job: JobId,
    options: DecodeOptions,
    /// How to decode, once the language is known.
    decided: Option<Arc<DecodeOptions>>,
    /// Windows that came before the language was known.
    unjudged: Vec<Window>,
    in_flight: FuturesUnordered<InFlight>,
}

impl Decoding {
    /// `options` without a language asks for the language to be detected, unless it is `known` already, and for
    /// windows that are clearly in another to be followed.
    pub(crate) fn new(
        inference: Inference,
        job: JobId,
        mut options: DecodeOptions,
        known: Option<Language>,
    ) -> Self {
        options.follow_language = options.language.is_none();
        let only = (!inference.is_multilingual()).then_some(Language::ENGLISH);
        options.language = options.language.or(known).or(only);
        let decided = options.language.is_some().then(|| Arc::new(options.clone()));
        Self { inference, job, options, decided, unjudged: Vec::new(), in_flight: FuturesUnordered::new() }
    }

    /// Whether the language has to be detected before anything can be decoded.
    pub(crate) fn is_undecided(&self) -> bool {
        self.decided.is_none()
    }

    /// Whether there are windows enough to [`Self::detect`] from.
    pub(crate) fn can_detect(&self, at_end: bool) -> bool {
        self.is_undecided()
            && (self.unjudged.len() == LANGUAGE_WINDOWS || (at_end && !self.unjudged.is_empty()))
    }

    /// Whether the engine would go idle if no more windows came.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < self.inference.batch_size()
    }

    /// Takes a window in. Gives its place if it goes to the engine now, and `None` if it waits for [`Self::detect`].
    pub(crate) fn push(&mut self, window: Window) -> Option<Place> {
        let Some(options) = self.decided.clone() else {
            self.unjudged.push(window);
            return None;
        };
        let place = Place::of(&window);
        self.send(place, Speech::Window(window), options);
        Some(place)
    }

    /// Detects the language from the first windows, and goes on with what the encoder made of them. Gives the
    /// language and those windows.
    pub(crate) async fn detect(&mut self) -> Result<(Language, Vec<Place>), InferenceError> {
        let windows = std::mem::take(&mut self.unjudged);
        let places: Vec<Place> = windows.iter().map(Place::of).collect();
        let ask = |window| self.inference.detect(self.job, window);
        let judged = try_join_all(windows.into_iter().map(ask)).await?;
        let mean = LanguageProbabilities::mean(judged.iter().map(|(_, probabilities)| probabilities));
        let (language, probability) = mean.best().unwrap_or((Language::ENGLISH, 0.0));
        tracing::info!(job = %self.job, %language, probability, "language detected");
        let options = Arc::new(DecodeOptions { language: Some(language), ..self.options.clone() });
        self.decided = Some(options.clone());
        for (place, (encoded, _)) in places.iter().zip(judged) {
            self.send(*place, Speech::Encoded(encoded), options.clone());
        }
        Ok((language, places))
    }

    fn send(&mut self, place: Place, speech: Speech, options: Arc<DecodeOptions>) {
        let (inference, job) = (self.inference.clone(), self.job);
        let transcript = async move { (place, inference.transcribe(job, speech, options).await) };
        self.in_flight.push(transcript.boxed());
    }

    /// The next window that is done; `None` if the engine has none.
    pub(crate) async fn next(&mut self) -> Option<(Place, Result<WindowTranscript, InferenceError>)> {
        self.in_flight.next().await
    }
}
