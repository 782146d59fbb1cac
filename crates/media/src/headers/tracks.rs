//! Which of a file's tracks is heard, and how its channels and times are to be read.

use serde::{Deserialize, Deserializer, Serialize};

use super::probe::{Answer, Format, Stream};

/// Times of these are those of a broadcast or of whatever was joined: a step of more than [`SHARED_GAP`] is another
/// clock.
const SHARED_CLOCK: [&str; 5] = ["mpegts", "mpeg", "ogg", "flv", "rm"];

/// The longest gap, in seconds, in a format whose clock is not its own. Chance makes a jump to another programme's
/// clock look like one once in 160 times.
const SHARED_GAP: f64 = 600.0;

/// The longest gap in a format that counts from its own beginning.
const OWN_GAP: f64 = 6.0 * 3600.0;

/// Bare streams do not tell how long they are: ffprobe guesses from their size and the bits a second of their
/// beginning, and where that is silent is wrong by a factor of up to thirty.
pub(super) const BARE: [&str; 11] =
    ["aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "gsm", "loas", "mp3", "truehd"];

/// Bare streams whose rate may change, as where files were joined. The times that ffmpeg makes up for them are wrong
/// from there on, so their samples are counted. (Telephones' codecs have one rate, and frames of silence that
/// ffmpeg does not decode: those count by their times.)
const COUNTED: [&str; 7] = ["aac", "ac3", "dts", "eac3", "loas", "mp3", "truehd"];

/// Front left and right, as ITU-R BS.775 mixes them beside the centre.
const FRONT: f32 = std::f32::consts::FRAC_1_SQRT_2;
const CENTRE: f32 = 1.0;
/// What is behind or beside, as ffmpeg mixes it.
const SURROUND: f32 = 0.5;
/// Low-frequency effects hold no speech, but recordings of many microphones are often labelled as surround.
const LFE: f32 = 0.1;

/// ffmpeg's names of layouts, with the weights of their channels in its order.
const LAYOUTS: [(&str, &[f32]); 18] = [
    ("2.1", &[FRONT, FRONT, LFE]),
    ("3.0", &[FRONT, FRONT, CENTRE]),
    ("3.0(back)", &[FRONT, FRONT, SURROUND]),
    ("4.0", &[FRONT, FRONT, CENTRE, SURROUND]),
    ("quad", &[FRONT, FRONT, SURROUND, SURROUND]),
    ("quad(side)", &[FRONT, FRONT, SURROUND, SURROUND]),
    ("3.1", &[FRONT, FRONT, CENTRE, LFE]),
    ("5.0", &[FRONT, FRONT, CENTRE, SURROUND, SURROUND]),
    ("5.0(side)", &[FRONT, FRONT, CENTRE, SURROUND, SURROUND]),
    ("4.1", &[FRONT, FRONT, CENTRE, LFE, SURROUND]),
    ("5.1", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND]),
    ("5.1(side)", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND]),
    ("6.0", &[FRONT, FRONT, CENTRE, SURROUND, SURROUND, SURROUND]),
    ("6.1", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND, SURROUND]),
    ("7.0", &[FRONT, FRONT, CENTRE, SURROUND, SURROUND, SURROUND, SURROUND]),
    ("7.1", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND, SURROUND, SURROUND]),
    ("7.1(wide)", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND, FRONT, FRONT]),
    ("7.1(wide-side)", &[FRONT, FRONT, CENTRE, LFE, FRONT, FRONT, SURROUND, SURROUND]),
];

/// More channels than any recorder has are mixed by ffmpeg.
const MAX_CHANNELS: u32 = 64;

/// A file's tracks of sound as they were found when it was probed, the best first. Kept with a job, so that its file is not
/// looked into again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tracks(pub(super) Vec<Track>);

/// A track of sound that can be decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    /// Among all of the file's streams.
    pub(super) index: u32,
    pub(super) channels: Channels,
    pub(super) times: Times,
}

