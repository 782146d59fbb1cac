"""Everything that is asked of speed, measured in one run and written as one report in Markdown.

Each section is a script of its own that also runs by itself. The report goes to the terminal as it is made and, whole,
to a file.
"""

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from systems import ROOT, add_verbatim_arguments

HERE = Path(__file__).resolve().parent
MANIFEST = ROOT / "Cargo.toml"
ROOFLINE = ["cargo", "bench", "--quiet", "--locked", "--manifest-path", str(MANIFEST), "--package", "verbatim-kernels"]
ROOFLINE += ["--bench", "roofline"]


def sections(given):
    """Titles and the commands that print what stands under them."""
    verbatim = ["--verbatim", given.verbatim, "--models-dir", given.models_dir, "--model", given.model]
    peers = ["--whisper-cpp", given.whisper_cpp]
    rounds = ["--rounds", given.rounds]
    return [
        ("Ten minutes of speech", script("speed.py", *verbatim, *peers, *rounds)),
        ("One short clip", script("clip.py", *verbatim, *peers, *rounds)),
        ("The service", script("service.py", *verbatim, *rounds)),
        ("Larger models", script("shapes.py", "--verbatim", given.verbatim, "--rounds", 1)),
        ("The English pipeline", script("english.py", *verbatim, *rounds)),
        ("Memory over hours", script("memory.py", *verbatim, "--hours", given.hours)),
        ("Where the time goes", script("stages.py", *verbatim)),
        ("What the machine could do", ROOFLINE),
    ]


def script(name, *arguments):
    return [sys.executable, str(HERE / name), *map(str, arguments)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_verbatim_arguments(parser)
    parser.add_argument("--whisper-cpp", type=Path, default=ROOT / "target/release/verbatim-bench-whisper-cpp")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hours", type=float, default=10, help="the longest recording (default: 10)")
    parser.add_argument("--output", type=Path, default=ROOT / "target/bench.md")
    given = parser.parse_args()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    failed = []
    with given.output.open("w") as report:

        def say(text):
            print(text, flush=True)
            print(text, file=report, flush=True)

        say(f"# Speed, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
        for title, command in sections(given):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            say(f"\n## {title}\n\n{done.stdout.strip()}")
            if done.returncode:
                failed.append(title)
                say(f"\nThis section is not whole: its script ended with status {done.returncode}.")
    if failed:
        sys.exit(f"Not everything could be measured: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
