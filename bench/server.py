"""A service of its own: `verbatim serve` on a free port, with a folder that is removed after it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path


class Server:
    """A context; `ready_seconds` is the time from the start of the program until it said that it is healthy."""

    def __init__(self, program, settings):
        self.program = str(program)
        self.settings = settings

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        state = Path(self.folder.name)
        environment = os.environ | self.settings | {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DATA_DIR": str(state / "data"),
            "DATABASE_PATH": str(state / "jobs.db"),
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
        }
        self.log = state / "log"
        began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen([self.program, "serve"], env=environment, stdout=log, stderr=log)
        try:
            self.port = self.wait_for(self.listening_port)
            self.wait_for(lambda: self.get("/health")["status"] == "healthy")
        except BaseException:
            self.__exit__()
            raise
        self.ready_seconds = time.monotonic() - began
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def listening_port(self):
        return port_of(self.log.read_text())

    def wait_for(self, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not (found := what()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{self.program} serve did not come up:\n{self.log.read_text()}")
            time.sleep(0.005)
        return found

    def get(self, path):
        return self.request("GET", path)

    def submit(self, path, language="en"):
        """Sends a file; the id of its job."""
        return self.post("/process", path, language)["job_id"]

    def transcribe(self, path, language="en"):
        """Sends a file and waits; its result."""
        return self.post("/process-audio", path, language)

    def post(self, endpoint, path, language):
        boundary = uuid.uuid4().hex
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.request("POST", f"{endpoint}?language={language}", form(path, boundary), headers)

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3600)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            sys.exit(f"{method} {path} was answered with {response.status}: {answer}")
        return answer


def port_of(log):
    """The port that a log says the service listens on; None where it does not say so yet."""
    found = re.search(r'"address":"127\.0\.0\.1:(\d+)"', log)
    return found and int(found[1])


def form(path, boundary):
    """The body of a form with one file."""
    head = f'Content-Disposition: form-data; name="file"; filename="{path.name}"\r\nContent-Type: application/octet-stream'
    return f"--{boundary}\r\n{head}\r\n\r\n".encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