/// What ffmpeg is to give, and how that is mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Channels {
    /// The layout as ffmpeg names it; `None` for discrete channels.
    #[serde(deserialize_with = "known_layout")]
    pub(super) layout: Option<String>,
    /// Of each channel in the mix.
    pub(super) weights: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Times {
    /// There are none; samples are counted.
    Counted,
    /// In seconds: which time is the recording's zero, and the longest step that is a gap.
    Stamped { origin: f64, max_gap: f64 },
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct Disposition {
    #[serde(default)]
    default: u8,
    #[serde(default)]
    comment: u8,
    #[serde(default)]
    hearing_impaired: u8,
    #[serde(default)]
    visual_impaired: u8,
    #[serde(default)]
    pub(super) attached_pic: u8,
}

/// Streams that belong together, as a channel of a broadcast.
#[derive(Debug, Deserialize)]
pub(super) struct Program {
    #[serde(default)]
    streams: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    index: u32,
}

/// The tracks of sound, the best first: not those made for some (descriptions for the blind, comments) where there are
/// others, and of these the one marked as the default, then the first.
pub(super) fn tracks(answer: &Answer) -> Vec<Track> {
    let mut sounds: Vec<&Stream> = answer.streams.iter().filter(|stream| stream.sounds()).collect();
    // Stable: else the file's order.
    sounds.sort_by_key(|stream| (stream.disposition.is_special(), stream.disposition.default == 0));
    let track = |stream: &Stream| Track {
        index: stream.index,
        channels: Channels::of(stream.channels.unwrap_or(1), stream.channel_layout.as_deref()),
        times: times(answer, stream),
    };
    sounds.into_iter().map(track).collect()
}

/// When a player starts to count, in the stream's own time: when the earliest stream starts of those that are
/// played together.
pub(super) fn origin(answer: &Answer, stream: &Stream) -> f64 {
    let of_stream = || stream.start().unwrap_or(0.0);
    let program = answer.programs.iter().find(|program| program.has(stream.index));
    let Some(program) = program.filter(|_| answer.programs.len() > 1) else {
        return answer.format.start().unwrap_or_else(of_stream);
    };
    let together = answer.streams.iter().filter(|stream| program.has(stream.index) && stream.plays());
    together.filter_map(Stream::start).reduce(f64::min).unwrap_or_else(of_stream)
}

/// Whether the times may be those of several clocks.
pub(super) fn shares_clock(format: &Format) -> bool {
    format.is_one_of(&SHARED_CLOCK)
}

fn times(answer: &Answer, stream: &Stream) -> Times {
    if answer.format.is_one_of(&COUNTED) {
        return Times::Counted;
    }
    let max_gap = if shares_clock(&answer.format) { SHARED_GAP } else { OWN_GAP };
    Times::Stamped { origin: origin(answer, stream), max_gap }
}

/// It becomes an argument of ffmpeg's, so only what is known here will do.
fn known_layout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let layout = Option::<String>::deserialize(deserializer)?;
    let mut known = LAYOUTS.iter().map(|(name, _)| *name).chain(["stereo", "mono"]);
    match layout {
        Some(name) if !known.any(|known| known == name) => {
            Err(serde::de::Error::custom(format!("“{name}” is no layout of channels")))
        }
        layout => Ok(layout),
    }
}

impl Channels {
    fn of_layout(name: &str, weights: &[f32]) -> Self {
        Self { layout: Some(name.to_owned()), weights: weights.to_vec() }
    }

    fn of(count: u32, layout: Option<&str>) -> Self {
        let known =
            LAYOUTS.iter().find(|(name, weights)| Some(*name) == layout && weights.len() == count as usize);
        match (known, count) {
            (Some((name, weights)), _) => Self::of_layout(name, weights),
            (None, 2) => Self::of_layout("stereo", &[1.0; 2]),
            (None, 3..=MAX_CHANNELS) => Self { layout: None, weights: vec![1.0; count as usize] },
            _ => Self::of_layout("mono", &[1.0]),
        }
    }
}

