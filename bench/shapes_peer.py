"""Times the encoder and the decoder of faster-whisper's model by themselves: `shapes_peer.py MODEL THREADS BEAM…`.

Prints, as JSON, `[beam, seconds of the encoder a window, milliseconds of the decoder a window and token]` of each beam, for
batches of 8 windows.
"""

import json
import sys
import time

import numpy
from faster_whisper import WhisperModel

WINDOWS = 8
FRAMES = 3000

path, threads, *beams = sys.argv[1:]
model = WhisperModel(path, device="cpu", compute_type="int8", cpu_threads=int(threads))
tokenizer = model.hf_tokenizer
prompt = [tokenizer.token_to_id(f"<|{name}|>") for name in ("startoftranscript", "en", "transcribe", "notimestamps")]
mels = model.feature_extractor.mel_filters.shape[0]
features = numpy.random.default_rng(0).standard_normal((WINDOWS, mels, FRAMES), numpy.float32)

timed = []
for beam in map(int, beams):
    began = time.monotonic()
    encoded = model.encode(features)
    encoder = (time.monotonic() - began) / WINDOWS
    began = time.monotonic()
    generated = model.model.generate(encoded, [prompt] * WINDOWS, beam_size=beam, max_length=448)
    decoder = time.monotonic() - began
    tokens = sum(len(each.sequences_ids[0]) for each in generated)
    timed.append([beam, encoder, 1000 * decoder / tokens])
print(json.dumps(timed))
