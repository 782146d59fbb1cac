"""Speed and memory on about ten minutes of speech, Verbatim and its peers in turns, as Markdown.

Every system is a program that is started anew for every measurement. Its start is measured by itself, on a file
with nothing in it, in the same rounds.
"""

import argparse
import statistics
import tempfile

from recordings import Speech, seconds_of, silence
from systems import PEERS, add_arguments, compared, machine
from timings import Timings, over_peers, ratio, spread, table
from turns import measure

MODES = ["int8:4", "int8:5", "int8:1"]


def whole_programs(timings, length):
    ratios = over_peers(timings, lambda times: times.whole)
    rows = []
    for times in timings:
        middle = statistics.median(times.whole)
        over = map(ratio, ratios[times.name])
        row = [times.name, spread(times.whole), f"{length / middle:.1f}"]
        rows.append([*row, *over, spread(times.start, 2), f"{times.peak_megabytes:.0f} MB"])
    heads = ["system", "seconds", "times real time", "over the fastest peer", "over the fastest of this beam"]
    return table([*heads, "start, seconds", "peak memory"], rows)


def started_programs(timings, length):
    ratios = over_peers(timings, Timings.without_start)
    rows = []
    for times in timings:
        without = times.without_start()
        over = map(ratio, ratios[times.name])
        rows.append([times.name, spread(without), f"{length / statistics.median(without):.1f}", *over])
    return table(["system", "seconds", "times real time", "over the fastest peer", "over the fastest of this beam"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, MODES, PEERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=600, help="how much speech (default: 600)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speech = Speech(folder)
        path = speech.wav("speech", given.seconds)
        length = seconds_of(path)
        timings = measure(compared(given), [path], silence(folder), given.rounds)
    print(f"Model {given.model}; {length:.0f} s of {speech.what};", end=" ")
    print(f"median (least … most) of {given.rounds} rounds; {machine()}.\n")
    print("Whole programs, from their start to their end; “start” is a whole program on a file with nothing in it:\n")
    print(whole_programs(timings, length))
    print("\nThe same runs, each less the start of its round:\n")
    print(started_programs(timings, length))


if __name__ == "__main__":
    main()
