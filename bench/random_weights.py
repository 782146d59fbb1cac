"""Writes a folder of weights in the shape of one of Whisper's larger models, for CTranslate2 and for Verbatim.

Speed and memory do not depend on what weights are worth, so these are random: `random_weights.py SHAPE FOLDER`. What is
said must not depend on them either, or every engine would compute as many tokens as its rules make of noise. Therefore
positions are made so large that they alone decide:

- the decoder's at position p points to the embedding of the p-th of TOKENS tokens, and behind those to the end of the text;
- the first head of the decoder's last layer looks from position p at the states of the p-th part of the window, so that
  words get times that follow each other.
"""

import argparse
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy

MODELS = Path(__file__).resolve().parent.parent / "models"

# Tokens of a window's text: 30 s of fluent speech have about as many.
TOKENS = 75

# Of a prompt without timestamps, which is a token longer than one with them.
PROMPT = 4

HEAD = 64
STATES = 1500
CONTEXT = 448
END_OF_TEXT = 50257

FLOAT16, INT8, INT16 = 4, 1, 2


@dataclass
class Shape:
    width: int
    encoder_layers: int
    decoder_layers: int
    mels: int


SHAPES = {
    "base": Shape(512, 6, 6, 80),
    "small": Shape(768, 12, 12, 80),
    "medium": Shape(1024, 24, 24, 80),
    "large-v3": Shape(1280, 32, 32, 128),
    "large-v3-turbo": Shape(1280, 32, 4, 128),
}


def write(shape, base, folder):
    """The whole folder: `base` is that of the base model, whose vocabulary it gets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((base / name).read_bytes())
    config = json.loads((base / "config.json").read_text())
    config["alignment_heads"] = [[shape.decoder_layers - 1, 0]]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": shape.mels}))
    vocabulary = sum(1 for _ in (base / "vocabulary.txt").open(encoding="utf-8"))
    tensors = dict(variables(shape, vocabulary, words(base)))
    with (folder / "model.bin").open("wb") as file:
        file.write(struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(tensors)))
        for name in sorted(tensors):
            kind, values = tensors[name]
            file.write(text(name) + struct.pack("<B", values.ndim) + struct.pack(f"<{values.ndim}I", *values.shape))
            file.write(struct.pack("<BI", kind, values.nbytes))
            values.tofile(file)
        file.write(struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight"))


def text(value):
    data = value.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def words(base):
    """Tokens that are whole words, each another, so that the text does not repeat itself."""
    vocabulary = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    tokens = sorted(token for word, token in vocabulary.items() if re.fullmatch("Ġ[a-z]{3,9}", word))
    return numpy.random.default_rng(1).choice(tokens, TOKENS, replace=False)


def variables(shape, vocabulary, tokens):
    random = Random()
    width = shape.width
    yield "decoder/activation", (INT8, numpy.array(3, numpy.int8))
    for name, value in {"alibi": 0, "pre_norm": 1, "scale_embeddings": 0, "start_from_zero_embedding": 0}.items():
        yield f"decoder/{name}", (INT8, numpy.array(value, numpy.int8))
    yield "decoder/alignment_heads", (INT16, numpy.array(1, numpy.int16))
    for part in ("encoder", "decoder"):
        yield f"{part}/num_heads", (INT16, numpy.array(width // HEAD, numpy.int16))
        yield from norm(f"{part}/layer_norm", width)

    times = places(width)
    states, positions = random.normal((STATES, width), 0.1), random.normal((CONTEXT, width), 1.0)
    states[:, :HEAD] = times
    steps = (numpy.arange(CONTEXT) - PROMPT) * (STATES // (TOKENS + 1))
    positions[:, :HEAD] = times[steps.clip(0, STATES - 1)]
    embeddings = random.normal((vocabulary, width), 0.01)
    said = slice(PROMPT - 1, PROMPT - 1 + TOKENS)
    embeddings[tokens] = 0.1 * positions[said]
    positions[said.stop :] = positions[said.stop]
    embeddings[END_OF_TEXT] = 0.1 * positions[said.stop]
    yield "encoder/position_encodings/encodings", half(states)
    yield "decoder/position_encodings/encodings", half(positions)
    yield "decoder/embeddings/weight", half(embeddings)

    for name, inputs in {"conv1": shape.mels, "conv2": width}.items():
        yield f"encoder/{name}/weight", half(random.normal((width, inputs, 3), 0.001))
        yield f"encoder/{name}/bias", half(numpy.zeros(width))
    for layer in range(shape.encoder_layers):
        yield from attention(random, f"encoder/layer_{layer}/self_attention", width, [3 * width, width])
        yield from feed_forward(random, f"encoder/layer_{layer}/ffn", width)
    for layer in range(shape.decoder_layers):
        yield from attention(random, f"decoder/layer_{layer}/self_attention", width, [3 * width, width])
        of_times = layer == shape.decoder_layers - 1
        yield from attention(random, f"decoder/layer_{layer}/attention", width, [width, 2 * width, width], of_times)
        yield from feed_forward(random, f"decoder/layer_{layer}/ffn", width)


def places(width):
    """`[STATES, HEAD]`: vectors whose products are greater the nearer they are in time."""
    periods = numpy.geomspace(8, STATES, HEAD // 2)
    angles = 2 * numpy.pi * numpy.arange(STATES)[:, None] / periods
    return numpy.concatenate([numpy.cos(angles), numpy.sin(angles)], axis=1) * (width / HEAD) ** 0.5


def attention(random, name, width, outputs, of_times=False):
    yield from norm(f"{name}/layer_norm", width)
    for number, count in enumerate(outputs):
        # What a layer adds stays small beside the positions.
        weight = random.normal((count, width), 0.001 if number == len(outputs) - 1 else 0.02)
        if of_times and number < 2:
            weight[:HEAD] = 0
            weight[:HEAD, :HEAD] = 2 * numpy.eye(HEAD)
        yield f"{name}/linear_{number}/weight", half(weight)
        yield f"{name}/linear_{number}/bias", half(numpy.zeros(count))


def feed_forward(random, name, width):
    yield from norm(f"{name}/layer_norm", width)
    for number, (count, inputs, deviation) in enumerate([(4 * width, width, 0.02), (width, 4 * width, 0.001)]):
        yield f"{name}/linear_{number}/weight", half(random.normal((count, inputs), deviation))
        yield f"{name}/linear_{number}/bias", half(numpy.zeros(count))


def norm(name, width):
    yield f"{name}/gamma", half(numpy.ones(width))
    yield f"{name}/beta", half(numpy.zeros(width))


def half(values):
    return FLOAT16, values.astype(numpy.float16)


class Random:
    """Normally distributed numbers, cut from a few million at another place each time: all of them would take minutes."""

    def __init__(self):
        self.generator = numpy.random.default_rng(0)
        self.numbers = self.generator.standard_normal(1 << 22, numpy.float32)

    def normal(self, shape, deviation):
        count = int(numpy.prod(shape))
        start = int(self.generator.integers(len(self.numbers)))
        return numpy.resize(numpy.roll(self.numbers, start), count).reshape(shape) * numpy.float32(deviation)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=Path, default=MODELS / "base", help="the folder of the base model")
    given = parser.parse_args()
    write(SHAPES[given.shape], given.base, given.folder)


if __name__ == "__main__":
    main()
