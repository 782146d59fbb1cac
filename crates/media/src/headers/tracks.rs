//! The audio tracks of a file: their order of preference, channels and times.

use serde::{Deserialize, Serialize};
use verbatim_speech::Language;

use super::channels::Channels;
use super::ffprobe::{Answer, Stream};
use super::formats::{is_counted, max_gap};
use crate::error::MediaError;

/// The audio tracks of a file, in order of preference. They can be serialised and kept, so that the file need not be
/// probed again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tracks(pub(crate) Vec<Track>);

/// An audio track that can be decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Track {
    /// Its index among all streams of the file.
    pub(crate) index: u32,
    /// Its number among the audio tracks of the file, from 1.
    #[serde(default)]
    pub(crate) number: u32,
    /// The language that the container names.
    #[serde(default)]
    pub(crate) language: Option<String>,
    pub(crate) channels: Channels,
    pub(crate) times: Times,
}

/// How the place of a track's packets is determined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Times {
    /// Times are not reliable; samples are counted.
    Counted,
    /// By the packets' times. `origin` is the time of the recording's zero, `max_gap` the longest step that is a gap;
    /// both in seconds.
    Stamped { origin: f64, max_gap: f64 },
}

/// The audio tracks in order of preference: first those for all listeners, then those for some (descriptions for the
/// blind, comments); within each group those marked as default, then the others in the file's order.
pub(super) fn tracks(answer: &Answer) -> Vec<Track> {
    let mut sounds: Vec<&Stream> =
        answer.streams.iter().filter(|stream| stream.is_decodable_audio()).collect();
    // A stable sort keeps the file's order of equal streams.
    sounds.sort_by_key(|stream| (stream.disposition.is_special(), stream.disposition.default == 0));
    let number = |stream: &Stream| {
        let before = answer.streams.iter().filter(|other| other.is_audio() && other.index <= stream.index);
        before.count() as u32
    };
    let track = |stream: &Stream| Track {
        index: stream.index,
        number: number(stream),
        language: stream.language().map(str::to_owned),
        channels: Channels::of(stream.channels.unwrap_or(1), stream.channel_layout.as_deref()),
        times: times(answer, stream),
    };
    sounds.into_iter().map(track).collect()
}

impl Tracks {
    /// Only the track that a client asks for: by its number among the audio tracks, from 1, or by its language, as a
    /// code or an English name. Of several in a language, the preferred one.
    ///
    /// # Errors
    /// If there is none; the sentence names those that there are.
    pub fn choose(self, wanted: &str) -> Result<Self, MediaError> {
        let wanted = wanted.trim();
        let language = Language::parse(wanted);
        let is_wanted = |track: &Track| match wanted.parse::<u32>() {
            Ok(number) => track.number == number,
            Err(_) => track.language.as_deref().is_some_and(|name| {
                name.eq_ignore_ascii_case(wanted) || language.is_some() && Language::parse(name) == language
            }),
        };
        if let Some(track) = self.0.iter().find(|track| is_wanted(track)) {
            return Ok(Self(vec![track.clone()]));
        }
        let mut known: Vec<&Track> = self.0.iter().collect();
        known.sort_by_key(|track| track.number);
        let name = |track: &Track| match &track.language {
            Some(language) => format!("{} ({language})", track.number),
            None => track.number.to_string(),
        };
        let known: Vec<String> = known.into_iter().map(name).collect();
        Err(MediaError::Unsupported(format!(
            "The file has no audio track “{wanted}”; it has: {}.",
            known.join(", ")
        )))
    }

    /// The number of channels of the preferred track.
    pub fn channels(&self) -> usize {
        self.0.first().map_or(0, |track| track.channels.weights.len())
    }

    /// One channel of the preferred track alone, counted from 0. `None` if it has none of this number.
    pub fn channel(&self, channel: usize) -> Option<Self> {
        let mut track = self.0.first()?.clone();
        let count = track.channels.weights.len();
        if channel >= count {
            return None;
        }
        track.channels.weights = (0..count).map(|other| f32::from(u8::from(other == channel))).collect();
        Some(Self(vec![track]))
    }
}

/// The time at which a player's time starts, in the stream's own time in seconds: the start of the earliest stream
/// that is played with this one.
pub(super) fn origin(answer: &Answer, stream: &Stream) -> f64 {
    let of_stream = || stream.start().unwrap_or(0.0);
    let program = answer.programs.iter().find(|program| program.has(stream.index));
    let Some(program) = program.filter(|_| answer.programs.len() > 1) else {
        return answer.format.start().unwrap_or_else(of_stream);
    };
    let together = answer.streams.iter().filter(|stream| program.has(stream.index) && stream.is_played());
    together.filter_map(Stream::start).reduce(f64::min).unwrap_or_else(of_stream)
}

fn times(answer: &Answer, stream: &Stream) -> Times {
    if is_counted(&answer.format) {
        return Times::Counted;
    }
    Times::Stamped { origin: origin(answer, stream), max_gap: max_gap(&answer.format) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::formats::SHARED_GAP;
    use super::*;

    fn sound(index: u32, fields: Value) -> Value {
        let mut stream = json!({
            "index": index, "codec_type": "audio", "codec_name": "aac", "sample_rate": "48000", "channels": 2,
        });
        stream.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        stream
    }

    fn answer(streams: &[Value]) -> Answer {
        serde_json::from_value(json!({ "streams": streams })).unwrap()
    }

    fn order(streams: &[Value]) -> Vec<u32> {
        tracks(&answer(streams)).iter().map(|track| track.index).collect()
    }

    #[test]
    fn the_default_comes_first_and_special_tracks_last() {
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
    fn a_track_is_chosen_by_number_or_language() {
        let tagged = |language: &str| json!({ "tags": { "language": language } });
        let default = json!({ "disposition": { "default": 1 }, "tags": { "language": "eng" } });
        let found = || {
            Tracks(tracks(&answer(&[
                json!({ "index": 0, "codec_type": "video" }),
                sound(1, tagged("ger")),
                sound(2, default.clone()),
                sound(3, tagged("und")),
                sound(4, tagged("English")),
                sound(5, tagged("tlh")),
            ])))
        };
        let index = |wanted: &str| {
            found().choose(wanted).map(|Tracks(tracks)| {
                assert_eq!(tracks.len(), 1, "no other one is tried instead");
                tracks[0].index
            })
        };
        for (wanted, expected) in
            [("1", 1), ("3", 3), ("de", 1), ("German", 1), ("deu", 1), (" en ", 2), ("TLH", 5)]
        {
            assert_eq!(index(wanted).unwrap(), expected, "{wanted}");
        }
        for wanted in ["0", "6", "fr", "klingon", "und", ""] {
            let error = index(wanted).unwrap_err().to_string();
            assert!(
                error.ends_with("it has: 1 (ger), 2 (eng), 3, 4 (English), 5 (tlh)."),
                "{wanted}: {error}"
            );
        }
    }

    #[test]
    fn a_channel_alone_has_all_the_weight() {
        let found = Tracks(tracks(&answer(&[sound(0, json!({ "channels": 3, "channel_layout": "2.1" }))])));
        assert_eq!(found.channels(), 3);
        let Tracks(second) = found.channel(1).unwrap();
        assert_eq!(second[0].channels.weights, [0.0, 1.0, 0.0]);
        assert_eq!(found.channel(3), None);
    }

    #[test]
    fn tracks_can_be_stored_as_json_with_known_layouts_only() {
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
}
