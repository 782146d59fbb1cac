//! What a file is, as ffprobe sees it.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::confine::{Confined, INPUT, Tool, input_options, lost, reason};
use super::limits::Limits;
use super::measure::measure;
use super::tools::Tools;
use super::track::{BARE, Disposition, Program, Track, Tracks, origin, shares_clock, tracks};
use super::{MediaError, PcmStream};
use crate::job::FileType;

/// Seconds of processor time for ffprobe.
const CPU_SECONDS: u64 = 30;

/// ffprobe's whole answer, with a thousand streams, stays under this.
const ANSWER_BYTES: u64 = 4 << 20;

const QUESTIONS: &str = "format=format_name,duration,start_time:\
    stream=index,codec_type,codec_name,sample_rate,channels,channel_layout,start_time,duration,nb_frames,\
    avg_frame_rate:\
    stream_disposition=default,comment,hearing_impaired,visual_impaired,attached_pic:\
    program=program_id:program_stream=index";

/// How far either tool reads until it knows all streams: ten minutes (in microseconds) or 64 MB. Ffmpeg's own five
/// seconds miss sound that starts later than its picture.
pub(super) const ANALYSIS: [&str; 4] = ["-analyzeduration", "600000000", "-probesize", "64000000"];

/// Codecs of pictures. A stream of one frame of them is a cover, whatever the container calls it.
const PICTURE_CODECS: [&str; 7] = ["bmp", "gif", "jpegxl", "mjpeg", "png", "tiff", "webp"];

#[derive(Debug, Clone, PartialEq)]
pub struct MediaInfo {
    pub file_type: FileType,
    /// In seconds, as the container tells it, or as measured where it does not. `None` where measuring
    /// would take too long.
    pub duration: Option<f64>,
    pub tracks: Tracks,
}

/// [`Prober::probe`](super::Prober::probe) for callers that may block, with the installed tools.
pub fn probe_blocking(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    let tools = Tools::installed()?;
    let limits = Limits::probing(tools.timeouts, CancellationToken::new());
    look(&tools, path, max_duration, &limits)
}

/// Says what a file is by its headers alone, for whoever decodes it next and so learns the rest. Blocks.
pub fn identify(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    let tools = Tools::installed()?;
    let answer = ask(&tools, path, &Limits::probing(tools.timeouts, CancellationToken::new()))?;
    let info = judge(&answer)?;
    if is_longer(info.duration, max_duration) && !shares_clock(&answer.format) {
        return Err(too_long(max_duration));
    }
    Ok(info)
}

/// The seconds at which the sound of a file ends that does not tell; `None` where that cannot be found in time. Blocks.
pub fn measure_duration(path: &Path, Tracks(tracks): &Tracks) -> Option<f64> {
    let tools = Tools::installed().ok()?;
    let limits = Limits::probing(tools.timeouts, CancellationToken::new());
    measure(&tools, path, tracks.first()?.index, limits)
}

/// Says what a file is. The deadline is for all of it.
pub(super) fn look(
    tools: &Tools,
    path: &Path,
    max_duration: Duration,
    limits: &Limits,
) -> Result<MediaInfo, MediaError> {
    let answer = ask(tools, path, limits)?;
    let mut info = judge(&answer)?;
    let sound = PcmStream::of_tracks(tools, path, info.tracks.clone(), max_duration, limits.clone());
    let track = first_second(sound?)?;
    // Told by a clock that was set anew, a length is the difference between two clocks.
    if info.duration.is_none() || is_longer(info.duration, max_duration) && shares_clock(&answer.format) {
        info.duration = measure(tools, path, track, limits.clone());
    }
    if is_longer(info.duration, max_duration) {
        return Err(too_long(max_duration));
    }
    Ok(info)
}

/// The tracks of sound that a file has, the best first.
pub(super) fn find_tracks(tools: &Tools, path: &Path, limits: &Limits) -> Result<Tracks, MediaError> {
    Ok(judge(&ask(tools, path, limits)?)?.tracks)
}

fn is_longer(duration: Option<f64>, than: Duration) -> bool {
    duration.is_some_and(|seconds| seconds > than.as_secs_f64())
}

/// The sentence for what lasts too long, here and while decoding.
pub(super) fn too_long(max_duration: Duration) -> MediaError {
    let hours = max_duration.as_secs_f64() / 3600.0;
    let limit = match max_duration.as_secs() {
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", (hours * 10.0).floor() / 10.0),
    };
    MediaError::Unsupported(format!("The file lasts longer than the {limit} that are allowed."))
}

