//! What a file is, as ffprobe sees it.

use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::confine::{Confined, INPUT, Tool, input_options, reason};
use super::{MediaError, PcmStream};
use crate::job::FileType;

/// How long ffprobe may take by the clock; a sound file takes it some 50 ms.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds of processor time for ffprobe.
const CPU_SECONDS: u64 = 30;

/// ffprobe's whole answer, with a thousand streams, stays under this.
const ANSWER_BYTES: u64 = 4 << 20;

const QUESTIONS: &str = "format=format_name,duration:\
    stream=codec_type,codec_name,sample_rate,channels,duration,nb_frames,avg_frame_rate:\
    stream_disposition=attached_pic";

/// Codecs of pictures. A stream of one frame of them is a cover, whatever the container calls it.
const PICTURE_CODECS: [&str; 7] = ["bmp", "gif", "jpegxl", "mjpeg", "png", "tiff", "webp"];

/// Containers that tell no duration: ffprobe guesses it from the size and the bits a second of the
/// beginning, and after a quiet beginning is wrong by a factor of thirty.
const GUESSERS: [&str; 2] = ["aac", "loas"];

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MediaInfo {
    pub file_type: FileType,
    /// As the container tells it, in seconds: of the sound where it says, else of the whole.
    pub duration: Option<f64>,
}

/// Says what a file is, by its content alone. Refuses what is not media, has no audio stream, is a
/// playlist, or is longer than `max_duration`.
pub async fn probe(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    let path = path.to_owned();
    let run = tokio::task::spawn_blocking(move || probe_blocking(&path, max_duration));
    run.await.map_err(|error| MediaError::Tool(format!("The look at the file was broken off: {error}.")))?
}

/// [`probe`] for callers that may block.
pub fn probe_blocking(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    let answer = ask(path)?;
    let answer: Answer = serde_json::from_slice(&answer)
        .map_err(|error| MediaError::Tool(format!("ffprobe's answer could not be read: {error}.")))?;
    let info = judge(&answer)?;
    if info.duration.is_some_and(|seconds| seconds > max_duration.as_secs_f64()) {
        return Err(too_long(max_duration));
    }
    hear(path, max_duration)?;
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
fn ask(path: &Path) -> Result<Vec<u8>, MediaError> {
    let mut args = input_options().to_vec();
    args.extend(["-of", "json", "-show_entries", QUESTIONS, "-i", INPUT]);
    let mut ffprobe = Confined::spawn(Tool::Ffprobe, &args, path, CPU_SECONDS)?;
    let lost = |error: io::Error| MediaError::Tool(format!("ffprobe's answer was lost: {error}."));
    let stdout = ffprobe.stdout().ok_or_else(|| lost(io::ErrorKind::BrokenPipe.into()))?;

    // A thread of its own, so that a ffprobe which waits for a disk forever is not waited for.
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        let mut answer = Vec::new();
        let read = stdout.take(ANSWER_BYTES).read_to_end(&mut answer);
        // Nobody listens any more once the patience is over.
        let _ = sender.send(read.map(|_| answer));
    };
    thread::Builder::new().name("ffprobe-stdout".to_owned()).spawn(read).map_err(lost)?;
    let answer = receiver
        .recv_timeout(PATIENCE)
        .map_err(|_| MediaError::unreadable("looking into it took too long"))?
        .map_err(lost)?;

    let (status, complaints) = ffprobe.wait().map_err(lost)?;
    if !status.success() {
        let reason = match status.code() {
            Some(_) => reason(&complaints),
            None => Some("it takes too much time or memory to look into".to_owned()),
        };
        return Err(MediaError::unreadable(
            reason.as_deref().unwrap_or("nothing in it looks like a format that is known"),
        ));
    }
    Ok(answer)
}

/// Decodes the first second: a header alone does not tell of a damaged or encrypted or empty stream.
fn hear(path: &Path, max_duration: Duration) -> Result<(), MediaError> {
    match PcmStream::open(path, max_duration)?.next() {
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
    duration: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    codec_type: Option<String>,
    codec_name: Option<String>,
    sample_rate: Option<String>,
    channels: Option<u32>,
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
    let guessed = answer.format.format_name.as_deref().is_some_and(|name| GUESSERS.contains(&name));
    let told = seconds(audio.duration.as_deref()).or(seconds(answer.format.duration.as_deref()));
    let duration = told.filter(|_| !guessed);
    Ok(MediaInfo { file_type, duration })
}

fn seconds(text: Option<&str>) -> Option<f64> {
    text?.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)
}
