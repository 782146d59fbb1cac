//! Prints the processor time of each stage of a run as a table.

use std::io::{self, Write};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use verbatim_kernels::stages::Stage;

/// Writes the seconds and the share of each stage of the engine, of ffmpeg's programs, of structuring, and of
/// everything else. `structure` is the time of structuring, which is not a stage of the engine.
pub(super) fn write(out: &mut impl Write, structure: Duration) -> io::Result<()> {
    let own = own_time();
    let children = processor_time(UsageWho::RUSAGE_CHILDREN);
    let known = Stage::ALL.into_iter().map(Stage::time).sum::<Duration>() + structure;
    let rows = [("decoding of the media (ffmpeg)", children)]
        .into_iter()
        .chain(Stage::ALL.into_iter().map(|stage| (stage.name(), stage.time())))
        .chain([("structure: sentences, topics, entities, keywords", structure)])
        .chain([("everything else", own.saturating_sub(known))]);
    let all = (known.max(own) + children).as_secs_f64().max(f64::MIN_POSITIVE);
    writeln!(out, "| stage | seconds of all threads | share |\n| --- | --- | --- |")?;
    for (name, time) in rows {
        let seconds = time.as_secs_f64();
        writeln!(out, "| {name} | {seconds:.2} | {:.1} % |", 100.0 * seconds / all)?;
    }
    Ok(())
}

/// The processor time of all threads of this process.
pub(super) fn own_time() -> Duration {
    processor_time(UsageWho::RUSAGE_SELF)
}

/// The processor time of this process, or of its child processes that have ended.
fn processor_time(whose: UsageWho) -> Duration {
    let seconds = |time: TimeVal| Duration::from_micros(time.num_microseconds().try_into().unwrap_or(0));
    getrusage(whose).map_or(Duration::ZERO, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}
