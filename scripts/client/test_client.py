"""The API guide's own Python client against a real server and a real video.

`api_guide.py` is the client exactly as the guide prints it. It polls with a session that its `async with` has closed
already, which aiohttp refuses ("Session is closed"): so it ends after the upload. Here it runs twice, each time
against a fresh server: as printed, and with its polling moved into the session's block. Only the server's port and
the webhook's address are replaced, so that a test never calls a stranger's site; `API_GUIDE_AS_PRINTED=1` leaves
them as they are, too, for a machine whose port 8000 is free.
"""

import http.server
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from service import SPEECH, Service

HERE = Path(__file__).resolve().parent
AS_PRINTED = os.environ.get("API_GUIDE_AS_PRINTED") == "1"


def make_video(path):
    """Thirty seconds or so of moving picture, and the five sentences of Sense and Sensibility."""
    sounds = sorted(SPEECH.glob("*.wav"))
    inputs = [argument for sound in sounds for argument in ("-i", sound)]
    joined = "".join(f"[{i + 1}:a]" for i in range(len(sounds))) + f"concat=n={len(sounds)}:v=0:a=1[sound]"
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=10", *inputs]
        + ["-filter_complex", joined, "-map", "0:v", "-map", "[sound]", "-pix_fmt", "yuv420p", "-shortest", path],
        check=True,
    )


def moved_into_session(client):
    """The polling loop, which the guide prints after the session's block, as part of it."""
    before, loop = client.split("    # Poll for completion\n")
    loop, after = loop.split("\n# Run the example")
    indented = re.sub(r"^(?=.)", "    ", loop, flags=re.MULTILINE)
    return f"{before}        # Poll for completion\n{indented}\n# Run the example{after}"


class Webhooks:
    """Receives webhooks on a port of its own and keeps their bodies."""

    def __init__(self):
        self.received = queue.Queue()
        received = self.received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()
                received.put((self.headers, json.loads(body)))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class ApiGuideClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        make_video(cls.folder / "large_video.mp4")

    def setUp(self):
        self.webhooks = Webhooks()
        self.addCleanup(self.webhooks.close)
        self.service = Service(self, port=8000 if AS_PRINTED else None)

    def run_client(self, client):
        if not AS_PRINTED:
            client = client.replace("http://localhost:8000", self.service.url)
            client = client.replace("https://myapp.com/webhook", self.webhooks.url)
        script = self.folder / "client.py"
        script.write_text(client)
        return subprocess.run([sys.executable, script], cwd=self.folder, capture_output=True, text=True, timeout=300)

    def assert_webhook_has_come(self):
        if AS_PRINTED:
            return
        headers, body = self.webhooks.received.get(timeout=120)
        self.assertIn("verbatim", headers["User-Agent"].lower())
        self.assertEqual(body["status"], "completed")
        self.assertIn("John Dashwood", body["result"]["transcript"])
        self.assertEqual(body["result"]["filename"], "large_video.mp4")
        self.assertEqual(body["result"]["source_type"], "video")
        result = self.service.get(f"/result/{body['job_id']}")
        self.assertEqual(result["result"], body["result"])

    def test_as_printed_it_uploads_and_its_webhook_comes(self):
        done = self.run_client((HERE / "api_guide.py").read_text())
        if done.returncode:
            self.assertIn("RuntimeError: Session is closed", done.stderr)
        else:
            self.assertIn("Transcription completed!", done.stdout)
        self.assert_webhook_has_come()

    def test_with_its_polling_inside_the_session_it_gets_the_transcript(self):
        done = self.run_client(moved_into_session((HERE / "api_guide.py").read_text()))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Transcription completed!", done.stdout)
        self.assertIn("Transcript: And Mr. John Dashwood", done.stdout)
        self.assert_webhook_has_come()


if __name__ == "__main__":
    unittest.main()
