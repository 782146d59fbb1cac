"""Word error rate and speed over a folder of speech, Verbatim beside faster-whisper, as Markdown.

The folder has a manifest.tsv with the columns path, language (a code; zxx for no speech), duration_s, kind,
reference (the words, or a .txt file in the folder) and note. Words are compared in lower case without
punctuation: English by Whisper's English normaliser, other languages by its basic one, Chinese and Japanese by
characters. Clips of kind "noise" hold no words: what is transcribed in them is counted as invented, but
not in clips whose note says SUNG. Clips without reference count for the speed alone.

The first table has a row for every system, so that greedy decoding stands beside greedy decoding and beams beside
beams; the second has the kinds and languages one by one.
"""

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

import jiwer
from systems import add_arguments, compared, machine
from timings import table
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

MODES = ["int8:1", "int8:4", "int8:5"]
PEERS = ["int8:1", "int8:1:8", "int8:5", "int8:5:8"]
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


def summary(clips, transcribed_by_system, errors):
    """Rows of systems: English, the other languages together, invented words, and speed."""
    referenced = [clip for clip in clips if clip.reference.strip()]
    english = [clip for clip in referenced if clip.language == "en"]
    others = [clip for clip in referenced if clip.language != "en"]
    noise = [clip for clip in clips if clip.is_noise]
    audio = sum(clip.seconds for clip in clips)
    rows = []
    for name, transcribed in transcribed_by_system.items():
        rates = [errors_of(transcribed, chosen, errors) for chosen in (english, others)]
        invented = sum(len((transcribed.texts[clip.path] or "").split()) for clip in noise)
        cells = [f"{rate(wrong, words)} ({wrong})" for wrong, words in rates]
        rows.append([name, *cells, invented, f"{audio / transcribed.seconds:.1f}"])
    # The words are the references', the same for every system.
    words = [sum(errors.count(clip, "")[1] for clip in chosen) for chosen in (english, others)]
    heads = ["system", f"English: {words[0]} words", f"other languages: {words[1]} words or characters"]
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
    parser.add_argument("--speech", type=Path, default=Path(__file__).resolve().parents[2] / "shared/speech")
    parser.add_argument("--kind", help="only these kinds, with commas between")
    parser.add_argument("--detect", action="store_true", help="do not tell the systems the language")
    parser.add_argument("--worst", type=int, default=0, help="show so many of Verbatim's worst clips")
    given = parser.parse_args()
    if not (given.speech / "manifest.tsv").is_file():
        print(f"accuracy: skipped, since {given.speech}/manifest.tsv is not there; --speech names a folder.")
        return
    clips = clips_of(given.speech)
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
