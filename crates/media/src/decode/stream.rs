//! Decodes the sound of a file to a stream of samples, with an ffmpeg process that runs meanwhile.

use std::collections::VecDeque;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::packets::Packets;
use super::timeline::Timeline;
use crate::SAMPLE_RATE;
use crate::error::MediaError;
use crate::ffmpeg::{INPUT, Run, Tool, Tools, input_options, reason};
use crate::headers::{self, Track, Tracks};
use crate::limits::Limits;

/// Samples in a chunk: one second.
const CHUNK: usize = SAMPLE_RATE;

/// The size of the read buffer in bytes: the capacity of a pipe.
const PIPE_BYTES: usize = 64 << 10;

/// Processor time that ffmpeg always has, in seconds; more is added for the maximum duration.
const CPU_SECONDS: u64 = 60;

/// The minimum speed of decoding, as a multiple of real time. The slowest common codec (Monkey's Audio at its highest
/// level) decodes about 30 times as fast as real time.
const SLOWEST_SPEED: u64 = 4;

/// The sound of a file as 16 kHz mono samples in -1 … 1, in chunks of a second; the last is shorter. It is that of
/// the default track, or of the first that can be decoded. The same file always gives the same samples.
///
/// Blocks. Times are those of a player: if the sound starts late or has gaps, they are filled with silence. Channels
/// are mixed so that none cancels another. Dropping the stream ends ffmpeg.
///
/// An error is always the last item, and means that the sound must not be used: nothing could be decoded, the sound
/// is longer than allowed, or this machine is at fault. The [`io::Error`] contains a [`MediaError`] that says which.
/// A file that is damaged or truncated after some sound is no error: the stream ends with the sound, and
/// [`damage`](Self::damage) says why. To call that afterwards, iterate over `&mut stream`.
#[derive(Debug)]
pub struct PcmStream {
    tools: Tools,
    path: PathBuf,
    limits: Limits,
    /// The output of ffmpeg; `None` after it has ended.
    running: Option<Packets<BufReader<Run>>>,
    timeline: Timeline,
    /// Whether an error was returned, after which there are no items.
    failed: bool,
    /// The index of the track that is decoded.
    track: u32,
    /// Tracks to try if this one cannot be decoded.
    others: VecDeque<Track>,
    max_duration: Duration,
    samples: u64,
    damage: Option<String>,
}

impl PcmStream {
    /// Finds the file's tracks, and starts the installed ffmpeg.
    pub fn open(path: &Path, max_duration: Duration) -> Result<Self, MediaError> {
        Self::open_with(&Tools::installed()?, path, max_duration)
    }

    /// Like [`open`](Self::open), with other tools.
    pub fn open_with(tools: &Tools, path: &Path, max_duration: Duration) -> Result<Self, MediaError> {
        let limits = Limits::decoding(tools.timeouts());
        let tracks = headers::read(tools, path, &limits)?.info.tracks;
        Self::start(tools, path, tracks, max_duration, limits)
    }

    /// Starts the installed ffmpeg on tracks that a probe found.
    pub fn open_tracks(path: &Path, tracks: Tracks, max_duration: Duration) -> Result<Self, MediaError> {
        let tools = Tools::installed()?;
        let limits = Limits::decoding(tools.timeouts());
        Self::start(&tools, path, tracks, max_duration, limits)
    }

    /// Starts ffmpeg on the first track. If that cannot be decoded, the next is tried.
    pub(crate) fn start(
        tools: &Tools,
        path: &Path,
        Tracks(tracks): Tracks,
        max_duration: Duration,
        limits: Limits,
    ) -> Result<Self, MediaError> {
        let mut others = VecDeque::from(tracks);
        let Some(track) = others.pop_front() else {
            return Err(MediaError::Unsupported("The file has no sound.".to_owned()));
        };
        Ok(Self {
            running: Some(run_ffmpeg(tools, path, &track, max_duration, limits.clone())?),
            tools: tools.clone(),
            path: path.to_owned(),
            limits,
            timeline: Timeline::new(&track),
            track: track.index,
            others,
            failed: false,
            max_duration,
            samples: 0,
            damage: None,
        })
    }

    /// The index of the track that is decoded, among the file's streams.
    pub(crate) fn track(&self) -> u32 {
        self.track
    }

    /// The seconds of sound returned so far.
    pub fn seconds_read(&self) -> f64 {
        self.samples as f64 / SAMPLE_RATE as f64
    }

