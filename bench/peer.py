"""Runs faster-whisper over the files of a list: `peer.py ASKED ANSWER`, both JSON. See systems.py."""

import json
import sys
from pathlib import Path

from faster_whisper import BatchedInferencePipeline, WhisperModel

asked_path, answer_path = map(Path, sys.argv[1:])
asked = json.loads(asked_path.read_text())
model = WhisperModel(asked["model"], device="cpu", compute_type=asked["compute"], cpu_threads=2)
options = {"beam_size": asked["beam"]}
if asked["batch"]:
    transcribe, options = BatchedInferencePipeline(model).transcribe, options | {"batch_size": asked["batch"]}
else:
    transcribe, options = model.transcribe, options | {"vad_filter": True}

answer = []
for path, language in asked["files"]:
    try:
        segments, info = transcribe(path, language=language, **options)
        answer.append([path, "".join(segment.text for segment in segments), info.language])
    except Exception as error:
        print(f"{path}: {error!r}", file=sys.stderr)
        answer.append([path, None, None])
answer_path.write_text(json.dumps(answer))
