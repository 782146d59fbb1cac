"""Whether the memory that a transcription takes grows with the recording, as Markdown.

`verbatim transcribe` works through ten minutes and through ten hours of the same speech repeated, both compressed.
Its peak resident memory is the system's own count at its end; what is resident meanwhile is looked at ten times a
second.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from recordings import Speech
from systems import Verbatim, add_verbatim_arguments, ended, machine, started
from timings import table

LOOK_EVERY = 0.1  # seconds
PARTS = 10


@dataclass
class Watched:
    seconds: float
    peak_megabytes: float
    resident: list  # megabytes, over time


def watched(command):
    """Runs a program and looks at its resident memory all the while."""
    began = time.monotonic()
    process, resident = started(command), []
    while not (usage := ended(process, wait=False)):
        time.sleep(LOOK_EVERY)
        megabytes = resident_megabytes(Path(f"/proc/{process.pid}/status").read_text())
        if megabytes:
            resident.append(megabytes)
    if process.returncode:
        sys.exit(f"{command[0]} ended with status {process.returncode}")
    return Watched(time.monotonic() - began, usage.ru_maxrss / 1024, resident)


def resident_megabytes(status):
    """VmRSS of a process's status; None for one that has ended."""
    lines = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0].split()[1]) / 1024 if lines else None


def parts(values, count):
    """Values in order, in so many parts of nearly the same size; none empty."""
    count = min(count, len(values))
    edges = [len(values) * i // count for i in range(count + 1)]
    return [values[a:b] for a, b in zip(edges, edges[1:], strict=False)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_verbatim_arguments(parser)
    parser.add_argument("--mode", metavar="COMPUTE:BEAM", default="int8:4", help="default: int8:4")
    parser.add_argument("--minutes", type=float, default=10, help="of the short recording (default: 10)")
    parser.add_argument("--hours", type=float, default=10, help="of the long recording (default: 10)")
    given = parser.parse_args()
    verbatim = Verbatim(given.verbatim, given.models_dir, given.model, *given.mode.split(":"))
    lengths = {f"{given.minutes:g} minutes": given.minutes * 60, f"{given.hours:g} hours": given.hours * 3600}
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        speech = Speech(folder)
        for name, seconds in lengths.items():
            path = speech.mp3(name.replace(" ", "-"), seconds)
            out = Path(folder) / f"{path.stem}.json"
            command = [*verbatim.command, "--max-media-duration", f"{seconds + 60:.0f}", "--language", "en"]
            run = runs[name] = watched([*command, "--format", "json", "--output", str(out), str(path)])
            path.unlink()
            print(f"{name}: {run.seconds:.1f} s, {run.peak_megabytes:.0f} MB", file=sys.stderr)
    print(f"{verbatim.name}, model {given.model}; {speech.what}, repeated; {machine()}.\n")
    print(table(["recording", "seconds", "peak memory"], [row(name, run) for name, run in runs.items()]))
    short, long = runs.values()
    print(f"\nDifference of the peaks: {long.peak_megabytes - short.peak_megabytes:+.0f} MB.")
    if not long.resident:
        return
    tenths = [round(statistics.median(part)) for part in parts(long.resident, PARTS)]
    print(f"Resident in each tenth of the long run, in order, median: {', '.join(map(str, tenths))} MB.")


def row(name, run):
    return [name, f"{run.seconds:.1f}", f"{run.peak_megabytes:.0f} MB"]


if __name__ == "__main__":
    main()
