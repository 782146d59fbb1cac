"""A server of its own for a test: on a free port, with a database and a data folder that are removed afterwards.

VERBATIM names the program to test; the models are those of MODELS_DIR, or of this checkout.
"""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Service:
    """`verbatim serve`, which stops at the end of the test `case`."""

    def __init__(self, case, port=None, **settings):
        self.case = case
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        state = tempfile.TemporaryDirectory()
        case.addCleanup(state.cleanup)
        environment = {
            "PORT": str(self.port),
            "DATA_DIR": f"{state.name}/data",
            "DATABASE_PATH": f"{state.name}/jobs.db",
            "MODELS_DIR": os.environ.get("MODELS_DIR") or str(ROOT / "models"),
            "LOG_LEVEL": "warn",
        }
        self.process = subprocess.Popen([os.environ["VERBATIM"], "serve"], env=os.environ | environment | settings)
        case.addCleanup(self.stop)
        self.wait_until(lambda: self.get("/health")["status"])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.case.assertEqual(self.process.wait(timeout=30), 0)

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as response:
            return json.load(response)

    def wait_until(self, what, seconds=120):
        """Asks again until it gives something; the server's start and the job take their time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := what():
                    return found
            except OSError:
                pass
            self.case.assertIsNone(self.process.poll(), "the server has ended")
            self.case.assertLess(time.monotonic(), deadline, "this took too long")
            time.sleep(0.2)


def speech(folder, name="speech.mp3", repeat=1):
    """The five sentences of Sense and Sensibility in one file, 24 s long, so many times."""
    sounds = sorted(SPEECH.glob("*.wav")) * repeat
    listed = Path(folder) / "sounds.txt"
    listed.write_text("".join(f"file '{sound}'\n" for sound in sounds))
    path = Path(folder) / name
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", listed]
    subprocess.run([*command, "-b:a", "64k", path] if path.suffix == ".mp3" else [*command, path], check=True)
    return path
