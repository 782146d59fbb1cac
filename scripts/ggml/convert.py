#!/usr/bin/env python3
"""Writes whisper.cpp's files from CTranslate2 folders: `convert.py tiny.en tiny.en:q8_0 base:q5_1`.

Each argument is a model's folder in the models folder and the type of its weights: f32, f16 (when not given), q8_0
or q5_1. The file is named as whisper.cpp's are: ggml-tiny.en.bin, ggml-tiny.en-q8_0.bin … What is there already
and newer than its model and this script stays as it is.

The tests read these files, and `make bench` gives them to whisper.cpp: both formats can then be compared on
one model, where nothing can be downloaded. `crates/whisper/src/weights/ggml.rs` says what such a file looks like.
"""

import argparse
import json
import os
import struct
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
MARK = 0x67676D6C
FFT_SIZE, SAMPLE_RATE = 400, 16000
BLOCK = 32

# The type's number as that of a tensor, and as that of a whole file. The version of the quantisation is 2.
TYPES = {"f32": (0, 0), "f16": (1, 1), "q8_0": (8, 2007), "q5_1": (7, 2009)}

# CTranslate2's types by their numbers.
ELEMENTS = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


class Model:
    """A CTranslate2 folder. `crates/whisper/src/weights/ctranslate2.rs` says what its model.bin looks like."""

    def __init__(self, folder):
        self.bytes = (folder / "model.bin").read_bytes()
        self.at = 0
        self.variables = {}
        version, name, _revision = self.number("<I"), self.string(), self.number("<I")
        if (version, name) != (6, "WhisperSpec"):
            sys.exit(f"convert: {folder}/model.bin is a {name} of version {version}, not a WhisperSpec of version 6.")
        for _ in range(self.number("<I")):
            name = self.string()
            shape = [self.number("<I") for _ in range(self.number("<B"))]
            element, length = ELEMENTS[self.number("<B")], self.number("<I")
            self.variables[name] = np.frombuffer(self.bytes, element, length // np.dtype(element).itemsize, self.at)
            self.variables[name] = self.variables[name].reshape(shape)
            self.at += length
        self.tokens = text_tokens(json.loads((folder / "tokenizer.json").read_text()))

    def number(self, form):
        (value,) = struct.unpack_from(form, self.bytes, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self):
        length = self.number("<H")
        self.at += length
        return self.bytes[self.at - length : self.at - 1].decode()

    def layers(self, half):
        return sum(name.startswith(f"{half}/layer_") and name.endswith("/ffn/linear_0/bias") for name in self.variables)


def text_tokens(tokenizer):
    """The bytes of the tokens before <|endoftext|>, in the order of their ids."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
    by_id = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    (end,) = (token["id"] for token in tokenizer["added_tokens"] if token["content"] == "<|endoftext|>")
    return [bytes(byte_of[character] for character in by_id[number]) for number in range(end)]


def mel_filters(bands):
    """Triangles with an area of one, evenly spaced on the mel scale of Slaney's Auditory Toolbox."""

    def hertz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top = 15 + np.log(SAMPLE_RATE / 2 / 1000) * 27 / np.log(6.4)
    corners = hertz(np.linspace(0, top, bands + 2))
    bins = np.linspace(0, SAMPLE_RATE / 2, FFT_SIZE // 2 + 1)
    low, centre, high = (corners[i : bands + i, None] for i in range(3))
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    return (np.maximum(triangles, 0) * 2 / (high - low)).astype("<f4")


def tensors(model):
    """(name as in OpenAI's checkpoints, values) of everything in the model."""
    variables = model.variables

    def both(to, source, weight="weight", bias="bias"):
        yield f"{to}.weight", variables[f"{source}/{weight}"]
        yield f"{to}.bias", variables[f"{source}/{bias}"]

    def split(to, source, parts):
        """CTranslate2 keeps the projections of one input together, and zeros for the keys' missing bias."""
        weights = np.split(variables[f"{source}/weight"], len(parts))
        biases = np.split(variables[f"{source}/bias"], len(parts))
        for part, weight, bias in zip(parts, weights, biases):
            yield f"{to}.{part}.weight", weight
            if part != "key":
                yield f"{to}.{part}.bias", bias
            elif bias.any():
                sys.exit(f"convert: {source}/bias has a bias for keys, which ggml files do not have.")

    def norm(to, source):
        return both(to, f"{source}/layer_norm", "gamma", "beta")

    for half in ("encoder", "decoder"):
        yield f"{half}.positional_embedding", variables[f"{half}/position_encodings/encodings"]
        for layer in range(model.layers(half)):
            to, source = f"{half}.blocks.{layer}", f"{half}/layer_{layer}"
            yield from norm(f"{to}.attn_ln", f"{source}/self_attention")
            yield from split(f"{to}.attn", f"{source}/self_attention/linear_0", ["query", "key", "value"])
            yield from both(f"{to}.attn.out", f"{source}/self_attention/linear_1")
            if half == "decoder":
                yield from norm(f"{to}.cross_attn_ln", f"{source}/attention")
                yield from both(f"{to}.cross_attn.query", f"{source}/attention/linear_0")
                yield from split(f"{to}.cross_attn", f"{source}/attention/linear_1", ["key", "value"])
                yield from both(f"{to}.cross_attn.out", f"{source}/attention/linear_2")
            yield from norm(f"{to}.mlp_ln", f"{source}/ffn")
            yield from both(f"{to}.mlp.0", f"{source}/ffn/linear_0")
            yield from both(f"{to}.mlp.2", f"{source}/ffn/linear_1")
    for convolution in ("conv1", "conv2"):
        yield f"encoder.{convolution}.weight", variables[f"encoder/{convolution}/weight"]
        yield f"encoder.{convolution}.bias", variables[f"encoder/{convolution}/bias"][:, None]
    yield from norm("encoder.ln_post", "encoder")
    yield from norm("decoder.ln", "decoder")
    yield "decoder.token_embedding.weight", variables["decoder/embeddings/weight"]


def type_of(name, values, wanted):
    """whisper.cpp wants vectors and positions in f32, and convolutions in f16 where the rest is quantised."""
    if values.ndim < 2 or values.shape[-1] == 1 or name.endswith("positional_embedding"):
        return "f32"
    return "f16" if values.ndim > 2 and wanted != "f32" else wanted


def encoded(values, kind):
    if kind == "f32":
        return values.astype("<f4").tobytes()
    if kind == "f16":
        return values.astype("<f2").tobytes()
    blocks = values.astype("<f4").reshape(-1, BLOCK)
    return q8_0(blocks) if kind == "q8_0" else q5_1(blocks)


def inverse(scale):
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def q8_0(blocks):
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    scaled = blocks * inverse(scale)
    rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype("<i1")
    return np.concatenate([scale.astype("<f2").view("<u1"), rounded.view("<u1")], axis=1).tobytes()


def q5_1(blocks):
    smallest = blocks.min(axis=1, keepdims=True)
    scale = (blocks.max(axis=1, keepdims=True) - smallest) / np.float32(31)
    steps = ((blocks - smallest) * inverse(scale) + np.float32(0.5)).astype("<u1")
    fifth_bits = ((steps >> 4).astype("<u4") << np.arange(BLOCK, dtype="<u4")).sum(axis=1, dtype="<u4", keepdims=True)
    nibbles = steps & 15
    halves = nibbles[:, : BLOCK // 2] | nibbles[:, BLOCK // 2 :] << 4
    parts = [scale.astype("<f2"), smallest.astype("<f2"), fifth_bits, halves]
    return np.concatenate([np.ascontiguousarray(part).view("<u1") for part in parts], axis=1).tobytes()


def header(model, kind):
    variables = model.variables
    vocabulary, width = variables["decoder/embeddings/weight"].shape
    mels = variables["encoder/conv1/weight"].shape[1]
    numbers = [MARK, vocabulary]
    for half in ("encoder", "decoder"):
        context = len(variables[f"{half}/position_encodings/encodings"])
        numbers += [context, width, int(variables[f"{half}/num_heads"]), model.layers(half)]
    return struct.pack("<12I", *numbers, mels, TYPES[kind][1]) + struct.pack("<2I", mels, FFT_SIZE // 2 + 1)


def write(model, kind, path):
    part = path.with_name(path.name + ".part")
    with part.open("wb") as out:
        out.write(header(model, kind))
        out.write(mel_filters(model.variables["encoder/conv1/weight"].shape[1]).tobytes())
        out.write(struct.pack("<I", len(model.tokens)))
        for token in model.tokens:
            out.write(struct.pack("<I", len(token)) + token)
        for name, values in tensors(model):
            own = type_of(name, values, kind)
            out.write(struct.pack("<3I", values.ndim, len(name), TYPES[own][0]))
            out.write(struct.pack(f"<{values.ndim}I", *reversed(values.shape)))
            out.write(name.encode() + encoded(values, own))
    part.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL[:TYPE]")
    parser.add_argument("--models-dir", type=Path, default=Path(os.environ.get("MODELS_DIR") or ROOT / "models"))
    given = parser.parse_args()
    loaded = {}
    for wanted in given.models:
        name, _, kind = wanted.partition(":")
        kind = kind or "f16"
        if kind not in TYPES:
            sys.exit(f"convert: there is no type {kind}; there are {', '.join(TYPES)}.")
        folder = given.models_dir / name
        path = given.models_dir / f"ggml-{name}{'' if kind == 'f16' else '-' + kind}.bin"
        newest = max(source.stat().st_mtime for source in (folder / "model.bin", Path(__file__)))
        if path.is_file() and path.stat().st_mtime > newest:
            continue
        if name not in loaded:
            loaded = {name: Model(folder)}
        write(loaded[name], kind, path)
        print(f"convert: {path} has {path.stat().st_size / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
