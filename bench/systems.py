"""The systems that are compared: each takes groups of files by language and gives their texts and the time.

Each runs as a program of its own with two threads, and its time is that of the whole program, start and
loading of the model included. Verbatim is started once a language, since its command line takes one
language at a time; the others are started once in all.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
THREADS = 2

# The configurations of the peers that are measured where nothing else is asked for.
PEERS = ["int8:1", "int8:5", "int8:1:8", "int8:5:8", "ggml-q8_0:1", "ggml-q8_0:5"]


@dataclass
class Transcribed:
    """What a system made of a set of files."""

    texts: dict  # path -> text; None where the file was refused
    languages: dict  # path -> language code
    seconds: float
    peak_megabytes: float


class Verbatim:
    is_peer = False

    def __init__(self, program, models_dir, model, compute, beam):
        self.name, self.beam = f"Verbatim, {compute}, beam {beam}", int(beam)
        self.command = [str(program), "transcribe", "--models-dir", str(models_dir), "--whisper-model", model]
        self.command += ["--threads", str(THREADS), "--compute-type", compute, "--beam-size", beam]

    def transcribe(self, groups):
        """`groups` maps a language code, or None for detecting it, to paths."""
        transcribed = Transcribed({}, {}, 0.0, 0.0)
        for language, paths in groups.items():
            with tempfile.TemporaryDirectory() as folder:
                self.transcribe_language(language, paths, Path(folder), transcribed)
        return transcribed

    def transcribe_language(self, language, paths, folder, transcribed):
        out = folder / "out"
        out.mkdir()
        links = []
        for number, path in enumerate(paths):
            links.append(folder / f"{number:04}{path.suffix}")
            links[-1].symlink_to(path.resolve())
        command = [*self.command, "--format", "json", "--output", str(out)]
        command += ["--language", language] if language else []
        seconds, peak = measured([*command, *map(str, links)], check=False)
        transcribed.seconds += seconds
        transcribed.peak_megabytes = max(transcribed.peak_megabytes, peak)
        for number, path in enumerate(paths):
            written = out / f"{number:04}.json"
            result = json.loads(written.read_text()) if written.is_file() else None
            transcribed.texts[path] = result and result["transcript"]
            transcribed.languages[path] = result and result["language_detection"]["language"]


class FasterWhisper:
    is_peer = True

    def __init__(self, models_dir, model, compute, beam, batch=0):
        how = f", batches of {batch}" if batch else ""
        self.name, self.beam = f"faster-whisper 1.2.1, {compute}, beam {beam}{how}", beam
        self.asked = {
            "model": str(Path(models_dir) / model),
            "compute": compute,
            "beam": beam,
            "batch": batch,
        }

    def transcribe(self, groups):
        transcribed, seconds, peak = answered([sys.executable, str(HERE / "peer.py")], self.asked, groups)
        return Transcribed(*by_path(transcribed), seconds, peak)


class WhisperCpp:
    is_peer = True

    def __init__(self, program, models_dir, model, kind, beam):
        self.name, self.beam = f"whisper.cpp 1.8.3, {kind}, beam {beam}", beam
        path = Path(models_dir) / f"ggml-{model}{'' if kind == 'f16' else '-' + kind}.bin"
        if not path.is_file():
            sys.exit(f"{path} is not there; `scripts/ggml/convert.py {model}:{kind}` writes it.")
        self.program = program
        self.asked = {"model": str(path), "threads": THREADS, "beam": beam}

    def transcribe(self, groups):
        transcribed, seconds, peak = answered([str(self.program)], self.asked, groups)
        return Transcribed(*by_path(transcribed["files"]), seconds, peak)


def answered(command, asked, groups):
    """What a program makes of a JSON file that names the groups' files, its seconds and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        asked_path, answer = Path(folder) / "asked.json", Path(folder) / "answer.json"
        files = [[str(path), language] for language, paths in groups.items() for path in paths]
        asked_path.write_text(json.dumps(asked | {"files": files}))
        seconds, peak = measured([*command, str(asked_path), str(answer)])
        return json.loads(answer.read_text()), seconds, peak


def by_path(transcribed):
    """Texts and languages of [path, text, language], each by path."""
    return {Path(path): text for path, text, _ in transcribed}, {Path(path): language for path, _, language in transcribed}


def measured(command, check=True):
    """Runs a program; gives its seconds and its peak resident memory in megabytes."""
    began = time.monotonic()
    process = started(command)
    usage = ended(process)
    seconds = time.monotonic() - began
    if check and process.returncode:
        sys.exit(f"{command[0]} ended with status {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def started(command):
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "LOG_LEVEL": "error"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def ended(process, wait=True):
    """What a program that has ended used; None while it runs, where that is not waited for."""
    pid, status, usage = os.wait4(process.pid, 0 if wait else os.WNOHANG)
    if pid == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def compared(given):
    """The systems to compare, from the command line of a script."""
    modes = [mode.split(":") for mode in given.mode]
    systems = [Verbatim(given.verbatim, given.models_dir, given.model, *mode) for mode in modes]
    peers = given.default_peers if given.peer is None else [peer for peer in given.peer if peer]
    for peer in peers:
        compute, beam, batch = (peer.split(":") + ["0"])[:3]
        if compute.startswith("ggml-"):
            kind = compute.removeprefix("ggml-")
            systems.append(WhisperCpp(given.whisper_cpp, given.models_dir, given.model, kind, int(beam)))
        else:
            systems.append(FasterWhisper(given.models_dir, given.model, compute, int(beam), int(batch)))
    return systems


def add_arguments(parser, modes, peers):
    """What a script that compares systems can be told; `compared` makes the systems of it."""
    add_verbatim_arguments(parser)
    parser.add_argument(
        "--mode",
        nargs="+",
        metavar="COMPUTE:BEAM",
        default=modes,
        help=f"configurations of Verbatim (default: {' '.join(modes)})",
    )
    parser.add_argument("--whisper-cpp", type=Path, default=ROOT / "target/release/verbatim-bench-whisper-cpp")
    parser.add_argument(
        "--peer",
        action="append",
        metavar="COMPUTE:BEAM[:BATCH]",
        help="a configuration of faster-whisper, or of whisper.cpp where COMPUTE is as in ggml-q8_0; can be given "
        f"several times, and once as '' for none (default: {' '.join(peers)})",
    )
    parser.set_defaults(default_peers=peers)


def add_verbatim_arguments(parser):
    parser.add_argument("--verbatim", type=Path, default=ROOT / "target/release/verbatim")
    parser.add_argument("--models-dir", type=Path, default=Path(os.environ.get("MODELS_DIR") or ROOT / "models"))
    parser.add_argument("--model", default="base")


def machine():
    """One line about where the numbers were measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    vnni = "with" if any("avx512_vnni" in line for line in lines) else "without"
    return f"{models[0] if models else 'unknown processor'}, {os.cpu_count()} cores, {vnni} AVX-512 VNNI"
