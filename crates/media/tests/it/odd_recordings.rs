//! Recordings that were joined, damaged, broadcast or wrongly wired: the clip in them keeps its times and its
//! loudness.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use verbatim_media::{MediaError, PcmStream, probe};
use verbatim_testing::media::recordings::{make, novel};

use crate::alignment::{DAY, assert_clip_at, decode, find, loudness, seconds};

fn input() -> String {
    format!("-i {}", novel().display())
}

fn clip() -> Vec<f32> {
    decode(&novel())
}

/// The duration of the clip, in seconds.
const CLIP: f64 = 2.99;

/// Concatenates files byte by byte.
fn join(dir: &Path, name: &str, parts: &[&PathBuf]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, parts.iter().flat_map(|part| fs::read(part).unwrap()).collect::<Vec<u8>>()).unwrap();
    path
}

/// The clip, padded with silence to eleven seconds.
fn eleven_seconds(dir: &Path, name: &str, options: &str) -> PathBuf {
    make(dir, name, &format!("{} -af apad=whole_dur=11 {options}", input()))
}

#[test]
fn joined_recordings_of_different_rates_follow_each_other() {
    let dir = TempDir::new().unwrap();
    for (extension, codec) in [("mp3", "libmp3lame -write_xing 0"), ("ogg", "libvorbis"), ("aac", "aac")] {
        let fast = eleven_seconds(dir.path(), &format!("44.{extension}"), &format!("-ar 44100 -c:a {codec}"));
        let slow = eleven_seconds(dir.path(), &format!("22.{extension}"), &format!("-ar 22050 -c:a {codec}"));
        let joined = join(dir.path(), &format!("joined.{extension}"), &[&fast, &slow, &fast]);
        let samples = decode(&joined);
        // Encoders pad the last frame.
        let (first, second) = (seconds(&decode(&fast)), seconds(&decode(&slow)));
        assert!((first - 11.0).abs() < 0.08 && (second - 11.0).abs() < 0.15, "{first} {second}");
        for start in [0.0, first, first + second] {
            let (off, alike) = find(&clip(), &samples, start);
            assert!(alike > 0.8 && off.abs() <= 0.06, "{extension}: off by {off} ({alike}) at {start}");
        }
    }
}

#[test]
fn a_broadcast_that_changes_its_layout_keeps_its_times() {
    let dir = TempDir::new().unwrap();
    let stereo = eleven_seconds(dir.path(), "20.ac3", "-ar 48000 -ac 2");
    let surround = make(
        dir.path(),
        "51.ac3",
        &format!("{} -ar 48000 -af pan=5.1(side)|FC=c0,apad=whole_dur=11", input()),
    );
    for (name, parts) in
        [("2-5-2", [&stereo, &surround, &stereo]), ("5-2-5", [&surround, &stereo, &surround])]
    {
        let joined = join(dir.path(), &format!("{name}.ac3"), &parts);
        for container in ["ts", "mkv", "ac3"] {
            let file = format!("{name}-muxed.{container}");
            let samples = decode(&make(dir.path(), &file, &format!("-i {} -c copy", joined.display())));
            for start in [0.0, 11.0, 22.0] {
                let (off, alike) = find(&clip(), &samples, start);
                assert!(alike > 0.8 && off.abs() <= 0.06, "{file}: off by {off} ({alike}) at {start}");
            }
            assert!((seconds(&samples) - 33.0).abs() < 0.2, "{file}");
        }
    }
}

#[test]
fn sound_that_starts_after_its_picture_is_late_in_every_container() {
    let dir = TempDir::new().unwrap();
    let picture = "-f lavfi -i testsrc=s=64x64:r=25:d=8";
    for (name, codecs) in [
        ("late.ts", "-c:v mpeg2video -c:a aac"),
        // By default, ffmpeg analyses only what is before the sound of this file.
        ("late.mpg", "-c:v mpeg2video -c:a mp2"),
        ("late.mkv", "-c:v mpeg4 -c:a aac"),
        ("late.mp4", "-c:v mpeg4 -c:a aac"),
        ("late.mov", "-c:v mpeg4 -c:a pcm_s16le"),
        ("late.flv", "-c:v flv -c:a libmp3lame"),
    ] {
        let options = format!("{picture} -itsoffset 5 {} -ar 44100 -map 0:v -map 1:a {codecs}", input());
        let path = make(dir.path(), name, &options);
        assert_clip_at(name, &clip(), &decode(&path), &[5.0]);
        let duration = probe(&path, DAY).unwrap().duration.unwrap();
        assert!((duration - 8.0).abs() < 0.2, "{name}: {duration} s");
    }
}

