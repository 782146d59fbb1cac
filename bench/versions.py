"""Two builds of Verbatim in turns, as Markdown: how long each takes, the ratio of every pair, and whether both say the same.

For a change that is to make nothing slower. Whole programs are timed, from their start to their end.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recordings import Speech
from systems import machine
from timings import spread, table


def transcribe(program, models, path):
    """The seconds that it took, and the result without what differs in every run."""
    command = [program, "transcribe", "--models-dir", models, "--language", "en", "--format", "json", path]
    begun = time.monotonic()
    run = subprocess.run(command, capture_output=True, check=True)
    seconds = time.monotonic() - begun
    result = json.loads(run.stdout)
    for varies in ("job_id", "processing_completed_at"):
        del result[varies]
    return seconds, result


def compare(name, path, given):
    times = {given.before: [], given.verbatim: []}
    same = True
    for turn in range(given.rounds):
        results = []
        for program, seconds in times.items():
            took, result = transcribe(program, given.models_dir, path)
            seconds.append(took)
            results.append(result)
        same &= results[0] == results[1]
        print(f"{name}: round {turn + 1} of {given.rounds}", file=sys.stderr)
    before, after = times[given.before], times[given.verbatim]
    ratios = [b / a for a, b in zip(before, after, strict=True)]
    middle = statistics.median(ratios)
    pairs = f"{middle:.3f} ({min(ratios):.3f} … {max(ratios):.3f})"
    return [name, spread(before, 2), spread(after, 2), pairs, "the same" if same else "different"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the program before the change")
    parser.add_argument("--verbatim", type=Path, default=Path("target/release/verbatim"), help="the program after it")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speech = Speech(folder)
        recordings = [("ten minutes", speech.wav("ten", 600)), ("a clip of 11 s", speech.wav("clip", 11))]
        rows = [compare(name, path, given) for name, path in recordings]
    print(f"{speech.what}; median (least … most) of {given.rounds} rounds; {machine()}.\n")
    print(table(["recording", "seconds before", "seconds after", "after over before, by pairs", "results"], rows))


if __name__ == "__main__":
    main()
