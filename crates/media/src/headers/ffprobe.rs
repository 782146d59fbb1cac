//! Runs ffprobe, and reads its output.

use std::path::Path;

use serde::Deserialize;

use crate::error::MediaError;
use crate::ffmpeg::{INPUT, Tool, Tools, input_options, reason};
use crate::limits::Limits;

/// Processor time for ffprobe, in seconds.
const CPU_SECONDS: u64 = 30;

/// The maximum output of ffprobe, in bytes. With a thousand streams it is shorter.
const ANSWER_BYTES: u64 = 4 << 20;

/// The fields that ffprobe is to output.
const ENTRIES: &str = "format=format_name,duration,start_time:\
    stream=index,codec_type,codec_name,sample_rate,channels,channel_layout,start_time,duration,nb_frames,\
    avg_frame_rate:\
    stream_disposition=default,comment,hearing_impaired,visual_impaired,attached_pic:\
    stream_tags=language:\
    program=program_id:program_stream=index";

/// Codecs of still pictures. A stream of a single frame of one of them is a cover, whatever the container calls it.
const PICTURE_CODECS: [&str; 7] = ["bmp", "gif", "jpegxl", "mjpeg", "png", "tiff", "webp"];

/// Runs ffprobe on the file.
pub(super) fn run(tools: &Tools, path: &Path, limits: &Limits) -> Result<Answer, MediaError> {
    let mut args = input_options().to_vec();
    args.extend(["-of", "json", "-show_entries", ENTRIES, "-i", INPUT]);
    let ffprobe = tools.run(Tool::Ffprobe, &args, path, CPU_SECONDS, limits.clone())?;
    let output = ffprobe.output(ANSWER_BYTES).map_err(|error| Tool::Ffprobe.output_lost(&error))?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .map_err(|error| MediaError::Tool(format!("ffprobe's answer could not be read: {error}.")));
    }
    let reason = match output.status.code() {
        Some(_) => reason(&output.stderr),
        None => Some("it takes too much time or memory to look into".to_owned()),
    };
    Err(MediaError::unreadable(
        reason.as_deref().unwrap_or("nothing in it looks like a format that is known"),
    ))
}

/// ffprobe's output, with the fields of [`ENTRIES`].
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
    #[serde(default)]
    pub(super) programs: Vec<Program>,
    #[serde(default)]
    pub(super) format: Format,
}

/// The container.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Format {
    format_name: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
}

/// A stream of the container, of any kind.
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
    #[serde(default)]
    tags: Tags,
}

/// What the container says of a stream in words.
#[derive(Debug, Default, Deserialize)]
struct Tags {
    /// A code, mostly of ISO 639-2, as in `ger`.
    language: Option<String>,
}

/// What a stream is for. Each field is 1 or 0.
#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct Disposition {
    #[serde(default)]
    pub(super) default: u8,
    #[serde(default)]
    comment: u8,
    #[serde(default)]
    hearing_impaired: u8,
    #[serde(default)]
    visual_impaired: u8,
    #[serde(default)]
    attached_pic: u8,
}

/// Streams that belong together, such as a channel of a broadcast.
#[derive(Debug, Deserialize)]
pub(super) struct Program {
    #[serde(default)]
    streams: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    index: u32,
}

impl Format {
    /// Whether ffprobe's name of the format is one of `names`. It lists all formats that the demuxer reads.
    pub(super) fn is_one_of(&self, names: &[&str]) -> bool {
        self.format_name.as_deref().is_some_and(|name| names.contains(&name))
    }

    /// The start time, in seconds.
    pub(super) fn start(&self) -> Option<f64> {
        number(self.start_time.as_deref())
    }

    /// The duration, in seconds.
    pub(super) fn duration(&self) -> Option<f64> {
        number(self.duration.as_deref())
    }
}

impl Stream {
    fn is(&self, kind: &str) -> bool {
        self.codec_type.as_deref() == Some(kind)
    }

    pub(super) fn is_audio(&self) -> bool {
        self.is("audio")
    }

    fn codec(&self) -> &str {
        self.codec_name.as_deref().unwrap_or("unknown")
    }

    /// Whether it is sound that can be decoded. A decoder needs the sample rate and the number of channels.
    pub(super) fn is_decodable_audio(&self) -> bool {
        let rate: u32 = self.sample_rate.as_deref().and_then(|rate| rate.parse().ok()).unwrap_or(0);
        self.is_audio()
            && self.codec() != "unknown"
            && rate > 0
            && self.channels.is_some_and(|channels| channels > 0)
    }

    /// The language, as the container names it.
    pub(super) fn language(&self) -> Option<&str> {
        // What containers say if nobody said anything.
        self.tags.language.as_deref().filter(|language| !matches!(*language, "" | "und"))
    }

    /// Whether it is a moving picture rather than a cover.
    pub(super) fn is_moving_picture(&self) -> bool {
        let one_frame = self.nb_frames.as_deref() == Some("1")
            || self.avg_frame_rate.as_deref().is_none_or(|rate| rate.starts_with("0/"));
        self.is("video")
            && self.disposition.attached_pic == 0
            && !(one_frame && PICTURE_CODECS.contains(&self.codec()))
    }

    /// Whether it is sound or a moving picture. A player's time starts with the first of these streams.
    pub(super) fn is_played(&self) -> bool {
        self.is_audio() || self.is_moving_picture()
    }

    /// The start time, in seconds.
    pub(super) fn start(&self) -> Option<f64> {
        number(self.start_time.as_deref())
    }

    /// The duration, in seconds.
    pub(super) fn duration(&self) -> Option<f64> {
        number(self.duration.as_deref())
    }
}

impl Disposition {
    /// Whether it is made for particular listeners, in addition to the main sound.
    pub(super) fn is_special(&self) -> bool {
        self.comment + self.hearing_impaired + self.visual_impaired > 0
    }
}

impl Program {
    pub(super) fn has(&self, index: u32) -> bool {
        self.streams.iter().any(|member| member.index == index)
    }
}

fn number(text: Option<&str>) -> Option<f64> {
    text?.parse().ok().filter(|number: &f64| number.is_finite())
}
