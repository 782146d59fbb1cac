"""The service beside its own engine, and a short job beside long ones, as Markdown.

Several recordings are sent to a real service at once, over HTTP, and given to `verbatim transcribe` one after the
other, in turns. Then a short clip is sent to the service while it has nothing else to do, and again and again while
long recordings are being worked on. Every round has a service of its own.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from recordings import Speech, silence
from server import Server
from systems import THREADS, Verbatim, add_verbatim_arguments, machine
from timings import Timings, spread, table

LONG_JOBS = 3


def together(server, paths):
    """Seconds from sending all files until the last result is here."""
    with ThreadPoolExecutor(len(paths)) as clients:
        began = time.monotonic()
        results = list(clients.map(server.transcribe, paths))
        seconds = time.monotonic() - began
    if not all(result["transcript"] for result in results):
        sys.exit("The service found nothing in a recording.")
    return seconds


def alone(server, path):
    return together(server, [path])


def beside_long_jobs(server, short, longs):
    """Seconds for the short file, as often as it was done while every long one was being worked on."""
    jobs = [server.submit(path) for path in longs]
    times = []
    while any(not_yet_running(server.get(f"/status/{job}")) for job in jobs):
        time.sleep(0.02)
    while True:
        seconds = alone(server, short)
        if not all(server.get(f"/status/{job}")["status"] == "processing" for job in jobs):
            return times
        times.append(seconds)


def not_yet_running(job):
    """Whether a job is still to show its first progress; one that has ended never will."""
    return job["status"] in {"pending", "processing"} and not job["progress_percentage"]


def throughput(engine, service, jobs, minutes):
    rows = [
        ["`verbatim transcribe`, whole program", spread(engine.whole, 2), ""],
        ["`verbatim transcribe`, start taken off", spread(engine.without_start(), 2), "1.00"],
        ["the service", spread(service, 2), f"{over(service, engine.without_start()):.2f}"],
    ]
    return table([f"{jobs} recordings of {minutes:.1f} minutes", "seconds", "over the engine alone"], rows)


def fairness(idle, busy):
    rows = [
        ["alone", spread(idle, 2), "1.00", len(idle)],
        [f"while {LONG_JOBS} long jobs run", spread(busy, 2), f"{over(busy, idle):.2f}", len(busy)],
    ]
    return table(["one short job", "seconds", "over alone", "times measured"], rows)


def over(times, others):
    return statistics.median(times) / statistics.median(others)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_verbatim_arguments(parser)
    parser.add_argument("--mode", metavar="COMPUTE:BEAM", default="int8:4", help="default: int8:4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4, help="recordings at once (default: 4)")
    parser.add_argument("--seconds", type=float, default=300, help="how long each recording is (default: 300)")
    parser.add_argument("--long", type=float, default=600, help="seconds of each of the long jobs (default: 600)")
    parser.add_argument("--short", type=float, default=11, help="how long the short job is, in seconds (default: 11)")
    given = parser.parse_args()
    compute, beam = given.mode.split(":")
    verbatim = Verbatim(given.verbatim, given.models_dir, given.model, compute, beam)
    settings = {
        "MODELS_DIR": str(given.models_dir.resolve()),
        "WHISPER_MODEL": given.model,
        "THREADS": str(THREADS),
        "COMPUTE_TYPE": compute,
        "BEAM_SIZE": beam,
        "MAX_CONCURRENT_JOBS": str(max(given.jobs, LONG_JOBS + 1)),
    }
    engine = Timings(verbatim.name, verbatim.beam, is_peer=False)
    ready, service, idle, busy = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        speech = Speech(folder)
        paths = [speech.wav(f"speech{n}", given.seconds, start=37 * n) for n in range(given.jobs)]
        longs = [speech.wav(f"long{n}", given.long, start=53 * n) for n in range(LONG_JOBS)]
        short, nothing = speech.wav("short", given.short), silence(folder)
        for turn in range(given.rounds):
            engine.start.append(verbatim.transcribe({"en": [nothing]}).seconds)
            engine.whole.append(verbatim.transcribe({"en": paths}).seconds)
            with Server(given.verbatim, settings) as server:
                ready.append(server.ready_seconds)
                service.append(together(server, paths))
                idle += [alone(server, short) for _ in range(3)]
                busy += beside_long_jobs(server, short, longs)
            took = f"engine {engine.whole[-1]:.1f} s, service {service[-1]:.1f} s"
            print(f"round {turn + 1} of {given.rounds}: {took}", file=sys.stderr)
    if not busy:
        sys.exit("The long jobs ended before a short one did; --long makes them longer.")
    print(f"{verbatim.name}, model {given.model}; {speech.what};", end=" ")
    print(f"median (least … most) of {given.rounds} rounds; {machine()}.\n")
    print(throughput(engine, service, given.jobs, given.seconds / 60))
    print()
    print(fairness(idle, busy))
    print(f"\nFrom the start of `verbatim serve` until it is healthy, the model loaded: {spread(ready, 2)} s.")


if __name__ == "__main__":
    main()
