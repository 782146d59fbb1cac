"""Joins short clips to recordings of two and a half minutes, for `accuracy.py`: sentences with pauses between them, as most
recordings have, where a model may leave whole sentences out.

`joined.py FOLDER` writes recordings and a manifest.tsv. Each recording joins clips of one language, of English of one
source, and of one half, and its name falls into the same half. Pauses are from nothing to 6 s; under all of it lies the
quiet noise of a room.
"""

import argparse
import csv
import random
import subprocess
import wave
from collections import defaultdict
from itertools import cycle
from pathlib import Path

import numpy
from accuracy import SHARED, clips_of, half_of_name

RATE = 16000
SECONDS = 150

# How long the pauses of a recording are; each takes the next way.
PAUSES = [
    lambda chance: chance.uniform(0.1, 1.0),
    lambda chance: chance.uniform(0.0, 3.0),
    lambda chance: chance.choice([0.2, 0.5, 1.0, 1.5, 2.5, 6.0]),
]


def groups(clips):
    """Lists of clips that are to be joined, by the start of their recordings' names."""
    by_name = defaultdict(list)
    for clip in clips:
        if clip.kind == "short":
            by_name[clip.path.parent.name, clip.half].append(clip)
        elif clip.kind == "multilang":
            by_name[clip.language, clip.half].append(clip)
    return sorted(by_name.items())


def recordings(clips, chance):
    """Some clips after the other, up to the length of a recording."""
    clips = list(clips)
    chance.shuffle(clips)
    while clips:
        taken = []
        while clips and sum(clip.seconds for clip in taken) < SECONDS:
            taken.append(clips.pop())
        yield taken


def samples(path):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    return numpy.frombuffer(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout, numpy.float32)


def joined(clips, pause, chance):
    """The sound of clips and pauses, as 16-bit samples."""
    parts = []
    for clip in clips:
        parts += [samples(clip.path), numpy.zeros(int(RATE * pause(chance)), numpy.float32)]
    sound = numpy.concatenate(parts)
    noise = 10 ** chance.uniform(-3.6, -2.8)
    sound = sound + numpy.random.default_rng(1).normal(0, noise, len(sound))
    return (sound.clip(-1, 1) * 32767).astype("<i2")


def name_of(start, number, half):
    """A name whose hash falls into the half."""
    names = (f"{start}-{number}-{letter}.wav" for letter in "abcdefghijklmnopqrstuvwxyz")
    return next(name for name in names if half_of_name(name) == half)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--speech", type=Path, default=SHARED / "speech-large", help="where the clips are")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    chance, pauses = random.Random(5), cycle(PAUSES)
    with (given.folder / "manifest.tsv").open("w", newline="") as file:
        manifest = csv.writer(file, delimiter="\t")
        manifest.writerow(["path", "language", "duration_s", "kind", "reference", "note"])
        for (start, half), clips in groups(clips_of(given.speech)):
            for number, taken in enumerate(recordings(clips, chance)):
                sound = joined(taken, next(pauses), chance)
                path = given.folder / name_of(start, number, half)
                with wave.open(str(path), "wb") as out:
                    out.setparams((1, 2, RATE, len(sound), "NONE", ""))
                    out.writeframes(sound.tobytes())
                said = " ".join(clip.reference for clip in taken)
                manifest.writerow([path.name, taken[0].language, len(sound) / RATE, "joined", said, ""])


if __name__ == "__main__":
    main()
