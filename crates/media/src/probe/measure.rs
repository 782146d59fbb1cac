//! Measures the duration of files whose headers lack it: live recordings by browsers, raw streams.

use std::path::Path;

use crate::ffmpeg::{INPUT, Tool, Tools, input_options};
use crate::limits::Limits;

/// Processor time, in seconds. Packets are counted without decoding, about as fast as the disk reads.
const CPU_SECONDS: u64 = 60;

/// The maximum output, in bytes. ffmpeg reports its progress twice a second, in about 200 bytes.
const REPORT_BYTES: u64 = 1 << 20;

/// The end of the last packet of the stream with this index, in seconds; `None` if that cannot be found in time.
pub(super) fn measure(tools: &Tools, path: &Path, index: u32, limits: Limits) -> Option<f64> {
    let map = format!("0:{index}");
    let mut args = vec!["-nostdin", "-hide_banner"];
    args.extend(input_options());
    args.extend(["-vn", "-sn", "-dn", "-i", INPUT, "-map", &map, "-c", "copy"]);
    args.extend(["-progress", "pipe:1", "-f", "null", "-"]);
    let ffmpeg = tools.run(Tool::Ffmpeg, &args, path, CPU_SECONDS, limits).ok()?;
    let output = ffmpeg.output(REPORT_BYTES).ok()?;
    output.status.success().then(|| last_time(&String::from_utf8_lossy(&output.stdout))).flatten()
}

/// The last time in ffmpeg's progress report, which consists of lines `key=value`, in seconds.
fn last_time(report: &str) -> Option<f64> {
    let last = report.lines().rev().find_map(|line| line.strip_prefix("out_time_us="))?;
    let microseconds: f64 = last.trim().parse().ok()?;
    (microseconds > 0.0).then_some(microseconds / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_of_a_report_is_the_duration() {
        let report = "out_time_us=1000000\nprogress=continue\nout_time_us=2500000\nprogress=end\n";
        assert_eq!(last_time(report), Some(2.5));
        assert_eq!(last_time("out_time_us=N/A\nprogress=end\n"), None);
        assert_eq!(last_time("out_time_us=-1\n"), None);
        assert_eq!(last_time(""), None);
    }
}
