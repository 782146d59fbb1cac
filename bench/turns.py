"""Systems measured in turns, A B A B, so that what disturbs a machine for a while disturbs all of them."""

import sys

from timings import Timings


def measure(systems, paths, nothing, rounds):
    """The timings of every system over English files, and over a file with nothing in it for its start."""
    timings = [Timings(system.name, system.beam, system.is_peer) for system in systems]
    for turn in range(rounds):
        for system, times in zip(systems, timings, strict=True):
            # What lies on the disk is read before it counts: programs that ran meanwhile push files out of memory.
            system.transcribe({"en": [nothing]})
            times.start.append(system.transcribe({"en": [nothing]}).seconds)
            transcribed = system.transcribe({"en": paths})
            silent = [str(path) for path in paths if not transcribed.texts[path]]
            if silent:
                sys.exit(f"{system.name} found nothing in {', '.join(silent)}.")
            times.whole.append(transcribed.seconds)
            times.peak_megabytes = max(times.peak_megabytes, transcribed.peak_megabytes)
            took = f"{transcribed.seconds:.2f} s, start {times.start[-1]:.2f} s"
            print(f"round {turn + 1} of {rounds}: {system.name}: {took}", file=sys.stderr)
    return timings
