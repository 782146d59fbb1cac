//! What a file is, as ffprobe sees it.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::confine::{Confined, INPUT, Tool, input_options, lost, reason};
use super::measure::measure;
use super::tools::Tools;
use super::{MediaError, PcmStream};
use crate::job::FileType;

/// Seconds of processor time for ffprobe.
const CPU_SECONDS: u64 = 30;

/// ffprobe's whole answer, with a thousand streams, stays under this.
const ANSWER_BYTES: u64 = 4 << 20;

const QUESTIONS: &str = "format=format_name,duration,start_time:\
    stream=codec_type,codec_name,sample_rate,channels,start_time,duration,nb_frames,avg_frame_rate:\
    stream_disposition=attached_pic";

/// Codecs of pictures. A stream of one frame of them is a cover, whatever the container calls it.
const PICTURE_CODECS: [&str; 7] = ["bmp", "gif", "jpegxl", "mjpeg", "png", "tiff", "webp"];

/// Bare streams, which do not tell how long they are: ffprobe guesses from their size and the bits a
/// second of their beginning, and where that is silent is wrong by a factor of up to thirty.
const GUESSED: [&str; 11] =
    ["aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "gsm", "loas", "mp3", "truehd"];

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MediaInfo {
    pub file_type: FileType,
    /// In seconds, as the container tells it, or as measured where it does not. `None` where measuring
    /// would take too long.
    pub duration: Option<f64>,
}

/// [`Prober::probe`](super::Prober::probe) for callers that may block, with the installed tools.
pub fn probe_blocking(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    let tools = Tools::installed()?;
    let clock = Clock::probing(tools.timeouts, CancellationToken::new());
    look(&tools, path, max_duration, &clock)
}

/// Says what a file is. The clock's deadline is for all of it.
pub(super) fn look(
    tools: &Tools,
    path: &Path,
    max_duration: Duration,
    clock: &Clock,
) -> Result<MediaInfo, MediaError> {
    let answer = ask(tools, path, clock)?;
    let answer: Answer = serde_json::from_slice(&answer)
        .map_err(|error| MediaError::Tool(format!("ffprobe's answer could not be read: {error}.")))?;
    let mut info = judge(&answer)?;
    hear(PcmStream::start(tools, path, max_duration, clock.clone())?)?;
    if info.duration.is_none() {
        info.duration = measure(tools, path, clock.clone());
    }
    if info.duration.is_some_and(|seconds| seconds > max_duration.as_secs_f64()) {
        return Err(too_long(max_duration));
    }
    Ok(info)
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

/// Runs ffprobe for its JSON.
fn ask(tools: &Tools, path: &Path, clock: &Clock) -> Result<Vec<u8>, MediaError> {
    let mut args = input_options().to_vec();
    args.extend(["-of", "json", "-show_entries", QUESTIONS, "-i", INPUT]);
    let ffprobe = Confined::spawn(tools, Tool::Ffprobe, &args, path, CPU_SECONDS, clock.clone())?;
    let output = ffprobe.output(ANSWER_BYTES).map_err(|error| lost(Tool::Ffprobe, &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let reason = match output.status.code() {
        Some(_) => reason(&output.complaints),
        None => Some("it takes too much time or memory to look into".to_owned()),
    };
    Err(MediaError::unreadable(
        reason.as_deref().unwrap_or("nothing in it looks like a format that is known"),
    ))
}

/// Decodes the first second: a header alone does not tell of a damaged or encrypted or empty stream.
fn hear(mut sound: PcmStream) -> Result<(), MediaError> {
    match sound.next() {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(match error.downcast::<MediaError>() {
            Ok(refused) => refused,
            Err(error) => MediaError::Tool(format!("The file's sound could not be read: {error}.")),
        }),
        None => Err(MediaError::unreadable("its sound is empty")),
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Default, Deserialize)]
struct Format {
    format_name: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    codec_type: Option<String>,
    codec_name: Option<String>,
    sample_rate: Option<String>,
    channels: Option<u32>,
    start_time: Option<String>,
    duration: Option<String>,
    nb_frames: Option<String>,
    avg_frame_rate: Option<String>,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Debug, Default, Deserialize)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

impl Stream {
    fn is(&self, kind: &str) -> bool {
        self.codec_type.as_deref() == Some(kind)
    }

    fn codec(&self) -> &str {
        self.codec_name.as_deref().unwrap_or("unknown")
    }

    /// A decoder needs to know how fast and how many.
    fn sounds(&self) -> bool {
        let rate: u32 = self.sample_rate.as_deref().and_then(|rate| rate.parse().ok()).unwrap_or(0);
        self.codec() != "unknown" && rate > 0 && self.channels.is_some_and(|channels| channels > 0)
    }

    /// A moving picture rather than a cover.
    fn moves(&self) -> bool {
        let one_frame = self.nb_frames.as_deref() == Some("1")
            || self.avg_frame_rate.as_deref().is_none_or(|rate| rate.starts_with("0/"));
        self.is("video")
            && self.disposition.attached_pic == 0
            && !(one_frame && PICTURE_CODECS.contains(&self.codec()))
    }
}

fn judge(answer: &Answer) -> Result<MediaInfo, MediaError> {
    let Some(audio) = answer.streams.iter().find(|stream| stream.is("audio")) else {
        let refused = match answer.streams.iter().any(Stream::moves) {
            true => MediaError::Unsupported("The file is a video without sound.".to_owned()),
            false => MediaError::Unsupported("The file has no sound.".to_owned()),
        };
        return Err(refused);
    };
    if !audio.sounds() {
        return Err(MediaError::unreadable("its sound is damaged or in a form that is not known"));
    }
    let file_type = match answer.streams.iter().any(Stream::moves) {
        true => FileType::Video,
        false => FileType::Audio,
    };
    Ok(MediaInfo { file_type, duration: told_duration(&answer.format, audio) })
}

/// When the sound ends, as the container tells it; its own times count from its earliest stream's start.
fn told_duration(format: &Format, audio: &Stream) -> Option<f64> {
    if format.format_name.as_deref().is_some_and(|name| GUESSED.contains(&name)) {
        return None;
    }
    let start = |text: &Option<String>| number(text.as_deref()).unwrap_or(0.0);
    let delay = (start(&audio.start_time) - start(&format.start_time)).max(0.0);
    let of_audio = number(audio.duration.as_deref()).map(|seconds| seconds + delay);
    of_audio.or_else(|| number(format.duration.as_deref())).filter(|seconds| *seconds > 0.0)
}

fn number(text: Option<&str>) -> Option<f64> {
    text?.parse().ok().filter(|number: &f64| number.is_finite())
}
