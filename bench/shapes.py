"""Speed and memory of Whisper's larger models, Verbatim and faster-whisper in turns, as Markdown.

The weights are random (see random_weights.py), so the real ones need not be there; every window's text is the same
number of tokens for both.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from random_weights import SHAPES, TOKENS, write
from recordings import Speech, seconds_of, silence
from speed import started_programs, whole_programs
from systems import HERE, ROOT, THREADS, FasterWhisper, Verbatim, add_verbatim_arguments, machine
from timings import table
from turns import measure

MODES = ["1", "4"]
PEERS = [(1, 8), (5, 8)]


def systems(given, folder):
    ours = [Verbatim(given.verbatim, given.models_dir, str(folder), "int8", beam) for beam in MODES]
    return [*ours, *(FasterWhisper("/", folder, "int8", beam, batch) for beam, batch in PEERS)]


def parts(given, folder, path):
    """Seconds of the encoder a window, and milliseconds of the decoder a window and token, of either system."""
    rows = []
    for beam in MODES:
        verbatim = Verbatim(given.verbatim, given.models_dir, str(folder), "int8", beam)
        rows.append([verbatim.name, *parts_of_verbatim(verbatim, path)])
    command = [sys.executable, str(HERE / "shapes_peer.py"), str(folder), str(THREADS), *MODES]
    for beam, encoder, decoder in json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout):
        rows.append([f"faster-whisper 1.2.1, int8, beam {beam}, batches of 8", f"{encoder:.2f}", f"{decoder:.1f}"])
    return table(["system", "encoder, seconds a window", "decoder, ms a window and token"], rows)


def parts_of_verbatim(verbatim, path):
    command = [*verbatim.command, "--language", "en", "--format", "json", "--stages", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    stages = re.findall(r"^\| (\w+)[^|]*\| ([\d.]+) \|", run.stderr, re.MULTILINE)
    segments = json.loads(run.stdout)["whisper_segments"]
    windows = sum(len(segment["words"]) for segment in segments) / TOKENS
    spent = {part: sum(float(seconds) for stage, seconds in stages if stage == part) for part in ("encoder", "decoder")}
    encoder = spent["encoder"] / THREADS / windows
    decoder = 1000 * spent["decoder"] / THREADS / windows / TOKENS
    return f"{encoder:.2f}", f"{decoder:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_verbatim_arguments(parser)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=["small", "medium", "large-v3", "large-v3-turbo"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=240, help="how much speech (default: 240)")
    parser.add_argument("--folder", type=Path, default=ROOT / "target/shapes", help="where the weights are written")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        speech = Speech(temporary)
        path, nothing = speech.wav("speech", given.seconds), silence(temporary)
        print(f"{seconds_of(path):.0f} s of {speech.what}, int8, {TOKENS} tokens a window; median (least … most) of", end=" ")
        print(f"{given.rounds} rounds; {machine()}.\n")
        for shape in given.shape:
            folder = given.folder.resolve() / shape
            if not (folder / "model.bin").is_file():
                write(SHAPES[shape], given.models_dir / "base", folder)
            timings = measure(systems(given, folder), [path], nothing, given.rounds)
            print(f"The shape of {shape}:\n\n{whole_programs(timings, given.seconds)}\n")
            print(f"{started_programs(timings, given.seconds)}\n\n{parts(given, folder, path)}\n", flush=True)


if __name__ == "__main__":
    main()
