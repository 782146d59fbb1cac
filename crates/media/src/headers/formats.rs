//! Properties of formats, by their names in ffprobe.

use super::ffprobe::Format;

/// Formats whose times come from a broadcast, or may come from several files that were joined. A step of more than
/// [`SHARED_GAP`] is a change to another clock.
const SHARED_CLOCK: [&str; 5] = ["mpegts", "mpeg", "ogg", "flv", "rm"];

/// The longest gap in these formats, in seconds. A random change to another clock looks like a gap once in 160 times.
pub(super) const SHARED_GAP: f64 = 600.0;

/// The longest gap in a format whose times start at its own beginning, in seconds.
const OWN_GAP: f64 = 6.0 * 3600.0;

/// Raw streams have no duration in their headers. ffprobe estimates one from their size and the bit rate at their
/// beginning. If that is silent, the estimate is wrong by a factor of up to thirty.
const RAW_STREAMS: [&str; 11] =
    ["aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "gsm", "loas", "mp3", "truehd"];

/// Raw streams whose sample rate may change, for example where files were joined. ffmpeg computes wrong times from
/// there on, so their samples are counted. Telephone codecs are not among them: they have one rate, and frames of
/// silence that ffmpeg does not decode, so their times are needed.
const COUNTED: [&str; 7] = ["aac", "ac3", "dts", "eac3", "loas", "mp3", "truehd"];

/// Whether the times may come from several clocks.
pub(super) fn shares_clock(format: &Format) -> bool {
    format.is_one_of(&SHARED_CLOCK)
}

/// The longest step of the times that is a gap, in seconds.
pub(super) fn max_gap(format: &Format) -> f64 {
    if shares_clock(format) { SHARED_GAP } else { OWN_GAP }
}

/// Whether the format has no duration in its headers.
pub(super) fn is_raw_stream(format: &Format) -> bool {
    format.is_one_of(&RAW_STREAMS)
}

/// Whether samples are counted because the times are not reliable.
pub(super) fn is_counted(format: &Format) -> bool {
    format.is_one_of(&COUNTED)
}
