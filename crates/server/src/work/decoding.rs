//! A recording's windows on their way through the recognizer: the first ones tell the language, then all are decoded.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use verbatim_speech::{DecodeOptions, Language, LanguageProbabilities, Window, WindowTranscript};

use crate::jobs::JobId;
use crate::recognizer::{Recognizer, RecognizerError, RecognizerInput};

/// Windows that the language is detected from. More would delay the first words of a recording; a window
/// is up to 30 s.
pub(super) const LANGUAGE_WINDOWS: usize = 3;

/// Which window, and where it is in the recording, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub index: usize,
    pub start: f64,
    pub end: f64,
}

impl Place {
    fn of(window: &Window) -> Self {
        Self { index: window.index, start: window.start(), end: window.end() }
    }
}

/// A window that the recognizer has, on its way back.
type InFlight = BoxFuture<'static, (Place, Result<WindowTranscript, RecognizerError>)>;

/// See the module.
pub(super) struct Decoding {
    recognizer: Arc<dyn Recognizer>,
    job: JobId,
    options: DecodeOptions,
    /// How to decode, once the language is known.
    decided: Option<Arc<DecodeOptions>>,
    /// Windows that came before the language was known.
    undetected: Vec<Window>,
    in_flight: FuturesUnordered<InFlight>,
}

impl Decoding {
    /// `options` without a language asks for the language to be detected, unless it is `known` already, and for
    /// windows that are clearly in another to be followed.
    pub(super) fn new(
        recognizer: Arc<dyn Recognizer>,
        job: JobId,
        mut options: DecodeOptions,
        known: Option<Language>,
    ) -> Self {
        options.follow_language = options.language.is_none();
        let only = recognizer.model().only_language();
        options.language = options.language.or(known).or(only);
        let decided = options.language.is_some().then(|| Arc::new(options.clone()));
        Self { recognizer, job, options, decided, undetected: Vec::new(), in_flight: FuturesUnordered::new() }
    }

    /// Whether the language has to be detected before anything can be decoded.
    pub(super) fn is_undecided(&self) -> bool {
        self.decided.is_none()
    }

    /// Whether there are windows enough to [`Self::detect`] from.
    pub(super) fn can_detect(&self, at_end: bool) -> bool {
        self.is_undecided()
            && (self.undetected.len() == LANGUAGE_WINDOWS || (at_end && !self.undetected.is_empty()))
    }

    /// Whether the recognizer would go idle if no more windows came.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.len() < self.recognizer.capacity()
    }

    /// Takes a window in. Gives its place if it goes to the recognizer now, and `None` if it waits for [`Self::detect`].
    pub(super) fn push(&mut self, window: Window) -> Option<Place> {
        let Some(options) = self.decided.clone() else {
            self.undetected.push(window);
            return None;
        };
        let place = Place::of(&window);
        self.send(place, RecognizerInput::new(window), options);
        Some(place)
    }

    /// Detects the language from the first windows, and goes on with what the recognizer has computed of them. Gives
    /// the language and those windows.
    pub(super) async fn detect(&mut self) -> Result<(Language, Vec<Place>), RecognizerError> {
        let windows = std::mem::take(&mut self.undetected);
        let places: Vec<Place> = windows.iter().map(Place::of).collect();
        let inputs: Vec<_> = windows.into_iter().map(RecognizerInput::new).collect();
        let ask = |input: &Arc<RecognizerInput>| self.recognizer.detect(self.job, input.clone());
        let judged = try_join_all(inputs.iter().map(ask)).await?;
        let (language, probability) =
            LanguageProbabilities::mean(&judged).best().unwrap_or((Language::ENGLISH, 0.0));
        tracing::info!(job = %self.job, %language, probability, "language detected");
        let options = Arc::new(DecodeOptions { language: Some(language), ..self.options.clone() });
        self.decided = Some(options.clone());
        for (place, input) in places.iter().zip(inputs) {
            self.send(*place, input, options.clone());
        }
        Ok((language, places))
    }

    fn send(&mut self, place: Place, input: Arc<RecognizerInput>, options: Arc<DecodeOptions>) {
        let (recognizer, job) = (self.recognizer.clone(), self.job);
        let transcript = async move { (place, recognizer.transcribe(job, input, options).await) };
        self.in_flight.push(transcript.boxed());
    }

    /// The next window that is done; `None` if the recognizer has none.
    pub(super) async fn next(&mut self) -> Option<(Place, Result<WindowTranscript, RecognizerError>)> {
        self.in_flight.next().await
    }
}
