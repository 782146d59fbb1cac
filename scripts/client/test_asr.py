"""Calls of whisper-asr-webservice's clients, made as they make them: Bazarr's provider, and others with curl's forms."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from requests import ReadTimeout, Session
from service import Service, speech


def bare_samples(path):
    """A file's sound as Bazarr sends it: 16-bit samples, 16 kHz, mono, without a header."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-f", "s16le", "-acodec", "pcm_s16le", "-ac", "1"]
    return subprocess.run([*command, "-ar", "16000", "-af", "aresample=async=1", "-"], check=True, capture_output=True).stdout


class WhisperAsrWebservice(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.speech = speech(cls.folder)
        cls.samples = bare_samples(cls.speech)

    def setUp(self):
        self.service = Service(self)
        self.session = Session()
        self.addCleanup(self.session.close)

    def post(self, path, content, **query):
        files = {"audio_file": content}
        return self.session.post(f"{self.service.url}{path}", params=query, files=files, timeout=(5, 3600))

    def test_bazarr_tests_the_connection(self):
        self.assertIn("version", self.service.get("/status"))

    def test_bazarr_asks_for_the_language_and_gets_subtitles(self):
        detected = self.post("/detect-language", self.samples, encode="false").json()
        self.assertEqual((detected["detected_language"], detected["language_code"]), ("english", "en"))
        self.assertGreater(detected["confidence"], 0.5)
        self.assertEqual(self.service.get("/jobs")["jobs"], [], "no job was made")
        query = {"task": "transcribe", "language": "en", "output": "srt", "encode": "false"}
        answer = self.post("/asr", self.samples, **query)
        self.assertEqual(answer.status_code, 200)
        self.assertRegex(answer.text, r"^1\n00:00:0\d,\d{3} --> ")
        self.assertIn("John Dashwood", answer.text)
        self.assertIn("attachment; filename*=UTF-8''", answer.headers["Content-Disposition"])

    def test_silence_has_no_language(self):
        detected = self.post("/detect-language", bytes(16000 * 2 * 3), encode="false").json()
        self.assertEqual(detected, {"detected_language": "und", "language_code": "und", "confidence": 0.0})

    def test_an_error_is_an_empty_body_where_subtitles_are_asked_for(self):
        for query in ({"output": "srt"}, {"output": "srt", "language": "klingon", "encode": "false"}):
            answer = self.post("/asr", b"no sound at all", **query)
            self.assertGreaterEqual(answer.status_code, 400)
            self.assertEqual(answer.content, b"")
        told = self.post("/asr", b"no sound at all", output="json")
        self.assertEqual(list(told.json()), ["detail"])
        self.assertEqual(self.service.get("/jobs")["jobs"], [])

    def test_files_with_a_header_come_in_every_output(self):
        content = (self.speech.name, self.speech.read_bytes())
        query = {"vad_filter": "true", "unknown": "x", "model": "of another engine", "encode": "true"}
        self.assertIn("John Dashwood", self.post("/asr", content, **query).text)
        self.assertTrue(self.post("/asr", content, output="vtt").text.startswith("WEBVTT\n"))
        lines = self.post("/asr", content, output="tsv").text.splitlines()
        self.assertEqual(lines[0], "start\tend\ttext")
        start, end, text = lines[1].split("\t")
        self.assertLess(int(start), int(end))
        body = self.post("/asr", content, output="json", word_timestamps="true").json()
        self.assertEqual((body["language"], body["segments"][0]["text"].strip()), ("en", text))
        self.assertTrue(body["segments"][0]["words"])

    def test_a_client_that_goes_away_ends_its_work(self):
        long = speech(self.folder, "long.wav", repeat=30).read_bytes()
        for path, field in (("/asr", "audio_file"), ("/inference", "file")):
            with self.assertRaises(ReadTimeout):
                self.session.post(f"{self.service.url}{path}", files={field: ("a.wav", long)}, timeout=(5, 2))
            self.service.wait_until(lambda: self.service.get("/jobs")["jobs"][0]["status"] == "cancelled")

    def test_whisper_cpps_clients_are_answered(self):
        def infer(**fields):
            files = {"file": ("a.mp3", self.speech.read_bytes())}
            return self.session.post(f"{self.service.url}/inference", files=files, data=fields, timeout=600)

        fields = {"temperature": "0.0", "temperature_inc": "0.2", "response_format": "json"}
        self.assertIn("John Dashwood", infer(**fields).json()["text"])
        body = infer(response_format="verbose_json", language="auto").json()
        self.assertEqual((body["language"], body["detected_language"]), ("english", "english"))
        self.assertEqual(set(body["segments"][0]["words"][0]), {"word", "start", "end", "probability"})
        self.assertRegex(infer(response_format="srt").text, r"^1\n00:00:0")
        self.assertIn("error", infer(response_format="docx").json())


if __name__ == "__main__":
    unittest.main()
