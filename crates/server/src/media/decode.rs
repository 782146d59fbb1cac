//! The sound of a file as a stream of samples, from an ffmpeg that runs beside.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use verbatim_whisper::SAMPLE_RATE;

use super::MediaError;
use super::clock::Clock;
use super::confine::{Confined, INPUT, Tool, input_options, lost, reason};
use super::probe::too_long;
use super::tools::Tools;

/// Samples in a chunk: one second.
const CHUNK: usize = SAMPLE_RATE;

/// Processor seconds that an ffmpeg has whatever the limit of duration.
const CPU_SECONDS: u64 = 60;

/// Sound lasts at least this many times as long as it may take to decode. The slowest codec people have
/// (Monkey's Audio at its highest level) decodes some 30 times as fast as it sounds.
const SLOWEST_SPEED: u64 = 4;

/// The first audio stream of a file as 16 kHz mono samples, in chunks of a second (the last is shorter).
///
/// Blocking. Times are the original's: where the sound starts late or has gaps, silence fills them.
/// Dropping it ends ffmpeg.
///
/// An error item, always the last, means that the sound must not be used: nothing could be decoded, it
/// lasts longer than allowed, or this machine is at fault (the [`io::Error`] holds a [`MediaError`] that tells which). A file that is
/// damaged or cut off behind some sound is no error: the stream ends where the sound does, and
/// [`damage`](Self::damage) says so. To ask after the stream was used up, hand `&mut stream` on.
#[derive(Debug)]
pub struct PcmStream {
    /// `None` once it has ended.
    running: Option<Confined>,
    max_duration: Duration,
    samples: u64,
    damage: Option<String>,
}

impl PcmStream {
    /// Starts the installed ffmpeg.
    pub fn open(path: &Path, max_duration: Duration) -> Result<Self, MediaError> {
        Self::open_with(&Tools::installed()?, path, max_duration)
    }

    /// Starts another ffmpeg.
    pub fn open_with(tools: &Tools, path: &Path, max_duration: Duration) -> Result<Self, MediaError> {
        Self::start(tools, path, max_duration, Clock::decoding(tools.timeouts))
    }

    pub(super) fn start(
        tools: &Tools,
        path: &Path,
        max_duration: Duration,
        clock: Clock,
    ) -> Result<Self, MediaError> {
        let mut args = vec!["-nostdin", "-hide_banner", "-threads", "1"];
        args.extend(input_options());
        args.extend(["-vn", "-sn", "-dn", "-i", INPUT, "-map", "0:a:0", "-vn", "-sn", "-dn"]);
        // Keeps the original's times: fills late starts and gaps with silence.
        args.extend(["-af", "aresample=async=1:first_pts=0"]);
        args.extend(["-ac", "1", "-ar", "16000", "-f", "s16le", "pipe:1"]);
        let cpu_seconds = CPU_SECONDS + max_duration.as_secs() / SLOWEST_SPEED;
        let ffmpeg = Confined::spawn(tools, Tool::Ffmpeg, &args, path, cpu_seconds, clock)?;
        Ok(Self { running: Some(ffmpeg), max_duration, samples: 0, damage: None })
    }

    /// Seconds of sound given out so far.
    pub fn seconds_read(&self) -> f64 {
        self.samples as f64 / SAMPLE_RATE as f64
    }

    /// Once the stream has ended: why it ended before the file's end, as a sentence.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// ffmpeg's process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.running.as_ref().map(Confined::id)
    }

    fn next_chunk(&mut self) -> Result<Option<Vec<f32>>, MediaError> {
        let Some(ffmpeg) = &mut self.running else { return Ok(None) };
        let bytes = read_up_to(ffmpeg, CHUNK * 2).map_err(|error| lost(Tool::Ffmpeg, &error))?;
        let chunk: Vec<f32> = bytes.chunks_exact(2).map(sample).collect();
        if chunk.is_empty() {
            self.end()?;
            return Ok(None);
        }
        self.samples += chunk.len() as u64;
        if self.seconds_read() > self.max_duration.as_secs_f64() {
            return Err(too_long(self.max_duration));
        }
        Ok(Some(chunk))
    }

    /// ffmpeg has nothing more to give: was that all?
    fn end(&mut self) -> Result<(), MediaError> {
        let Some(ffmpeg) = self.running.take() else { return Ok(()) };
        let (status, complaints) = ffmpeg
            .wait()
            .map_err(|error| MediaError::Tool(format!("ffmpeg could not be waited for: {error}.")))?;
        if self.samples == 0 {
            let reason = failure(status, &complaints).or_else(|| reason(&complaints));
            return Err(MediaError::Unsupported(match reason {
                Some(reason) => format!("The file's sound cannot be decoded: {reason}."),
                None => "The file has a sound track, but it is empty.".to_owned(),
            }));
        }
        self.damage = failure(status, &complaints)
            .map(|reason| format!("The file's sound breaks off at {:.1} s: {reason}.", self.seconds_read()));
        Ok(())
    }
}

impl Iterator for PcmStream {
    type Item = io::Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.next_chunk();
        if chunk.is_err() {
            self.running = None;
        }
        chunk.map_err(io::Error::other).transpose()
    }
}

/// Why ffmpeg failed, if it did.
fn failure(status: ExitStatus, complaints: &str) -> Option<String> {
    if status.success() {
        return None;
    }
    Some(match status.code() {
        Some(_) => reason(complaints).unwrap_or_else(|| "ffmpeg gave up on it".to_owned()),
        None => "it takes too much time or memory to decode".to_owned(),
    })
}

/// Fills a buffer, which comes back shorter only at the end.
fn read_up_to(source: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(bytes);
    source.take(bytes as u64).read_to_end(&mut buffer)?;
    Ok(buffer)
}

fn sample(bytes: &[u8]) -> f32 {
    f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 32768.0
}
