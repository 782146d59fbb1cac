//! The audio tracks of a file: their order of preference, channels and times.

use serde::{Deserialize, Serialize};

use super::channels::Channels;
use super::ffprobe::{Answer, Stream};
use super::formats::{is_counted, max_gap};

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
    let track = |stream: &Stream| Track {
        index: stream.index,
        channels: Channels::of(stream.channels.unwrap_or(1), stream.channel_layout.as_deref()),
        times: times(answer, stream),
    };
    sounds.into_iter().map(track).collect()
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
