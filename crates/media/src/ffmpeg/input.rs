//! The options about the input, the same for every run of either tool.

/// The containers people have sound in. Deliberately absent is whatever names other files or addresses
/// (hls, dash, concat, imf, sdp, image2, rtsp, lavfi, libopenmpt …) or takes any text for media.
const DEMUXERS: &str = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,dv,eac3,flac,\
    flv,gsm,live_flv,loas,m4a,matroska,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,oga,ogg,oma,\
    rm,shn,sox,tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xwma,3gp,3g2,mj2";

/// How far either tool reads until it knows all streams: ten minutes, in microseconds. ffmpeg's own five seconds miss
/// sound that starts later than its picture.
const ANALYSIS_MICROSECONDS: &str = "600000000";

/// The same, in bytes.
const ANALYSIS_BYTES: &str = "64000000";

/// The input's name, as the child sees it: its standard input, opened anew, so that it can seek.
pub(crate) const INPUT: &str = "file:/dev/stdin";

/// The options before `-i`.
pub(crate) fn input_options() -> [&'static str; 10] {
    [
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        DEMUXERS,
        "-v",
        "error",
        "-analyzeduration",
        ANALYSIS_MICROSECONDS,
        "-probesize",
        ANALYSIS_BYTES,
    ]
}
