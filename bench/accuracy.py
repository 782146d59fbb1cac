"""Word error rate and speed over folders of speech, Verbatim beside faster-whisper, as Markdown.

Each folder has a manifest.tsv with the columns path, language (a code; zxx for no speech), duration_s, kind,
reference (the words, or a .txt or .words.tsv file in the folder) and note. Words are compared in lower case without
punctuation: English by Whisper's English normaliser, other languages by its basic one, Chinese and Japanese by
characters, Chinese in simplified script. Clips of kind "noise" hold no words: what is transcribed in them is counted
as invented, but not in clips whose note says SUNG. Clips without reference count for the speed alone.

The first table has a row for every system, so that greedy decoding stands beside greedy decoding and beams beside
beams. A hash of their names splits the clips into halves: constants of the engine are chosen on half 0 alone, so the rows
of half 1 tell what they are worth. The second table has the kinds and languages one by one.
"""

import argparse
import csv
import sys
import zlib
from collections import defaultdict
from pathlib import Path

import jiwer
from opencc import OpenCC
from systems import add_arguments, compared, machine
from timings import table
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

MODES = ["int8:1", "int8:4", "int8:5"]
PEERS = ["int8:1", "int8:1:8", "int8:5", "int8:5:8"]
BY_CHARACTER = {"zh", "ja"}
SHARED = Path(__file__).resolve().parents[2] / "shared"
NO_SPEECH = "zxx"


class Clip:
    def __init__(self, row, folder):
        self.path = folder / row["path"]
        self.language = row["language"]
        self.seconds = float(row["duration_s"] or 0)
        self.kind = row["kind"]
        self.reference = reference(row["reference"], folder)
        self.half = half_of_name(self.path.name)
        self.is_noise = row["kind"] == "noise" and "SUNG" not in (row["note"] or "")


def half_of_name(name):
    """A hash of it: 0 or 1."""
    return zlib.crc32(name.encode()) & 1


def reference(text, folder):
    if text.endswith(".txt"):
        return (folder / text).read_text()
    if text.endswith(".words.tsv"):
        with (folder / text).open(newline="") as words:
            return " ".join(row["word"] for row in csv.DictReader(words, delimiter="\t"))
    return "" if text.endswith((".rttm", ".stm")) else text


def clips_of(folder):
    with (folder / "manifest.tsv").open(newline="") as manifest:
        return [Clip(row, folder) for row in csv.DictReader(manifest, delimiter="\t")]


class Errors:
    """Counts the errors of texts against their references."""

    def __init__(self):
        self.english, self.basic = EnglishTextNormalizer(), BasicTextNormalizer()
        self.simplified = OpenCC("t2s")

    def words(self, text, language):
        # The model writes either script, whatever the reference has.
        text = self.simplified.convert(text) if language == "zh" else text
        normal = self.english(text) if language == "en" else self.basic(text)
        return list("".join(normal.split())) if language in BY_CHARACTER else normal.split()

    def count(self, clip, text):
        """(errors, words of the reference)"""
        wanted, transcribed = self.words(clip.reference, clip.language), self.words(text or "", clip.language)
        if not wanted or not transcribed:
            return len(wanted) + len(transcribed), len(wanted)
        found = jiwer.process_words(" ".join(wanted), " ".join(transcribed))
        return found.substitutions + found.deletions + found.insertions, len(wanted)


def groups_by_language(clips, detect):
    groups = defaultdict(list)
    for clip in clips:
        told = None if detect or clip.language == NO_SPEECH else clip.language
        groups[told].append(clip.path)
    return groups


def rate(errors, words):
    return f"{100 * errors / words:.1f} %" if words else "–"


def errors_of(transcribed, clips, errors):
    """(errors, words of the references) over clips"""
    counts = [errors.count(clip, transcribed.texts[clip.path]) for clip in clips]
    return sum(wrong for wrong, _ in counts), sum(words for _, words in counts)


def half_of(clips, number):
    return [clip for clip in clips if clip.half == number]