#[test]
fn gaps_are_silence() {
    let dir = TempDir::new().unwrap();
    for (name, codec) in [
        ("gap.mkv", "aac"),
        ("gap.ts", "aac"),
        ("gap.mp4", "aac"),
        ("gap.webm", "libopus"),
        ("gap.ogg", "libopus"),
    ] {
        let options =
            format!("-stream_loop 1 {} -ar 48000 -af asetpts=PTS+gte(T\\,2.99)*7/TB -c:a {codec}", input());
        let samples = decode(&make(dir.path(), name, &options));
        assert_clip_at(name, &clip(), &samples, &[0.0, CLIP + 7.0]);
        assert!(loudness(&samples[52_000..150_000]) < 1e-3, "{name}");
    }
}

#[test]
fn times_that_are_negative_or_huge_or_wrap_count_from_their_start() {
    let dir = TempDir::new().unwrap();
    for (name, options) in [
        ("ten hours.ts", "-output_ts_offset 36000"),
        ("ten hours.mkv", "-output_ts_offset 36000"),
        // Times of 33 bits at 90 kHz wrap around a second after this one's start.
        ("wraps.ts", "-output_ts_offset 95441"),
        ("negative.mkv", "-output_ts_offset -1 -avoid_negative_ts disabled"),
        ("years.nut", "-output_ts_offset 1700000000"),
    ] {
        let path = make(dir.path(), name, &format!("{} -ar 44100 -c:a aac {options}", input()));
        assert_clip_at(name, &clip(), &decode(&path), &[0.0]);
    }
}

#[test]
fn a_step_of_days_or_backwards_is_a_change_of_the_clock() {
    let dir = TempDir::new().unwrap();
    let part = |name: &str, offset: u32| {
        make(dir.path(), name, &format!("{} -ar 44100 -c:a aac -output_ts_offset {offset}", input()))
    };
    let (early, late) = (part("early.ts", 0), part("late.ts", 50_000));
    let length = seconds(&decode(&early));
    for (name, parts) in
        [("forth.ts", [&early, &late]), ("back.ts", [&late, &early]), ("again.ts", [&early, &early])]
    {
        let path = join(dir.path(), name, &parts);
        assert_clip_at(name, &clip(), &decode(&path), &[0.0, length]);
        // The duration in the headers of such a file is the difference between two clocks.
        let duration = probe(&path, Duration::from_secs(60)).unwrap().duration.unwrap();
        assert!(duration < 60.0, "{name}: {duration} s");
    }

    // Hours of silence count towards the duration as sound does.
    let options = format!("-stream_loop 1 {} -af asetpts=PTS+gte(T\\,2.99)*7200/TB -c:a flac", input());
    let path = make(dir.path(), "two hours.mkv", &options);
    let chunks: Vec<_> = PcmStream::open(&path, Duration::from_secs(60)).unwrap().collect();
    assert_eq!(chunks.len(), 61);
    assert!(chunks[60].as_ref().unwrap_err().to_string().contains("lasts longer"));
    assert!(matches!(probe(&path, Duration::from_secs(60)), Err(MediaError::Unsupported(_))));
}

#[test]
fn an_edit_list_decides_what_is_played_and_when() {
    let dir = TempDir::new().unwrap();
    let whole = make(dir.path(), "whole.m4a", &format!("-stream_loop 1 {} -ar 44100 -c:a aac", input()));
    // Copied from within a packet, so that an edit list hides the samples before.
    let cut = make(dir.path(), "cut.m4a", &format!("-ss 1.49 -i {} -c copy", whole.display()));
    let samples = decode(&cut);
    let (off, alike) = find(&clip(), &samples, CLIP - 1.49);
    assert!(alike > 0.8 && off.abs() <= 0.06, "off by {off} ({alike})");
}

/// Telephones send no frames while nobody speaks, and ffmpeg decodes none for that time.
#[test]
fn pauses_of_a_telephone_keep_their_length() {
    let dir = TempDir::new().unwrap();
    let bare = dir.path().join("phone.amr");
    let mut sox = Command::new("sox");
    let run = sox.arg("-V1").arg(novel()).args(["-r", "8000", "-C", "7", "-t", "amr-nb"]).arg(&bare).output();
    assert!(run.expect("sox runs").status.success());
    assert_clip_at("phone.amr", &clip(), &decode(&bare), &[0.0]);
    let phone = make(dir.path(), "phone.3gp", &format!("-i {} -c copy", bare.display()));
    assert_clip_at("phone.3gp", &clip(), &decode(&phone), &[0.0]);
}

