//! The options for the input, the same for every run of both programs.

/// The demuxers that are allowed: those of common containers with sound. Demuxers that open other files or addresses
/// (hls, dash, concat, imf, sdp, image2, rtsp, lavfi, libopenmpt …) or that take any text for media are left out on
/// purpose.
const DEMUXERS: &str = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,dv,eac3,flac,\
    flv,gsm,live_flv,loas,m4a,matroska,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,oga,ogg,oma,\
    rm,shn,sox,tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xwma,3gp,3g2,mj2";

/// How much of a file is read to find all of its streams: ten minutes, in microseconds. ffmpeg's default of five
/// seconds misses sound that starts later than the picture.
const ANALYSIS_MICROSECONDS: &str = "600000000";

/// The same limit in bytes.
const ANALYSIS_BYTES: &str = "64000000";

/// The name of the input for the child process: its standard input, opened anew so that it can seek.
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