    /// The reason why the stream ended before the end of the file, as a sentence; `None` if it did not.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// The process id of ffmpeg while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.running.as_ref().map(|packets| packets.source().get_ref().id())
    }

    fn next_chunk(&mut self) -> Result<Option<Vec<f32>>, MediaError> {
        loop {
            let chunk = self.next_of_track();
            let undecodable = self.samples == 0 && matches!(chunk, Err(MediaError::Unsupported(_)));
            let next_track = if undecodable { self.others.pop_front() } else { None };
            let Some(track) = next_track else { return chunk };
            let limits = self.limits.clone();
            self.running = Some(run_ffmpeg(&self.tools, &self.path, &track, self.max_duration, limits)?);
            self.timeline = Timeline::new(&track);
            self.track = track.index;
        }
    }

    fn next_of_track(&mut self) -> Result<Option<Vec<f32>>, MediaError> {
        while let Some(packets) = &mut self.running
            && !self.timeline.fill(CHUNK)
        {
            match packets.next().map_err(|error| Tool::Ffmpeg.output_lost(&error))? {
                Some(packet) => self.timeline.push(packet),
                None => self.end()?,
            }
        }
        let chunk = self.timeline.take(CHUNK);
        if chunk.is_empty() {
            return Ok(None);
        }
        self.samples += chunk.len() as u64;
        if self.seconds_read() > self.max_duration.as_secs_f64() {
            return Err(MediaError::too_long(self.max_duration));
        }
        Ok(Some(chunk))
    }

    /// Called when ffmpeg has ended. Checks whether the sound is complete, damaged or missing.
    fn end(&mut self) -> Result<(), MediaError> {
        let Some(packets) = self.running.take() else { return Ok(()) };
        let ffmpeg = packets.into_source().into_inner();
        let (status, stderr) = ffmpeg
            .wait()
            .map_err(|error| MediaError::Tool(format!("ffmpeg could not be waited for: {error}.")))?;
        self.timeline.finish();
        let seconds = self.timeline.seconds();
        if seconds == 0.0 {
            let reason = failure(status, &stderr).or_else(|| reason(&stderr));
            return Err(MediaError::Unsupported(match reason {
                Some(reason) => format!("The file's sound cannot be decoded: {reason}."),
                None => "The file has a sound track, but it is empty.".to_owned(),
            }));
        }
        self.damage = failure(status, &stderr)
            .map(|reason| format!("The file's sound breaks off at {seconds:.1} s: {reason}."));
        Ok(())
    }
}

impl Iterator for PcmStream {
    type Item = io::Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let chunk = self.next_chunk();
        if chunk.is_err() {
            self.running = None;
            self.failed = true;
        }
        chunk.map_err(io::Error::other).transpose()
    }
}

/// Starts ffmpeg on one track. It resamples; times and channels are handled here.
fn run_ffmpeg(
    tools: &Tools,
    path: &Path,
    track: &Track,
    max_duration: Duration,
    limits: Limits,
) -> Result<Packets<BufReader<Run>>, MediaError> {
    let map = format!("0:{}", track.index);
    let count = track.channels.weights.len().to_string();
    let layout = track.channels.layout.as_ref().map(|layout| format!(":channel_layouts={layout}"));
    let form = format!("aformat=sample_fmts=s16:sample_rates=16000{}", layout.as_deref().unwrap_or_default());
    let mut args = vec!["-nostdin", "-hide_banner", "-threads", "1"];
    args.extend(input_options());
    // Keeps the times of the file.
    args.extend(["-copyts", "-vn", "-sn", "-dn", "-i", INPUT, "-map", &map, "-vn", "-sn", "-dn"]);
    args.extend(["-af", &form]);
    if track.channels.layout.is_none() {
        args.extend(["-ac", &count]);
    }
    args.extend(["-c:a", "pcm_s16le"]);
    args.extend(["-avoid_negative_ts", "disabled", "-f", "smjpeg", "pipe:1"]);
    let cpu_seconds = CPU_SECONDS + max_duration.as_secs() / SLOWEST_SPEED;
    let ffmpeg = tools.run(Tool::Ffmpeg, &args, path, cpu_seconds, limits)?;
    Ok(Packets::new(BufReader::with_capacity(PIPE_BYTES, ffmpeg), track.channels.weights.len()))
}

/// The reason why ffmpeg failed; `None` if it did not.
fn failure(status: ExitStatus, stderr: &str) -> Option<String> {
    if status.success() {
        return None;
    }
    Some(match status.code() {
        Some(_) => reason(stderr).unwrap_or_else(|| "ffmpeg gave up on it".to_owned()),
        None => "it takes too much time or memory to decode".to_owned(),
    })
}
