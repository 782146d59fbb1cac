"""The time that one short clip takes a program that has started, Verbatim and its peers in turns, as Markdown.

Each system transcribes copies of the clip one after the other in one program; of its time, that of the same program on a
file with nothing in it is taken off, and the rest is divided by the copies. Every copy is read and computed anew.
"""

import argparse
import statistics
import tempfile

from recordings import Speech, seconds_of, silence
from systems import PEERS, add_arguments, compared, machine
from timings import over_peers, ratio, spread, table
from turns import measure

MODES = ["int8:4", "int8:5", "int8:1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, MODES, PEERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=11, help="how long the clip is (default: 11)")
    parser.add_argument("--copies", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speech = Speech(folder)
        path = speech.wav("clip", given.seconds)
        length = seconds_of(path)
        timings = measure(compared(given), [path] * given.copies, silence(folder), given.rounds)

    def each(times):
        return [seconds / given.copies for seconds in times.without_start()]

    print(
        f"Model {given.model}; {given.copies} copies of a clip of {length:.0f} s, {speech.what}, one after the other in one "
        f"program, its start taken off; median (least … most) of {given.rounds} rounds; {machine()}.\n"
    )
    ratios = over_peers(timings, each)
    rows = []
    for times in timings:
        real_time = f"{length / statistics.median(each(times)):.1f}"
        rows.append([times.name, spread(each(times), 3), real_time, *map(ratio, ratios[times.name])])
    heads = ["system", "seconds a clip", "times real time", "over the fastest peer", "over the fastest of this beam"]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
