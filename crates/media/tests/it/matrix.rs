//! Combines containers, codecs, layouts and sample rates. In each combination the clip keeps its time and its
//! loudness.

use std::sync::Mutex;
use std::thread;

use tempfile::TempDir;
use verbatim_testing::media::recordings::{make, novel};

use crate::alignment::{assert_clip_at, decode, loudness};

/// Container, codec, and the rates and layouts that the codec supports.
const ROWS: &[(&str, &str, &[u32], &[&str])] = &[
    ("wav", "pcm_s16le", &[8000, 16_000, 44_100, 96_000], &["mono", "stereo", "5.1", "7.1"]),
    ("wav", "pcm_f32le", &[48_000], &["stereo", "4.0"]),
    ("wav", "adpcm_ima_wav", &[22_050], &["mono", "stereo"]),
    ("wav", "pcm_alaw", &[8000], &["mono"]),
    ("w64", "pcm_s24le", &[44_100], &["stereo", "5.1(side)"]),
    ("aiff", "pcm_s16be", &[44_100], &["mono", "stereo"]),
    ("aiff", "pcm_s16le", &[44_100], &["stereo"]),
    ("caf", "pcm_s16be", &[48_000], &["stereo"]),
    ("caf", "alac", &[44_100], &["mono"]),
    ("au", "pcm_mulaw", &[8000], &["mono"]),
    ("flac", "flac", &[22_050, 48_000], &["mono", "stereo", "7.1"]),
    ("mp3", "libmp3lame", &[16_000, 22_050, 44_100, 48_000], &["mono", "stereo"]),
    ("m4a", "aac", &[16_000, 44_100, 48_000], &["mono", "stereo", "5.1", "7.1"]),
    ("m4a", "alac", &[44_100], &["stereo"]),
    ("aac", "aac", &[44_100], &["mono", "stereo"]),
    ("ogg", "libvorbis", &[16_000, 44_100], &["mono", "stereo", "5.1"]),
    ("ogg", "flac", &[44_100], &["stereo"]),
    ("ogg", "libspeex", &[8000, 16_000], &["mono"]),
    ("opus", "libopus -b:a 12k", &[8000, 16_000, 48_000], &["mono"]),
    ("opus", "libopus", &[48_000], &["stereo", "5.1", "7.1"]),
    ("webm", "libopus", &[48_000], &["mono", "stereo"]),
    ("mka", "pcm_s16le", &[44_100], &["mono", "5.0"]),
    ("mkv", "ac3", &[48_000], &["mono", "stereo", "5.1(side)"]),
    ("mkv", "dca -strict -2", &[48_000], &["5.1(side)"]),
    ("mkv", "truehd -strict -2", &[48_000], &["5.1"]),
    ("ts", "ac3", &[48_000], &["stereo", "5.1(side)"]),
    ("ts", "eac3", &[48_000], &["5.1(side)"]),
    ("ts", "mp2", &[44_100, 48_000], &["mono", "stereo"]),
    ("ts", "aac", &[44_100, 48_000], &["stereo", "5.1"]),
    ("mpg", "mp2", &[48_000], &["stereo"]),
    ("mov", "pcm_s24le", &[48_000], &["stereo", "5.1"]),
    ("3gp", "aac", &[44_100], &["mono"]),
    ("avi", "libmp3lame", &[44_100], &["stereo"]),
    ("avi", "pcm_s16le", &[22_050], &["mono"]),
    ("flv", "libmp3lame", &[44_100], &["mono", "stereo"]),
    ("wma", "wmav2", &[44_100], &["mono", "stereo"]),
    ("wv", "wavpack", &[44_100], &["stereo"]),
    ("tta", "tta", &[44_100], &["stereo"]),
];

#[test]
fn every_combination_keeps_the_times_and_the_loudness_of_the_clip() {
    let dir = TempDir::new().unwrap();
    let clip = decode(&novel());
    let combinations = ROWS.iter().flat_map(|(container, codec, rates, layouts)| {
        let rates = rates.iter().flat_map(|rate| layouts.iter().map(move |layout| (rate, layout)));
        rates.map(move |(rate, layout)| (*container, *codec, *rate, *layout))
    });
    let combinations = Mutex::new(combinations.enumerate());
    let work = || {
        loop {
            let next = combinations.lock().unwrap().next();
            let Some((index, (container, codec, rate, layout))) = next else { break };
            let name = format!("{container} {codec} {rate} {layout}");
            let options = format!("-i {} -ar {rate} {} -c:a {codec}", novel().display(), pan(layout));
            let samples = decode(&make(dir.path(), &format!("{index}.{container}"), &options));
            assert_clip_at(&name, &clip, &samples, &[0.0]);
            let level = loudness(&samples) / loudness(&clip);
            assert!((0.75..1.3).contains(&level), "{name} is {level} times as loud");
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
}

/// The filter that puts speech where films have it: in the centre if there is one, otherwise on all sides.
fn pan(layout: &str) -> String {
    match layout {
        "mono" => "-ac 1".to_owned(),
        "stereo" => "-af pan=stereo|c0=c0|c1=c0".to_owned(),
        _ => format!("-af pan={layout}|FC=c0"),
    }
}
