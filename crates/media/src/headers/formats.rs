//! What is known of formats by the names that ffprobe gives them.

use super::ffprobe::Format;

/// Times of these are those of a broadcast or of whatever was joined: a step of more than [`SHARED_GAP`] is
/// another clock.
const SHARED_CLOCK: [&str; 5] = ["mpegts", "mpeg", "ogg", "flv", "rm"];

/// The longest gap, in seconds, in a format whose clock is not its own. Chance makes a jump to another programme's
/// clock look like one once in 160 times.
pub(super) const SHARED_GAP: f64 = 600.0;

/// The longest gap in a format that counts from its own beginning.
const OWN_GAP: f64 = 6.0 * 3600.0;

/// Raw streams do not tell how long they are: ffprobe guesses from their size and the bits a second of their
/// beginning, and where that is silent is wrong by a factor of up to thirty.
const RAW_STREAMS: [&str; 11] =
    ["aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "gsm", "loas", "mp3", "truehd"];

/// Raw streams whose rate may change, as where files were joined. The times that ffmpeg makes up for them are wrong
/// from there on, so their samples are counted. (Telephones' codecs have one rate, and frames of silence that
/// ffmpeg does not decode: those count by their times.)
const COUNTED: [&str; 7] = ["aac", "ac3", "dts", "eac3", "loas", "mp3", "truehd"];

/// Whether the times may be those of several clocks.
pub(super) fn shares_clock(format: &Format) -> bool {
    format.is_one_of(&SHARED_CLOCK)
}

/// The longest step of the times that is a gap, in seconds.
pub(super) fn max_gap(format: &Format) -> f64 {
    if shares_clock(format) { SHARED_GAP } else { OWN_GAP }
}

/// Whether the format does not tell its duration.
pub(super) fn is_raw_stream(format: &Format) -> bool {
    format.is_one_of(&RAW_STREAMS)
}

/// Whether samples are to be counted, for its times are made up.
pub(super) fn is_counted(format: &Format) -> bool {
    format.is_one_of(&COUNTED)
}
