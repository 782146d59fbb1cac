//! The parts of a recording that are transcribed one after the other: the whole, or each channel on its own. Windows are
//! numbered through, and those of a channel carry it as an analysis.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use verbatim_media::{CancelOnDrop, Cancellation, MediaError, Tracks, distinct_channels};

use super::source::{AHEAD, Source, SourceEvent, broken_off};
use super::upload_sound::{SharedUpload, UploadSound};
use crate::store::CHANNEL;

/// A part of a recording.
#[derive(Debug)]
pub(super) struct Part {
    /// `None` if they are to be found out.
    pub(super) tracks: Option<Tracks>,
    /// The channel that it is, from 0; `None` for all channels as one.
    pub(super) channel: Option<usize>,
}

/// What comes before a part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) windows: usize,
    /// Seconds of sound.
    pub(super) seconds: f64,
}

/// The channels of a recording as parts, but for those that are the same as an earlier one. The whole, if that leaves one.
/// Reads on as long as channels are the same.
pub(super) async fn channels(
    upload: &SharedUpload,
    tracks: &Tracks,
    longest: Duration,
) -> Result<Vec<Part>, MediaError> {
    let cancellation = Cancellation::default();
    let _guard = CancelOnDrop(cancellation.clone());
    let find = {
        let (upload, tracks) = (upload.clone(), tracks.clone());
        move || distinct_channels(&upload.path(), &tracks, longest, &cancellation)
    };
    let distinct = tokio::task::spawn_blocking(find).await.unwrap_or_else(|_| Err(broken_off()))?;
    if distinct.len() < 2 {
        return Ok(vec![Part { tracks: Some(tracks.clone()), channel: None }]);
    }
    let part = |channel| Part { tracks: tracks.channel(channel), channel: Some(channel) };
    Ok(distinct.into_iter().map(part).collect())
}

impl Part {
    /// As [`Source::start`]. Numbers of windows and seconds count what was `before`.
    pub(super) fn start(
        &self,
        source: Source,
        upload: SharedUpload,
        longest: Duration,
        before: Before,
    ) -> Result<mpsc::Receiver<SourceEvent>, MediaError> {
        let known: HashSet<usize> =
            source.known.iter().filter_map(|index| index.checked_sub(before.windows)).collect();
        let tracks = self.tracks.clone();
        let started = Source { known, ..source }.start(move || UploadSound::open(upload, tracks, longest));
        let started =
            started.map_err(|error| MediaError::Tool(format!("No thread could be started: {error}.")))?;
        Ok(match self.channel {
            Some(channel) => behind(started, before, channel),
            None => started,
        })
    }
}

/// The events of a channel that comes behind others.
fn behind(
    mut of_channel: mpsc::Receiver<SourceEvent>,
    before: Before,
    channel: usize,
) -> mpsc::Receiver<SourceEvent> {
    let (events, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        loop {
            // Nobody receives any more: the thread that reads is to end at once, too.
            let event = tokio::select! {
                () = events.closed() => break,
                event = of_channel.recv() => event,
            };
            let Some(event) = event else { break };
            let moved = match event {
                SourceEvent::Window { index, end, window, read } => SourceEvent::Window {
                    index: before.windows + index,
                    end: before.seconds + end,
                    window: window.map(|(mut window, mut found)| {
                        window.index += before.windows;
                        found.insert(CHANNEL.to_owned(), Value::from(channel));
                        (window, found)
                    }),
                    read: before.seconds + read,
                },
                SourceEvent::End { read, damage } => SourceEvent::End { read: before.seconds + read, damage },
                SourceEvent::Failed(error) => SourceEvent::Failed(error),
            };
            if events.send(moved).await.is_err() {
                break;
            }
        }
    });
    receiver
}
