//! A recording as windows of speech, cut on a thread of its own.
//!
//! Where the sound comes from does not matter: [`PcmStream`] decodes a file, and anything else that gives samples in
//! order, such as a live stream, is a [`Sound`] as well.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::mpsc;
use verbatim_speech::Window;
use verbatim_vad::{Vad, Windows};

use verbatim_media::{MediaError, PcmStream};

use super::analysis::{Analysis, analyze};
use crate::store::Analyses;

/// Windows that wait between the thread and the recognizer, some 2 MB each.
pub(super) const AHEAD: usize = 2;

/// 16 kHz mono samples in -1 … 1, in chunks of any size. A [`MediaError`] may be packed into an [`io::Error`].
pub trait Sound: Iterator<Item = io::Result<Vec<f32>>> {
    /// Says, in a sentence, why the sound ended before its time; to be asked at its end.
    fn damage(&self) -> Option<&str> {
        None
    }
}

impl Sound for PcmStream {
    fn damage(&self) -> Option<&str> {
        PcmStream::damage(self)
    }
}

#[derive(Debug)]
pub enum SourceEvent {
    /// Another window, and how many seconds of the recording were read by then. The window is `None`
    /// where it was not wanted.
    Window { index: usize, end: f64, window: Option<(Window, Analyses)>, read: f64 },
    /// That was all. `damage` says, in a sentence, why the sound ended before the file did.
    End { read: f64, damage: Option<String> },
    /// The sound cannot be used.
    Failed(MediaError),
}

/// Cuts sound into windows.
#[derive(Debug)]
pub struct Source {
    pub vad: Arc<Vad>,
    /// Windows to leave out, by index: they are known already.
    pub known: HashSet<usize>,
    /// What is found out about each window besides its words.
    pub analyses: Vec<Arc<dyn Analysis>>,
}

impl Source {
    /// Starts reading what `open` gives; it is called on the source's own thread. The last event is
    /// [`SourceEvent::End`] or [`SourceEvent::Failed`]; dropping the receiver ends the thread. It is a plain thread, for
    /// the runtime's shutdown must not wait until a file is read.
    pub fn start<S: Sound>(
        self,
        open: impl FnOnce() -> Result<S, MediaError> + Send + 'static,
    ) -> io::Result<mpsc::Receiver<SourceEvent>> {
        let (events, receiver) = mpsc::channel(AHEAD);
        std::thread::Builder::new().name("media".to_owned()).spawn(move || {
            // A panic must not look like the end of the recording.
            let read = catch_unwind(AssertUnwindSafe(|| self.read(open()?, &events)));
            let last = read.unwrap_or_else(|_| Err(broken_off())).unwrap_or_else(SourceEvent::Failed);
            // Fails where nobody receives any more, and then nobody misses it.
            let _ = events.blocking_send(last);
        })?;
        Ok(receiver)
    }

    fn read(
        &self,
        mut sound: impl Sound,
        events: &mpsc::Sender<SourceEvent>,
    ) -> Result<SourceEvent, MediaError> {
        // Not read on, through hours of silence perhaps, once nobody receives.
        let wanted = sound.by_ref().take_while(|_| !events.is_closed());
        let mut windows = Windows::new(&self.vad, wanted);
        while let Some(window) = windows.next() {
            let window = window.map_err(media_error)?;
            let (index, end) = (window.index, window.end());
            let window = if self.known.contains(&index) {
                None
            } else {
                let found = analyze(&window, self.analyses.iter().map(AsRef::as_ref));
                Some((window, found))
            };
            let event = SourceEvent::Window { index, end, window, read: windows.seconds_read() };
            if events.blocking_send(event).is_err() {
                break;
            }
        }
        let read = windows.seconds_read();
        Ok(SourceEvent::End { read, damage: sound.damage().map(str::to_owned) })
    }
}

/// The sound ended without saying so.
pub(super) fn broken_off() -> MediaError {
    MediaError::Tool("Reading the sound broke off (an internal error).".to_owned())
}

/// [`PcmStream`] packs its errors into [`io::Error`]; any other comes from voice activity detection.
fn media_error(error: io::Error) -> MediaError {
    error.downcast().unwrap_or_else(|error| MediaError::Tool(format!("Finding the speech failed: {error}.")))
}
