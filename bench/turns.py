"""Systems measured in turns, A B A B, so that what disturbs a machine for a while disturbs all of them."""

import sys

from timings import Timings


def measure(systems, paths, nothing, rounds):
    """The timings of every system over English files, and over a file with nothing in it for its start."""
    timings = [Timings(system.name, system.beam, system.is_peer) for system in systems]
    for turn in range(rounds):
        for system, times in zip(systems, timings, strict=True):
            times.start.append(system.hear({"en": [nothing]}).seconds)
            heard = system.hear({"en": paths})
            deaf = [str(path) for path in paths if not heard.texts[path]]
            if deaf:
                sys.exit(f"{system.name} heard nothing in {', '.join(deaf)}.")
            times.whole.append(heard.seconds)
            times.peak_megabytes = max(times.peak_megabytes, heard.peak_megabytes)
            took = f"{heard.seconds:.2f} s, start {times.start[-1]:.2f} s"
            print(f"round {turn + 1} of {rounds}: {system.name}: {took}", file=sys.stderr)
    return timings