impl Disposition {
    /// Made for some listeners, beside the programme.
    fn is_special(&self) -> bool {
        self.comment + self.hearing_impaired + self.visual_impaired > 0
    }
}

impl Program {
    fn has(&self, index: u32) -> bool {
        self.streams.iter().any(|member| member.index == index)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sound(index: u32, more: Value) -> Value {
        let mut stream = json!({
            "index": index, "codec_type": "audio", "codec_name": "aac", "sample_rate": "48000", "channels": 2,
        });
        stream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stream
    }

    fn answer(streams: &[Value]) -> Answer {
        serde_json::from_value(json!({ "streams": streams })).unwrap()
    }

    fn order(streams: &[Value]) -> Vec<u32> {
        tracks(&answer(streams)).iter().map(|track| track.index).collect()
    }

    #[test]
    fn the_default_comes_first_and_what_is_for_some_last() {
        let default = json!({ "disposition": { "default": 1 } });
        let described = json!({ "disposition": { "default": 1, "visual_impaired": 1 } });
        let comment = json!({ "disposition": { "comment": 1 } });
        let silent = json!({ "channels": 0 });
        assert_eq!(order(&[sound(0, json!({})), sound(1, json!({}))]), [0, 1]);
        assert_eq!(order(&[sound(0, json!({})), sound(1, default.clone())]), [1, 0]);
        assert_eq!(order(&[sound(0, described.clone()), sound(1, json!({})), sound(2, comment)]), [1, 0, 2]);
        assert_eq!(order(&[sound(0, silent), sound(1, described)]), [1]);
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn tracks_are_kept_as_json_and_name_only_known_layouts() {
        let found = Tracks(tracks(&answer(&[
            sound(0, json!({ "channels": 6, "channel_layout": "5.1" })),
            sound(1, json!({})),
            sound(2, json!({ "channels": 4 })),
        ])));
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Tracks>(&json).unwrap(), found);
        let hostile = json.replace("5.1", "5.1,volume=0");
        assert!(serde_json::from_str::<Tracks>(&hostile).is_err());
    }

    #[test]
    fn a_programme_has_its_own_zero() {
        let start = |time: &str| json!({ "start_time": time });
        let mut answer =
            answer(&[sound(0, start("7.5")), sound(1, start("36000")), sound(2, start("36002"))]);
        answer.format =
            serde_json::from_value(json!({ "format_name": "mpegts", "start_time": "7.5" })).unwrap();
        assert_eq!(origin(&answer, &answer.streams[2]), 7.5);
        let programs =
            json!([{ "streams": [{ "index": 0 }] }, { "streams": [{ "index": 1 }, { "index": 2 }] }]);
        answer.programs = serde_json::from_value(programs).unwrap();
        assert_eq!(origin(&answer, &answer.streams[2]), 36_000.0);
        assert_eq!(tracks(&answer)[0].times, Times::Stamped { origin: 7.5, max_gap: SHARED_GAP });
    }

    #[test]
    fn only_known_layouts_reach_ffmpeg() {
        let side = Channels::of(6, Some("5.1(side)"));
        assert_eq!((side.layout.as_deref(), side.weights.len()), (Some("5.1(side)"), 6));
        for (count, layout, expected) in [
            (1, Some("mono"), (Some("mono"), 1)),
            (2, Some("stereo,volume=0"), (Some("stereo"), 2)),
            (4, None, (None, 4)),
            (5, Some("5.1"), (None, 5)),
            (16, Some("unknown"), (None, 16)),
            (1000, None, (Some("mono"), 1)),
        ] {
            let channels = Channels::of(count, layout);
            assert_eq!((channels.layout.as_deref(), channels.weights.len()), expected);
        }
    }
}
