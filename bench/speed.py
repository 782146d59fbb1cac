"""Speed and memory on about ten minutes of speech, Verbatim and its peers in turns, as Markdown.

The recording is made when this runs: of the clips in ../shared/speech/long where that folder is there, else of the
LibriVox sentences of Debian's pocketsphinx-testdata and of espeak-ng reading a page, again and again.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from systems import add_arguments, compared, machine

MODES = ["int8:4", "int8:5", "int8:1"]
PEERS = ["int8:1", "int8:5", "int8:1:8", "int8:5:8", "ggml-q8_0:1", "ggml-q8_0:5"]
SECONDS = 600
SENTENCES = Path("/usr/share/pocketsphinx/test/data/librivox")
SPEECH = Path(__file__).resolve().parents[2] / "shared/speech/long"
PAGE = """The survey of the river began in the spring, when the water was high and the roads were bad. Every
morning the party left the town before six o'clock, with two boats and a mule, and every evening it came back with a
few more pages of numbers. In April they lost a boat at the second weir. Nobody was hurt, but eleven days of work went
down the river with it, and had to be done again. The surveyor wrote to the council that he would need more money,
and the council wrote back that he would need more patience."""


def sources(folder):
    """Recordings to join, and what they are."""
    clips = sorted(path for path in SPEECH.glob("*") if path.suffix in {".mp3", ".opus", ".flac", ".wav"})
    if clips:
        return clips, "read speech from ../shared/speech/long"
    page = folder / "page.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "160", "-w", page, PAGE], check=True)
    return [*sorted(SENTENCES.glob("*.wav")), page], "sentences from LibriVox and a page read by espeak-ng"


def recording(folder):
    """(path, seconds, what it is)"""
    clips, what = sources(folder)
    inputs = [argument for clip in clips for argument in ("-i", str(clip))]
    same = "".join(f"[{i}:a]aresample=16000,aformat=channel_layouts=mono,apad=pad_dur=0.5[a{i}];" for i in range(len(clips)))
    joined = "".join(f"[a{i}]" for i in range(len(clips))) + f"concat=n={len(clips)}:v=0:a=1[all]"
    once, path = folder / "once.wav", folder / "speech.wav"
    ffmpeg = ["ffmpeg", "-nostdin", "-v", "error"]
    subprocess.run([*ffmpeg, *inputs, "-filter_complex", same + joined, "-map", "[all]", once], check=True)
    subprocess.run([*ffmpeg, "-stream_loop", "-1", "-i", once, "-t", str(SECONDS), path], check=True)
    return path, (path.stat().st_size - 78) / 32000, what


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, MODES, PEERS)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    given.peer = PEERS if given.peer is None else [peer for peer in given.peer if peer]
    systems = compared(given)
    seconds = {system.name: [] for system in systems}
    memory = dict.fromkeys(seconds, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        path, length, what = recording(Path(folder))
        for turn in range(given.rounds):
            for system in systems:
                heard = system.hear({"en": [path]})
                if not heard.texts[path]:
                    sys.exit(f"speed: {system.name} heard nothing")
                seconds[system.name].append(heard.seconds)
                memory[system.name] = max(memory[system.name], heard.peak_megabytes)
                print(f"speed: {turn + 1}. {system.name}: {heard.seconds:.1f} s", file=sys.stderr)
    print(f"Model {given.model}; {length:.0f} s of {what}; median of {given.rounds} turns; {machine()}.\n")
    print("| system | seconds | times real time | over the fastest peer | peak memory |\n| --- | --- | --- | --- | --- |")
    peers = [statistics.median(times) for name, times in seconds.items() if not name.startswith("Verbatim")]
    for name, times in seconds.items():
        middle = statistics.median(times)
        over = f"{min(peers) / middle:.2f}" if peers else ""
        spread = f"{middle:.1f} ({min(times):.1f} … {max(times):.1f})"
        print(f"| {name} | {spread} | {length / middle:.1f} | {over} | {memory[name]:.0f} MB |")


if __name__ == "__main__":
    main()
