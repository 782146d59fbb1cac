"""Where the time of a transcription goes, stage by stage, as Markdown: what `verbatim transcribe --stages` says."""

import argparse
import subprocess
import sys
import tempfile

from recordings import Speech
from systems import Verbatim, add_verbatim_arguments, machine


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add_verbatim_arguments(parser)
    parser.add_argument("--mode", metavar="COMPUTE:BEAM", default="int8:4", help="default: int8:4")
    parser.add_argument("--seconds", type=float, default=600, help="how long the recording is (default: 600)")
    given = parser.parse_args()
    verbatim = Verbatim(given.verbatim, given.models_dir, given.model, *given.mode.split(":"))
    with tempfile.TemporaryDirectory() as folder:
        speech = Speech(folder)
        path = speech.wav("speech", given.seconds)
        command = [*verbatim.command, "--language", "en", "--format", "json", "--stages", str(path)]
        run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    print(f"{verbatim.name}, model {given.model}; {given.seconds:.0f} s of {speech.what}; {machine()}.\n")
    print(run.stderr.strip())


if __name__ == "__main__":
    main()