def summary(clips, transcribed_by_system, errors):
    """Rows of systems: English, all, long and by halves, the other languages, invented words, and speed."""
    referenced = [clip for clip in clips if clip.reference.strip()]
    english = [clip for clip in referenced if clip.language == "en"]
    others = [clip for clip in referenced if clip.language != "en"]
    columns = {
        "English": english,
        "of these long": [clip for clip in english if clip.kind == "long"],
        "English, half 0": half_of(english, 0),
        "English, half 1": half_of(english, 1),
        "other languages": others,
        "others, half 0": half_of(others, 0),
        "others, half 1": half_of(others, 1),
    }
    noise = [clip for clip in clips if clip.is_noise]
    audio = sum(clip.seconds for clip in clips)
    rows = []
    for name, transcribed in transcribed_by_system.items():
        rates = [errors_of(transcribed, chosen, errors) for chosen in columns.values()]
        invented = sum(len((transcribed.texts[clip.path] or "").split()) for clip in noise)
        cells = [f"{rate(wrong, words)} ({wrong})" for wrong, words in rates]
        rows.append([name, *cells, invented, f"{audio / transcribed.seconds:.1f}"])
    # The words, or characters, are the references', the same for every system.
    words = {name: sum(errors.count(clip, "")[1] for clip in chosen) for name, chosen in columns.items()}
    heads = ["system", *(f"{name}: {count} words" for name, count in words.items())]
    heads += [f"invented words: {sum(clip.seconds for clip in noise):.0f} s of noise", f"times real time: {audio:.0f} s"]
    print(table(heads, rows))


def details(clips, transcribed_by_system, errors):
    """Rows of kind and language, columns of systems."""
    rows = []
    for kind, language in sorted({(clip.kind, clip.language) for clip in clips if clip.reference.strip()}):
        chosen = [c for c in clips if (c.kind, c.language) == (kind, language) and c.reference.strip()]
        counts = [errors_of(transcribed, chosen, errors) for transcribed in transcribed_by_system.values()]
        rows.append([kind, language, len(chosen), counts[0][1], *(rate(*count) for count in counts)])
    print(table(["kind", "language", "clips", "words", *transcribed_by_system], rows))


def language_table(clips, transcribed_by_system):
    spoken = [clip for clip in clips if clip.language != NO_SPEECH]
    for name, transcribed in transcribed_by_system.items():
        right = sum(transcribed.languages[clip.path] == clip.language for clip in spoken)
        print(f"\n{name} told the language of {right} of {len(spoken)} clips.")


def worst(clips, transcribed, errors, count):
    """The clips with the most errors, for looking into them."""
    counted = [(errors.count(clip, transcribed.texts[clip.path]), clip) for clip in clips if clip.reference.strip()]
    for (wrong, words), clip in sorted(counted, key=lambda each: -each[0][0])[:count]:
        print(f"\n{wrong} of {words}: {clip.path}\n  {transcribed.texts[clip.path]}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, MODES, PEERS)
    parser.add_argument(
        "--speech",
        type=Path,
        nargs="+",
        default=[SHARED / "speech", SHARED / "speech-large"],
        help="folders of speech (default: %(default)s)",
    )
    parser.add_argument("--kind", help="only these kinds, with commas between")
    parser.add_argument("--detect", action="store_true", help="do not tell the systems the language")
    parser.add_argument("--worst", type=int, default=0, help="show so many of Verbatim's worst clips")
    given = parser.parse_args()
    folders = [folder for folder in given.speech if (folder / "manifest.tsv").is_file()]
    for folder in given.speech:
        if folder not in folders:
            print(f"accuracy: without {folder}, since it has no manifest.tsv; --speech names folders.", file=sys.stderr)
    if not folders:
        print("accuracy: skipped, since there is no folder of speech.")
        return
    clips = [clip for folder in folders for clip in clips_of(folder)]
    if given.kind:
        clips = [clip for clip in clips if clip.kind in given.kind.split(",")]
    groups = groups_by_language(clips, given.detect)
    transcribed = {}
    for system in compared(given):
        print(f"accuracy: {system.name} …", file=sys.stderr)
        transcribed[system.name] = system.transcribe(groups)
    errors = Errors()
    print(f"Model {given.model}; {machine()}.\n")
    print("Errors in a hundred words, and the number of errors:\n")
    summary(clips, transcribed, errors)
    print("\nErrors in a hundred words, by kind and language:\n")
    details(clips, transcribed, errors)
    if given.detect:
        language_table(clips, transcribed)
    worst(clips, next(iter(transcribed.values())), errors, given.worst)


if __name__ == "__main__":
    main()