/// Runs ffprobe.
fn ask(tools: &Tools, path: &Path, limits: &Limits) -> Result<Answer, MediaError> {
    let mut args = input_options().to_vec();
    args.extend(ANALYSIS);
    args.extend(["-of", "json", "-show_entries", QUESTIONS, "-i", INPUT]);
    let ffprobe = Confined::spawn(tools, Tool::Ffprobe, &args, path, CPU_SECONDS, limits.clone())?;
    let output = ffprobe.output(ANSWER_BYTES).map_err(|error| lost(Tool::Ffprobe, &error))?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .map_err(|error| MediaError::Tool(format!("ffprobe's answer could not be read: {error}.")));
    }
    let reason = match output.status.code() {
        Some(_) => reason(&output.complaints),
        None => Some("it takes too much time or memory to look into".to_owned()),
    };
    Err(MediaError::unreadable(
        reason.as_deref().unwrap_or("nothing in it looks like a format that is known"),
    ))
}

/// Decodes the first second: a header alone does not tell of a damaged or encrypted or empty stream. Returns the index
/// of the track that was heard.
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

#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
    #[serde(default)]
    pub(super) programs: Vec<Program>,
    #[serde(default)]
    pub(super) format: Format,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Format {
    format_name: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stream {
    pub(super) index: u32,
    codec_type: Option<String>,
    codec_name: Option<String>,
    sample_rate: Option<String>,
    pub(super) channels: Option<u32>,
    pub(super) channel_layout: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    nb_frames: Option<String>,
    avg_frame_rate: Option<String>,
    #[serde(default)]
    pub(super) disposition: Disposition,
}

impl Format {
    /// ffprobe names a format by all the kinds that one of its demuxers reads.
    pub(super) fn is_one_of(&self, names: &[&str]) -> bool {
        self.format_name.as_deref().is_some_and(|name| names.contains(&name))
    }

    /// In seconds.
    pub(super) fn start(&self) -> Option<f64> {
        number(self.start_time.as_deref())
    }
}

impl Stream {
    fn is(&self, kind: &str) -> bool {
        self.codec_type.as_deref() == Some(kind)
    }

    fn codec(&self) -> &str {
        self.codec_name.as_deref().unwrap_or("unknown")
    }

    /// Sound that can be decoded: a decoder needs to know how fast and how many.
    pub(super) fn sounds(&self) -> bool {
        let rate: u32 = self.sample_rate.as_deref().and_then(|rate| rate.parse().ok()).unwrap_or(0);
        self.is("audio")
            && self.codec() != "unknown"
            && rate > 0
            && self.channels.is_some_and(|channels| channels > 0)
    }

    /// A moving picture rather than a cover.
    fn moves(&self) -> bool {
        let one_frame = self.nb_frames.as_deref() == Some("1")
            || self.avg_frame_rate.as_deref().is_none_or(|rate| rate.starts_with("0/"));
        self.is("video")
            && self.disposition.attached_pic == 0
            && !(one_frame && PICTURE_CODECS.contains(&self.codec()))
    }

    /// Sound or a moving picture: what a player's time begins with.
    pub(super) fn plays(&self) -> bool {
        self.is("audio") || self.moves()
    }

    /// In seconds.
    pub(super) fn start(&self) -> Option<f64> {
        number(self.start_time.as_deref())
    }
}

/// What the file is, and its tracks of sound, at least one.
fn judge(answer: &Answer) -> Result<MediaInfo, MediaError> {
    let moves = answer.streams.iter().any(Stream::moves);
    let tracks = tracks(answer);
    let audio = |track: &Track| answer.streams.iter().find(|stream| stream.index == track.index);
    let Some(audio) = tracks.first().and_then(audio) else {
        return Err(match answer.streams.iter().any(|stream| stream.is("audio")) {
            true => MediaError::unreadable("its sound is damaged or in a form that is not known"),
            false if moves => MediaError::Unsupported("The file is a video without sound.".to_owned()),
            false => MediaError::Unsupported("The file has no sound.".to_owned()),
        });
    };
    let file_type = if moves { FileType::Video } else { FileType::Audio };
    Ok(MediaInfo { file_type, duration: told_duration(answer, audio), tracks: Tracks(tracks) })
}

/// When the sound ends, as the container tells it; its own times count from its earliest stream's start.
fn told_duration(answer: &Answer, audio: &Stream) -> Option<f64> {
    if answer.format.is_one_of(&BARE) {
        return None;
    }
    let start = origin(answer, audio);
    let delay = (audio.start().unwrap_or(start) - start).max(0.0);
    let of_audio = number(audio.duration.as_deref()).map(|seconds| seconds + delay);
    let of_format = || number(answer.format.duration.as_deref());
    of_audio.or_else(of_format).filter(|seconds| *seconds > 0.0)
}

fn number(text: Option<&str>) -> Option<f64> {
    text?.parse().ok().filter(|number: &f64| number.is_finite())
}
