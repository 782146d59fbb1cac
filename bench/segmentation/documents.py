"""Documents whose boundaries are known: short passages joined as Choi (2000) joined them, and whole talks."""

import random
from dataclasses import dataclass

from texts import sentences

# Choi's sets: how many sentences a segment has, and how many documents there are. A document has ten segments.
SETS = {"3-11": (3, 11, 40), "3-5": (3, 5, 20), "6-8": (6, 8, 20), "9-11": (9, 11, 20)}
SEGMENTS = 10
# How often a segment comes from each of the sources.
SHARES = {"countries": 4, "novels": 3, "jargon": 2, "state": 1}

TALK_DOCUMENTS = 40
TALKS = (4, 9)
SHORTEST_TALK = 15  # sentences


@dataclass
class Document:
    name: str
    sentences: list[str]
    # The first sentence of every segment but the first.
    boundaries: list[int]


def joined(name, segments):
    boundaries, text = [], []
    for segment in segments:
        if text:
            boundaries.append(len(text))
        text += segment
    return Document(name, text, boundaries)


def choi(packages, seed):
    """The first 3 to 11 sentences of ten texts, drawn at random, no text twice in a document."""
    draw = random.Random(seed)
    sources = {
        source: [found for _, text in getattr(packages, source)() if len(found := sentences(text)) >= 11]
        for source in SHARES
    }
    for name, (fewest, most, count) in SETS.items():
        for number in range(count):
            chosen = draw.choices(list(SHARES), SHARES.values(), k=SEGMENTS)
            chosen = [s if chosen[: i + 1].count(s) <= len(sources[s]) else "countries" for i, s in enumerate(chosen)]
            left = {source: iter(draw.sample(texts, len(texts))) for source, texts in sources.items()}
            passages = [next(left[source])[: draw.randint(fewest, most)] for source in chosen]
            yield joined(f"choi {name} {number}", passages)


def talks(packages, seed):
    """Four to nine whole talks, one after another."""
    draw = random.Random(seed)
    given = [found for _, text in packages.talks() if len(found := sentences(text)) >= SHORTEST_TALK]
    for number in range(TALK_DOCUMENTS):
        yield joined(f"talks {number}", draw.sample(given, draw.randint(*TALKS)))
