//! Each channel of a recording on its own: the windows of one, then those of the next. Windows are numbered through, and
//! carry their channel as an analysis.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use verbatim_media::{MediaError, Tracks, distinct_channels};

use super::source::{AHEAD, Source, SourceEvent, broken_off};
use super::upload_sound::{SharedUpload, UploadSound};
use crate::store::CHANNEL;

/// The channels of an upload, one after the other.
#[derive(Debug)]
pub(super) struct SeparateChannels {
    pub(super) upload: SharedUpload,
    pub(super) tracks: Tracks,
    pub(super) longest: Duration,
}

impl SeparateChannels {
    /// The channels to transcribe: all but those that are the same as an earlier one.
    pub(super) async fn distinct(&self) -> Result<Vec<usize>, MediaError> {
        let (upload, tracks, longest) = (self.upload.clone(), self.tracks.clone(), self.longest);
        let found = move || distinct_channels(&upload.path(), &tracks, longest);
        tokio::task::spawn_blocking(found).await.unwrap_or_else(|_| Err(broken_off()))
    }

    /// As [`Source::start`], of the windows of all `channels`. Seconds count those of the channels before.
    pub(super) fn start(self, source: Source, channels: Vec<usize>) -> mpsc::Receiver<SourceEvent> {
        let (events, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let last = self.read(&source, channels, &events).await.unwrap_or_else(SourceEvent::Failed);
            // Fails where nobody receives any more, and then nobody misses it.
            let _ = events.send(last).await;
        });
        receiver
    }

    async fn read(
        &self,
        source: &Source,
        channels: Vec<usize>,
        events: &mpsc::Sender<SourceEvent>,
    ) -> Result<SourceEvent, MediaError> {
        let (mut first, mut before, mut damaged) = (0, 0.0, None);
        for channel in channels {
            let mut of_channel = self.start_channel(source, channel, first)?;
            let (mut next, mut seconds) = (first, before);
            loop {
                match of_channel.recv().await {
                    Some(SourceEvent::Window { index, end, window, read }) => {
                        next = first + index + 1;
                        let window = window.map(|(mut window, mut found)| {
                            window.index += first;
                            found.insert(CHANNEL.to_owned(), Value::from(channel));
                            (window, found)
                        });
                        let (end, read) = (before + end, before + read);
                        let event = SourceEvent::Window { index: first + index, end, window, read };
                        if events.send(event).await.is_err() {
                            return Err(broken_off());
                        }
                    }
                    Some(SourceEvent::End { read, damage }) => {
                        seconds += read;
                        damaged = damaged.or(damage);
                        break;
                    }
                    Some(SourceEvent::Failed(error)) => return Err(error),
                    None => return Err(broken_off()),
                }
            }
            (first, before) = (next, seconds);
        }
        Ok(SourceEvent::End { read: before, damage: damaged })
    }

    /// The windows of one channel, numbered from 0. The first is the window `first` of all.
    fn start_channel(
        &self,
        source: &Source,
        channel: usize,
        first: usize,
    ) -> Result<mpsc::Receiver<SourceEvent>, MediaError> {
        let known: HashSet<usize> =
            source.known.iter().filter_map(|index| index.checked_sub(first)).collect();
        let source = Source { vad: source.vad.clone(), known, analyses: source.analyses.clone() };
        let (upload, tracks, longest) = (self.upload.clone(), self.tracks.channel(channel), self.longest);
        let started = source.start(move || UploadSound::open(upload, tracks, longest));
        started.map_err(|error: io::Error| MediaError::Tool(format!("No thread could be started: {error}.")))
    }
}
