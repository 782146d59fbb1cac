//! Which channels of a track differ, so that what two channels have in common is transcribed once.

use std::path::Path;
use std::time::Duration;

use super::PcmStream;
use crate::error::MediaError;
use crate::headers::Tracks;
use crate::limits::Cancellation;

/// Two channels are the same if their difference has less power than this share of theirs, in every second: -30 dB, which
/// codecs with losses keep well below.
const SAME: f32 = 1e-3;

/// The mean power of a sample below which a second is silent: -80 dB.
const SILENCE: f32 = 1e-8;

/// The channels of the preferred track without those that are the same as an earlier one, counted from 0. Reads on only
/// as long as two channels are the same so far. Blocks, until it is cancelled at the latest.
///
/// # Errors
/// As [`PcmStream::open_tracks`] and its items.
pub fn distinct_channels(
    path: &Path,
    tracks: &Tracks,
    longest: Duration,
    cancellation: &Cancellation,
) -> Result<Vec<usize>, MediaError> {
    let mut distinct: Vec<usize> = Vec::new();
    for channel in 0..tracks.channels() {
        let mut is_new = true;
        for earlier in &distinct {
            is_new &= !are_same(path, tracks, [*earlier, channel], longest, cancellation)?;
        }
        if is_new {
            distinct.push(channel);
        }
    }
    Ok(distinct)
}

fn are_same(
    path: &Path,
    tracks: &Tracks,
    pair: [usize; 2],
    longest: Duration,
    cancellation: &Cancellation,
) -> Result<bool, MediaError> {
    let open = |channel| match tracks.channel(channel) {
        Some(track) => PcmStream::open_tracks(path, track, longest),
        None => Err(MediaError::Tool("A channel is missing (an internal error).".to_owned())),
    };
    let [one, other] = pair.map(open);
    for (one, other) in one?.zip(other?) {
        let unpacked = |error: std::io::Error| {
            error
                .downcast()
                .unwrap_or_else(|error| MediaError::Tool(format!("The sound cannot be read: {error}.")))
        };
        if cancellation.is_cancelled() {
            return Err(MediaError::Tool("The comparison of channels was cancelled.".to_owned()));
        }
        if differ(&one.map_err(unpacked)?, &other.map_err(unpacked)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn differ(one: &[f32], other: &[f32]) -> bool {
    let power = |samples: &mut dyn Iterator<Item = f32>| samples.map(|sample| sample * sample).sum::<f32>();
    let difference = power(&mut one.iter().zip(other).map(|(one, other)| one - other));
    let loudest = power(&mut one.iter().copied()).max(power(&mut other.iter().copied()));
    let silent = SILENCE * one.len().max(other.len()) as f32;
    one.len() != other.len() || (loudest > silent && difference > SAME * loudest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_codec_adds_is_no_difference_and_another_voice_is() {
        let voice: Vec<f32> = (0..16_000).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
        let noisy = |level: f32| -> Vec<f32> {
            voice.iter().enumerate().map(|(n, sample)| sample + level * (n as f32 * 1.3).sin()).collect()
        };
        assert!(!differ(&voice, &voice));
        assert!(!differ(&voice, &noisy(0.003)));
        assert!(differ(&voice, &noisy(0.03)));
        assert!(differ(&voice, &vec![0.0; 16_000]));
        assert!(differ(&voice, &voice[..15_000]), "one of them ends");
        assert!(!differ(&[1e-5; 100], &[0.0; 100]), "nobody hears either");
    }
}
