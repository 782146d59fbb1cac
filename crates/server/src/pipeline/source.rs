//! A job's upload as windows of speech, decoded and cut on a thread of its own.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use verbatim_media::{MediaError, PcmStream, Tracks};
use verbatim_whisper::{Vad, Window, Windows};

/// Windows that wait between the thread and the engine, some 2 MB each.
const AHEAD: usize = 2;

#[derive(Debug)]
pub(crate) enum Event {
    /// Another window, and how many seconds of the recording were read by then. The window is `None`
    /// where it was not wanted.
    Window { index: usize, end: f64, window: Option<Window>, read: f64 },
    /// That was all. `damage` says, in a sentence, why the sound ended before the file did.
    End { read: f64, damage: Option<String> },
    /// The sound cannot be used.
    Failed(MediaError),
}

/// What the thread reads, and how.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its tracks of sound, where they are known.
    pub(crate) tracks: Option<Tracks>,
    pub(crate) max_duration: Duration,
    pub(crate) vad: Arc<Vad>,
    /// Windows to leave out, by index: they are known already.
    pub(crate) known: HashSet<usize>,
}

impl Source {
    /// Starts reading. The last event is [`Event::End`] or [`Event::Failed`]; dropping the receiver ends
    /// the thread. It is a plain thread, for the runtime's shutdown must not wait until a file is read.
    pub(crate) fn start(self) -> io::Result<mpsc::Receiver<Event>> {
        let (events, receiver) = mpsc::channel(AHEAD);
        std::thread::Builder::new().name("media".to_owned()).spawn(move || {
            // A panic must not look like the end of the recording.
            let read = catch_unwind(AssertUnwindSafe(|| self.read(&events)));
            let broken_off =
                || MediaError::Tool("Reading the sound broke off (an internal error).".to_owned());
            let last = read.unwrap_or_else(|_| Err(broken_off())).unwrap_or_else(Event::Failed);
            // Fails where nobody listens any more, and then nobody misses it.
            let _ = events.blocking_send(last);
        })?;
        Ok(receiver)
    }

    fn read(&self, events: &mpsc::Sender<Event>) -> Result<Event, MediaError> {
        let mut pcm = match self.tracks.clone() {
            Some(tracks) => PcmStream::open_tracks(&self.path, tracks, self.max_duration)?,
            None => PcmStream::open(&self.path, self.max_duration)?,
        };
        // Not read on, through hours of silence perhaps, once nobody listens.
        let listened_to = pcm.by_ref().take_while(|_| !events.is_closed());
        let mut windows = Windows::new(&self.vad, listened_to);
        while let Some(window) = windows.next() {
            let window = window.map_err(media_error)?;
            let (index, end) = (window.index, window.end());
            let window = (!self.known.contains(&index)).then_some(window);
            let event = Event::Window { index, end, window, read: windows.seconds_read() };
            if events.blocking_send(event).is_err() {
                break;
            }
        }
        Ok(Event::End { read: pcm.seconds_read(), damage: pcm.damage().map(str::to_owned) })
    }
}

/// [`PcmStream`] packs its errors into [`io::Error`]; any other comes from voice activity detection.
fn media_error(error: io::Error) -> MediaError {
    error.downcast().unwrap_or_else(|error| MediaError::Tool(format!("Finding the speech failed: {error}.")))
}
