//! Finds out what a file is: from its headers, and if they are not reliable, by decoding and measuring.

mod measure;

use std::path::Path;
use std::time::Duration;

use self::measure::measure;
use crate::decode::PcmStream;
use crate::error::MediaError;
use crate::ffmpeg::Tools;
use crate::headers::{self, MediaInfo, Tracks};
use crate::limits::{Cancellation, Limits};

/// Finds out what a file is, by its content alone, with the installed tools. Blocks.
///
/// # Errors
/// If the file is no media, has no audio stream, is a playlist, is longer than `max_duration` or takes too long to
/// probe.
pub fn probe(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    probe_with(&Tools::installed()?, path, max_duration, None, &Cancellation::default())
}

/// Like [`probe`], with other tools, and until it is cancelled. Of a `track` that is asked for, only that one is looked
/// at: see [`Tracks::choose`].
pub fn probe_with(
    tools: &Tools,
    path: &Path,
    max_duration: Duration,
    track: Option<&str>,
    cancellation: &Cancellation,
) -> Result<MediaInfo, MediaError> {
    // All steps have one deadline.
    let limits = Limits::probing(tools.timeouts(), cancellation.clone());
    let headers = headers::read(tools, path, &limits)?;
    let mut info = headers.info;
    if let Some(wanted) = track {
        info.tracks = info.tracks.choose(wanted)?;
    }
    let sound = PcmStream::start(tools, path, info.tracks.clone(), max_duration, limits.clone());
    let track = first_second(sound?)?;
    // Those before it cannot be decoded.
    let decoded = info.tracks.0.iter().position(|known| known.index == track).unwrap_or(0);
    info.tracks.0.drain(..decoded);
    // If the clock was reset within the file, the duration in the headers is the difference between two clocks.
    if info.duration.is_none() || is_longer(info.duration, max_duration) && headers.shares_clock {
        info.duration = measure(tools, path, track, limits);
    }
    if is_longer(info.duration, max_duration) {
        return Err(MediaError::too_long(max_duration));
    }
    Ok(info)
}

/// Finds out what a file is from its headers alone, for callers that decode it next. Blocks.
pub fn identify(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    let tools = Tools::installed()?;
    let limits = Limits::probing(tools.timeouts(), Cancellation::default());
    let headers = headers::read(&tools, path, &limits)?;
    if is_longer(headers.info.duration, max_duration) && !headers.shares_clock {
        return Err(MediaError::too_long(max_duration));
    }
    Ok(headers.info)
}

/// Measures the duration of a file whose headers lack it, in seconds. `None` if that is not possible in time. Blocks.
pub fn measure_duration(path: &Path, Tracks(tracks): &Tracks) -> Option<f64> {
    let tools = Tools::installed().ok()?;
    let limits = Limits::probing(tools.timeouts(), Cancellation::default());
    measure(&tools, path, tracks.first()?.index, limits)
}

fn is_longer(duration: Option<f64>, than: Duration) -> bool {
    duration.is_some_and(|seconds| seconds > than.as_secs_f64())
}

/// Decodes the first second: headers do not show that a stream is damaged, encrypted or empty. Returns the index of
/// the track that was decoded.
fn first_second(mut sound: PcmStream) -> Result<u32, MediaError> {
    match sound.next() {
        Some(Ok(_)) => Ok(sound.track()),
        Some(Err(error)) => Err(match error.downcast::<MediaError>() {
            Ok(refused) => refused,
            Err(error) => MediaError::Tool(format!("The file's sound could not be read: {error}.")),
        }),
        None => Err(MediaError::unreadable("its sound is empty")),
    }
}
