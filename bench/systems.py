"""The systems that are compared: each takes groups of files by language and gives their texts and the time.

Both run as a program of their own with two threads, and their time is that of the whole program, start and
loading of the model included. Verbatim is started once a language, since its command line takes one
language at a time; faster-whisper is started once in all.
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


@dataclass
class Heard:
    """What a system made of a set of files."""

    texts: dict  # path -> text; None where the file was refused
    languages: dict  # path -> language code
    seconds: float
    peak_megabytes: float


class Verbatim:
    def __init__(self, program, models_dir, model):
        self.name = "Verbatim"
        self.command = [str(program), "transcribe", "--models-dir", str(models_dir), "--whisper-model", model]

    def hear(self, groups):
        """`groups` maps a language code, or None for detecting it, to paths."""
        heard = Heard({}, {}, 0.0, 0.0)
        for language, paths in groups.items():
            with tempfile.TemporaryDirectory() as folder:
                self.hear_one_language(language, paths, Path(folder), heard)
        return heard

    def hear_one_language(self, language, paths, folder, heard):
        out = folder / "out"
        out.mkdir()
        links = []
        for number, path in enumerate(paths):
            links.append(folder / f"{number:04}{path.suffix}")
            links[-1].symlink_to(path.resolve())
        command = [*self.command, "--format", "json", "--output", str(out)]
        command += ["--language", language] if language else []
        seconds, peak = measured([*command, *map(str, links)], check=False)
        heard.seconds += seconds
        heard.peak_megabytes = max(heard.peak_megabytes, peak)
        for number, path in enumerate(paths):
            written = out / f"{number:04}.json"
            result = json.loads(written.read_text()) if written.is_file() else None
            heard.texts[path] = result and result["transcript"]
            heard.languages[path] = result and result["language_detection"]["language"]


class FasterWhisper:
    def __init__(self, models_dir, model, compute, beam, batch=0):
        how = f", batches of {batch}" if batch else ""
        self.name = f"faster-whisper 1.2.1, {compute}, beam {beam}{how}"
        self.asked = {
            "model": str(Path(models_dir) / model),
            "compute": compute,
            "beam": beam,
            "batch": batch,
        }

    def hear(self, groups):
        with tempfile.TemporaryDirectory() as folder:
            asked, answer = Path(folder) / "asked.json", Path(folder) / "answer.json"
            files = [[str(path), language] for language, paths in groups.items() for path in paths]
            asked.write_text(json.dumps(self.asked | {"files": files}))
            seconds, peak = measured([sys.executable, str(HERE / "peer.py"), str(asked), str(answer)])
            heard = json.loads(answer.read_text())
        texts = {Path(path): text for path, text, _ in heard}
        return Heard(texts, {Path(path): language for path, _, language in heard}, seconds, peak)


def measured(command, check=True):
    """Runs a program; gives its seconds and its peak resident memory in megabytes."""
    environment = os.environ | {"OMP_NUM_THREADS": "2", "LOG_LEVEL": "error"}
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if check and process.returncode:
        sys.exit(f"{command[0]} ended with status {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def compared(given):
    """The systems to compare, from the command line of a script."""
    systems = [Verbatim(given.verbatim, given.models_dir, given.model)]
    for peer in given.peer:
        compute, beam, batch = (peer.split(":") + ["0"])[:3]
        systems.append(FasterWhisper(given.models_dir, given.model, compute, int(beam), int(batch)))
    return systems


def add_arguments(parser, peers):
    root = HERE.parent
    parser.add_argument("--verbatim", type=Path, default=root / "target/release/verbatim")
    parser.add_argument("--models-dir", type=Path, default=Path(os.environ.get("MODELS_DIR") or root / "models"))
    parser.add_argument("--model", default="base")
    parser.add_argument(
        "--peer",
        action="append",
        metavar="COMPUTE:BEAM[:BATCH]",
        help=f"a configuration of faster-whisper; can be given several times (default: {' '.join(peers)})",
    )


def machine():
    """One line about where the numbers were measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    vnni = "with" if any("avx512_vnni" in line for line in lines) else "without"
    return f"{models[0] if models else 'unknown processor'}, {os.cpu_count()} cores, {vnni} AVX-512 VNNI"
