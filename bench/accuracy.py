"""Word error rate and speed over a folder of speech, Verbatim beside faster-whisper, as Markdown.

The folder has a manifest.tsv with the columns path, language (a code; zxx for no speech), duration_s, kind,
reference (the words, or a .txt file in the folder) and note. Words are compared in lower case without
punctuation: English by Whisper's English normaliser, other languages by its basic one, Chinese and Japanese by
characters. Clips of kind "noise" hold no words: what is heard in them is counted as invented, but
not in clips whose note says SUNG. Clips without reference count for the speed alone.
"""

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

import jiwer
from systems import add_arguments, compared, machine
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

PEERS = ["float32:1", "int8:5"]
BY_CHARACTER = {"zh", "ja"}
NO_SPEECH = "zxx"


class Clip:
    def __init__(self, row, folder):
        self.path = folder / row["path"]
        self.language = row["language"]
        self.seconds = float(row["duration_s"] or 0)
        self.kind = row["kind"]
        self.reference = reference(row["reference"], folder)
        self.is_noise = row["kind"] == "noise" and "SUNG" not in (row["note"] or "")


def reference(text, folder):
    if text.endswith(".txt"):
        return (folder / text).read_text()
    return "" if text.endswith((".rttm", ".stm")) else text


def clips_of(folder):
    with (folder / "manifest.tsv").open(newline="") as manifest:
        return [Clip(row, folder) for row in csv.DictReader(manifest, delimiter="\t")]


class Errors:
    """Counts the errors of texts against their references."""

    def __init__(self):
        self.english, self.basic = EnglishTextNormalizer(), BasicTextNormalizer()

    def words(self, text, language):
        normal = self.english(text) if language == "en" else self.basic(text)
        return list("".join(normal.split())) if language in BY_CHARACTER else normal.split()

    def count(self, clip, text):
        """(errors, words of the reference)"""
        wanted, heard = self.words(clip.reference, clip.language), self.words(text or "", clip.language)
        if not wanted or not heard:
            return len(wanted) + len(heard), len(wanted)
        found = jiwer.process_words(" ".join(wanted), " ".join(heard))
        return found.substitutions + found.deletions + found.insertions, len(wanted)


def groups_by_language(clips, detect):
    groups = defaultdict(list)
    for clip in clips:
        told = None if detect or clip.language == NO_SPEECH else clip.language
        groups[told].append(clip.path)
    return groups


def rate(errors, words):
    return f"{100 * errors / words:.1f} %" if words else "–"


def table(clips, heard_by_system, errors):
    """Rows of kind and language, columns of systems: word error rates, and invented words."""
    kinds = sorted({(clip.kind, clip.language) for clip in clips if clip.reference.strip()})
    systems = list(heard_by_system)
    print("| kind | language | clips | words |", *(f"{name} |" for name in systems))
    print("| --- | --- | --- | --- |", *("--- |" for _ in systems))
    totals = {name: [0, 0] for name in systems}
    for kind, language in kinds:
        chosen = [c for c in clips if (c.kind, c.language) == (kind, language) and c.reference.strip()]
        cells, words = [], 0
        for name in systems:
            counts = [errors.count(clip, heard_by_system[name].texts[clip.path]) for clip in chosen]
            wrong, words = sum(c[0] for c in counts), sum(c[1] for c in counts)
            cells.append(rate(wrong, words))
            if language == "en":
                totals[name][0] += wrong
                totals[name][1] += words
        print(f"| {kind} | {language} | {len(chosen)} | {words} |", *(f"{cell} |" for cell in cells))
    english = next(iter(totals.values()))[1]
    print(f"| **all** | en | | {english} |", *(f"**{rate(*totals[name])}** |" for name in systems))
    noise = [clip for clip in clips if clip.is_noise]
    invented = [
        sum(len((heard_by_system[name].texts[clip.path] or "").split()) for clip in noise) for name in systems
    ]
    print(f"| noise: invented words | | {len(noise)} | |", *(f"{count} |" for count in invented))
    audio = sum(clip.seconds for clip in clips)
    speeds = [audio / heard_by_system[name].seconds for name in systems]
    print(f"| {audio:.0f} s of audio: times real time | | {len(clips)} | |", *(f"{speed:.1f} |" for speed in speeds))


def language_table(clips, heard_by_system):
    spoken = [clip for clip in clips if clip.language != NO_SPEECH]
    for name, heard in heard_by_system.items():
        right = sum(heard.languages[clip.path] == clip.language for clip in spoken)
        print(f"\n{name} told the language of {right} of {len(spoken)} clips.")


def worst(clips, heard, errors, count):
    """The clips with the most errors, for looking into them."""
    counted = [(errors.count(clip, heard.texts[clip.path]), clip) for clip in clips if clip.reference.strip()]
    for (wrong, words), clip in sorted(counted, key=lambda each: -each[0][0])[:count]:
        print(f"\n{wrong} of {words}: {clip.path}\n  {heard.texts[clip.path]}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, ["int8:4"], PEERS)
    parser.add_argument("--speech", type=Path, default=Path(__file__).resolve().parents[2] / "shared/speech")
    parser.add_argument("--kind", help="only these kinds, with commas between")
    parser.add_argument("--detect", action="store_true", help="do not tell the systems the language")
    parser.add_argument("--worst", type=int, default=0, help="show so many of Verbatim's worst clips")
    given = parser.parse_args()
    given.peer = PEERS if given.peer is None else [peer for peer in given.peer if peer]
    if not (given.speech / "manifest.tsv").is_file():
        print(f"accuracy: skipped, since {given.speech}/manifest.tsv is not there; --speech names a folder.")
        return
    clips = clips_of(given.speech)
    if given.kind:
        clips = [clip for clip in clips if clip.kind in given.kind.split(",")]
    groups = groups_by_language(clips, given.detect)
    heard = {}
    for system in compared(given):
        print(f"accuracy: {system.name} …", file=sys.stderr)
        heard[system.name] = system.hear(groups)
    errors = Errors()
    print(f"Model {given.model}; {machine()}.\n")
    table(clips, heard, errors)
    if given.detect:
        language_table(clips, heard)
    worst(clips, next(iter(heard.values())), errors, given.worst)


if __name__ == "__main__":
    main()
