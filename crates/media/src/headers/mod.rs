//! What a file is and which audio tracks it has, from its headers.

pub(crate) mod channels;
mod ffprobe;
mod formats;
mod info;
mod tracks;

use std::path::Path;

use self::ffprobe::{Answer, Stream};
pub use self::info::{FileType, MediaInfo};
pub use self::tracks::Tracks;
pub(crate) use self::tracks::{Times, Track};
use self::tracks::{origin, tracks};
use crate::error::MediaError;
use crate::ffmpeg::Tools;
use crate::limits::Limits;

/// The information in the headers of a file.
#[derive(Debug)]
pub(crate) struct Headers {
    pub(crate) info: MediaInfo,
    /// Whether its times may come from several clocks, so that its duration may be the difference between two clocks.
    pub(crate) shares_clock: bool,
}

/// Reads a file's headers with ffprobe.
///
/// # Errors
/// If the file is no media, or has no audio track that can be decoded.
pub(crate) fn read(tools: &Tools, path: &Path, limits: &Limits) -> Result<Headers, MediaError> {
    let answer = ffprobe::run(tools, path, limits)?;
    Ok(Headers { info: describe(&answer)?, shares_clock: formats::shares_clock(&answer.format) })
}

/// What the file is, and its audio tracks, at least one.
fn describe(answer: &Answer) -> Result<MediaInfo, MediaError> {
    let is_video = answer.streams.iter().any(Stream::is_moving_picture);
    let tracks = tracks(answer);
    let audio = |track: &Track| answer.streams.iter().find(|stream| stream.index == track.index);
    let Some(audio) = tracks.first().and_then(audio) else {
        return Err(match answer.streams.iter().any(|stream| stream.is_audio()) {
            true => MediaError::unreadable("its sound is damaged or in a form that is not known"),
            false if is_video => MediaError::Unsupported("The file is a video without sound.".to_owned()),
            false => MediaError::Unsupported("The file has no sound.".to_owned()),
        });
    };
    let file_type = if is_video { FileType::Video } else { FileType::Audio };
    Ok(MediaInfo { file_type, duration: header_duration(answer, audio), tracks: Tracks(tracks) })
}

/// The end of the sound in seconds, by the headers. An audio stream's duration counts from its own start, so the
/// delay after the earliest stream is added.
fn header_duration(answer: &Answer, audio: &Stream) -> Option<f64> {
    if formats::is_raw_stream(&answer.format) {
        return None;
    }
    let start = origin(answer, audio);
    let delay = (audio.start().unwrap_or(start) - start).max(0.0);
    let of_audio = audio.duration().map(|seconds| seconds + delay);
    let of_format = || answer.format.duration();
    of_audio.or_else(of_format).filter(|seconds| *seconds > 0.0)
}