#[test]
fn of_several_programmes_the_first_keeps_its_own_zero() {
    let dir = TempDir::new().unwrap();
    let options = format!(
        "-itsoffset 500 {0} -f lavfi -i sine=r=44100:d=3 -map 0:a -map 1:a -ar 44100 -c:a aac \
         -program st=0 -program st=1",
        input()
    );
    let samples = decode(&make(dir.path(), "programmes.ts", &options));
    assert_clip_at("programmes", &clip(), &samples, &[0.0]);
}

#[test]
fn the_default_track_is_decoded() {
    let dir = TempDir::new().unwrap();
    let two = format!("-f lavfi -i anullsrc=r=44100:d=3 {} -map 0:a -map 1:a -ar 44100", input());
    for (name, options) in [
        ("default.mkv", "-disposition:a:0 0 -disposition:a:1 default"),
        ("default.mp4", "-disposition:a:0 0 -disposition:a:1 default"),
        ("described.mkv", "-disposition:a:0 default+visual_impaired -disposition:a:1 0"),
        ("comment.mkv", "-disposition:a:0 comment -disposition:a:1 0"),
    ] {
        let path = make(dir.path(), name, &format!("{two} -c:a aac {options}"));
        probe(&path, DAY).unwrap();
        assert_clip_at(name, &clip(), &decode(&path), &[0.0]);
    }
    // If no track is the default, it is the first.
    let first =
        format!("{} -f lavfi -i anullsrc=r=44100:d=3 -map 0:a -map 1:a -disposition:a 0 -c:a flac", input());
    assert_clip_at("first", &clip(), &decode(&make(dir.path(), "first.mkv", &first)), &[0.0]);
}

#[test]
fn a_track_that_cannot_be_decoded_is_skipped() {
    let dir = TempDir::new().unwrap();
    let two =
        format!("-f lavfi -i sine=d=3 {} -map 0:a -map 1:a -c:a:0 libmp3lame -c:a:1 flac -ar 44100", input());
    let path = make(dir.path(), "two.mka", &two);
    // The first track's codec is not the one named in the file.
    let (right, wrong) = (b"A_MPEG/L3", b"A_DTS\0\0\0\0");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(right.len()).position(|window| window == right).unwrap();
    bytes[at..at + right.len()].copy_from_slice(wrong);
    fs::write(&path, bytes).unwrap();
    probe(&path, DAY).unwrap();
    assert_clip_at("the second", &clip(), &decode(&path), &[0.0]);
}

#[test]
fn channels_do_not_cancel_or_weaken_each_other() {
    let dir = TempDir::new().unwrap();
    let loud = loudness(&clip());
    for (name, filter) in [
        ("inverted", "pan=stereo|c0=c0|c1=-1*c0"),
        ("half inverted", "pan=stereo|c0=c0|c1=-0.5*c0"),
        ("left only", "pan=stereo|c0=c0"),
        ("right only", "pan=stereo|c1=c0"),
        ("both", "pan=stereo|c0=c0|c1=c0"),
        ("centre", "pan=5.1|FC=c0"),
        ("inverted front", "pan=5.1|FL=c0|FR=-1*c0"),
        ("behind", "pan=7.1|BL=c0"),
        ("third of four", "pan=4c|c2=c0"),
        ("ninth of sixteen", "pan=16c|c8=c0"),
        ("constant", "pan=stereo|c0=c0|c1=-1*c0,dcshift=0.3"),
    ] {
        let path = make(dir.path(), &format!("{name}.wav"), &format!("{} -af {filter}", input()));
        probe(&path, DAY).unwrap();
        let mut samples = decode(&path);
        let mean = samples.iter().sum::<f32>() / samples.len() as f32;
        samples.iter_mut().for_each(|sample| *sample -= mean);
        assert_clip_at(name, &clip(), &samples, &[0.0]);
        let level = loudness(&samples) / loud;
        assert!((0.9..1.1).contains(&level), "{name} is {level} times as loud");
    }
}

/// ffmpeg has no mix for that many channels.
#[test]
fn one_microphone_of_twelve_is_not_lost() {
    let dir = TempDir::new().unwrap();
    let spoken = |sample: &f32| ((sample * 32768.0) as i16).to_le_bytes();
    let frame = |sample: &f32| [&[0; 16][..], &spoken(sample), &[0; 6]].concat();
    let raw = dir.path().join("raw");
    fs::write(&raw, clip().iter().flat_map(frame).collect::<Vec<u8>>()).unwrap();
    let path = make(dir.path(), "twelve.wav", &format!("-f s16le -ar 16000 -ac 12 -i {}", raw.display()));
    probe(&path, DAY).unwrap();
    assert_clip_at("twelve", &clip(), &decode(&path), &[0.0]);
}

