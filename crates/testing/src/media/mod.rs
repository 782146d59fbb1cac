//! Media files to test with, and a program that stands in for ffprobe and ffmpeg.

pub mod inputs;
pub mod recordings;
pub mod stand_in;
