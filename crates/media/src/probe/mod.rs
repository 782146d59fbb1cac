//! What a file is: its headers, and where they are not to be trusted, what decoding and measuring say.

mod measure;

use std::path::Path;
use std::time::Duration;

use self::measure::measure;
use crate::decode::PcmStream;
use crate::error::MediaError;
use crate::ffmpeg::Tools;
use crate::headers::{self, MediaInfo, Tracks};
use crate::limits::{Cancellation, Limits};

/// Says what a file is, by its content alone, with the installed tools. Refuses what is not media, has no audio stream,
/// is a playlist, is longer than `max_duration`, or takes too long to probe. Blocks.
pub fn probe(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    probe_with(&Tools::installed()?, path, max_duration, &Cancellation::default())
}

/// The same with other tools, until it is cancelled.
pub fn probe_with(
    tools: &Tools,
    path: &Path,
    max_duration: Duration,
    cancellation: &Cancellation,
) -> Result<MediaInfo, MediaError> {
    // The deadline is for all of it.
    let limits = Limits::probing(tools.timeouts(), cancellation.clone());
    let headers = headers::read(tools, path, &limits)?;
    let mut info = headers.info;
    let sound = PcmStream::start(tools, path, info.tracks.clone(), max_duration, limits.clone());
    let track = first_second(sound?)?;
    // Told by a clock that was set anew, a length is the difference between two clocks.
    if info.duration.is_none() || is_longer(info.duration, max_duration) && headers.shares_clock {
        info.duration = measure(tools, path, track, limits);
    }
    if is_longer(info.duration, max_duration) {
        return Err(MediaError::too_long(max_duration));
    }
    Ok(info)
}

/// Says what a file is by its headers alone, for whoever decodes it next and so learns the rest. Blocks.
pub fn identify(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    let tools = Tools::installed()?;
    let limits = Limits::probing(tools.timeouts(), Cancellation::default());
    let headers = headers::read(&tools, path, &limits)?;
    if is_longer(headers.info.duration, max_duration) && !headers.shares_clock {
        return Err(MediaError::too_long(max_duration));
    }
    Ok(headers.info)
}

/// The seconds at which the sound of a file ends that does not tell; `None` where that cannot be found in time. Blocks.
pub fn measure_duration(path: &Path, Tracks(tracks): &Tracks) -> Option<f64> {
    let tools = Tools::installed().ok()?;
    let limits = Limits::probing(tools.timeouts(), Cancellation::default());
    measure(&tools, path, tracks.first()?.index, limits)
}

fn is_longer(duration: Option<f64>, than: Duration) -> bool {
    duration.is_some_and(|seconds| seconds > than.as_secs_f64())
}

/// Decodes the first second: a header alone does not tell of a damaged or encrypted or empty stream. Returns the index
/// of the track that was decoded.
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