#[test]
fn ordinary_sound_is_as_ffmpeg_mixes_it() {
    let dir = TempDir::new().unwrap();
    // Two voices in one room.
    let stereo = "-af pan=stereo|c0=0.7*c0|c1=0.5*c0,aecho=0.8:0.5:20|33:0.3|0.2";
    for (name, options, tolerance) in [
        ("mono.wav", "", 0.0),
        ("mono.mp3", "-ar 44100", 0.0),
        ("mono.flac", "-ar 48000 -af volume=0.3", 0.0),
        ("mono.m4a", "-ar 22050", 0.0),
        ("mono.opus", "", 0.0),
        ("stereo.wav", stereo, 1.0),
        ("stereo.mp3", &format!("-ar 44100 {stereo}"), 1.0),
        ("stereo.ogg", &format!("-ar 48000 {stereo}"), 1.0),
    ] {
        let path = make(dir.path(), name, &format!("{} {options}", input()));
        let raw = make(dir.path(), "raw.s16", &format!("-i {} -ac 1 -ar 16000 -f s16le", path.display()));
        let expected: Vec<f32> = fs::read(raw)
            .unwrap()
            .chunks_exact(2)
            .map(|bytes| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 32768.0)
            .collect();
        let samples = decode(&path);
        assert_eq!(samples.len(), expected.len(), "{name}");
        let differ =
            samples.iter().zip(&expected).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        assert!(differ * 32768.0 <= tolerance, "{name}: {}", differ * 32768.0);
    }
}

#[test]
fn files_without_a_header_of_their_length_and_over_four_gigabytes_are_read() {
    let dir = TempDir::new().unwrap();
    let vbr = make(dir.path(), "vbr.mp3", &format!("{} -ar 44100 -q:a 5 -write_xing 0", input()));
    assert_clip_at("vbr", &clip(), &decode(&vbr), &[0.0]);

    // Files of 37 hours of which only the beginning is written; the rest is a hole.
    let raw = make(dir.path(), "raw.s16", &format!("{} -ac 1 -ar 16000 -f s16le", input()));
    for (name, header) in [("long.wav", rf64()), ("long.w64", w64())] {
        let path = dir.path().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(&header).unwrap();
        file.write_all(&fs::read(&raw).unwrap()).unwrap();
        file.seek(SeekFrom::Start(header.len() as u64 + LONG_BYTES - 2)).unwrap();
        file.write_all(&[0, 0]).unwrap();
        drop(file);
        let duration = probe(&path, 2 * DAY).unwrap().duration.unwrap();
        assert!((duration - LONG_BYTES as f64 / 32_000.0).abs() < 1.0, "{name}: {duration} s");
        let stream = PcmStream::open(&path, 2 * DAY).unwrap();
        let start: Vec<f32> = stream.take(3).flat_map(|chunk| chunk.unwrap()).collect();
        let (off, alike) = find(&clip(), &start, 0.0);
        assert!(alike > 0.99 && off == 0.0, "{name}: {off} {alike}");
    }
}

/// The size of the samples: over four gigabytes of 16 kHz mono, 37 hours.
const LONG_BYTES: u64 = 0x1_0001_0000;

/// The `fmt ` chunk of 16 kHz mono.
fn format() -> Vec<u8> {
    [&b"\x01\0\x01\0"[..], &16_000_u32.to_le_bytes(), &32_000_u32.to_le_bytes(), b"\x02\0\x10\0"].concat()
}

/// A WAV file with 64-bit sizes (EBU Tech 3306).
fn rf64() -> Vec<u8> {
    let sizes = [
        &(LONG_BYTES + 72).to_le_bytes()[..],
        &LONG_BYTES.to_le_bytes(),
        &(LONG_BYTES / 2).to_le_bytes(),
        &[0; 4],
    ];
    [
        b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
        &sizes.concat()[..],
        b"fmt \x10\0\0\0",
        &format(),
        b"data\xff\xff\xff\xff",
    ]
    .concat()
}

/// Sony's Wave64: chunks named by GUIDs, with 64-bit sizes that count the names.
fn w64() -> Vec<u8> {
    let rest = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a";
    [
        &b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"[..],
        &(LONG_BYTES + 104).to_le_bytes(),
        b"wave",
        rest,
        b"fmt ",
        rest,
        &40_u64.to_le_bytes(),
        &format(),
        b"data",
        rest,
        &(LONG_BYTES + 24).to_le_bytes(),
    ]
    .concat()
}
