"""OpenAI's own Python package, unchanged, against a real server with two models."""

import tempfile
import threading
import unittest
from pathlib import Path

import openai
from openai import OpenAI
from service import Service, speech


class OpenAiPackage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.speech = speech(cls.folder)
        cls.long = speech(cls.folder, "long.mp3", repeat=6)

    def setUp(self):
        self.service = Service(self, MAX_LOADED_MODELS="2")
        self.client = OpenAI(api_key="any", base_url=f"{self.service.url}/v1", max_retries=0)

    def transcribe(self, path=None, **options):
        options = {"model": "whisper-1"} | options
        with (path or self.speech).open("rb") as file:
            return self.client.audio.transcriptions.create(file=file, **options)

    def test_json_has_the_text_and_what_was_used(self):
        answer = self.transcribe(language="en")
        self.assertIn("John Dashwood", answer.text)
        self.assertEqual(answer.usage.type, "duration")
        self.assertGreater(answer.usage.seconds, 20)
        self.assertIsNone(answer.logprobs)
        with_logprobs = self.transcribe(include=["logprobs"])
        self.assertEqual("".join(one.token for one in with_logprobs.logprobs).strip(), with_logprobs.text)
        self.assertTrue(all(one.logprob <= 0 for one in with_logprobs.logprobs))
        self.assertEqual(bytes(map(int, with_logprobs.logprobs[0].bytes)).decode(), with_logprobs.logprobs[0].token)

    def test_text_and_subtitles_come_as_text(self):
        self.assertIn("John Dashwood", self.transcribe(response_format="text"))
        self.assertRegex(self.transcribe(response_format="srt"), r"^1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\n")
        self.assertTrue(self.transcribe(response_format="vtt").startswith("WEBVTT\n"))

    def test_verbose_json_has_segments_and_words_as_asked(self):
        answer = self.transcribe(response_format="verbose_json")
        self.assertEqual(answer.language, "english")
        self.assertAlmostEqual(answer.duration, 24, delta=3)
        self.assertIsNone(answer.words)
        self.assertEqual("".join(segment.text for segment in answer.segments).strip(), answer.text)
        self.assertEqual([segment.id for segment in answer.segments], list(range(len(answer.segments))))
        words = self.transcribe(response_format="verbose_json", timestamp_granularities=["word"])
        self.assertIsNone(words.segments)
        self.assertEqual(" ".join(word.word for word in words.words), words.text)
        both = self.transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
        self.assertTrue(both.words and both.segments)

    def test_a_stream_grows_to_the_text(self):
        events = list(self.transcribe(path=self.long, stream=True, response_format="json"))
        deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
        self.assertGreater(len(deltas), 1, "as windows end")
        self.assertEqual([event.type for event in events[len(deltas) :]], ["transcript.text.done"])
        self.assertEqual("".join(deltas), events[-1].text)
        self.assertGreater(events[-1].text.count("Dashwood"), 5)

    def test_models_are_listed_and_chosen_by_name(self):
        ids = [model.id for model in self.client.models.list()]
        self.assertIn("whisper-1", ids)
        self.assertLessEqual({"base", "tiny.en"}, set(ids))
        self.assertEqual(self.client.models.retrieve("tiny.en").id, "tiny.en")
        texts = {}

        def run(model):
            texts[model] = self.transcribe(model=model).text

        threads = [threading.Thread(target=run, args=(model,)) for model in ("base", "tiny.en")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertNotEqual(texts["base"], texts["tiny.en"])
        jobs = self.service.get("/jobs")["jobs"]
        used = [self.service.get(f"/result/{job['job_id']}")["result"]["models_used"]["whisper"] for job in jobs]
        self.assertEqual(sorted(used), ["base", "tiny.en"])
        self.assertEqual(self.service.get("/health")["models_loaded"]["recognizers"], ["base", "tiny.en"])
        with self.assertRaises(openai.NotFoundError) as refused:
            self.transcribe(model="huge")
        self.assertEqual((refused.exception.code, refused.exception.param), ("model_not_found", "model"))
        self.assertIn("huge", refused.exception.message)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("huge")

    def test_a_file_that_is_sent_again_joins_the_job_that_runs(self):
        impatient = self.client.with_options(timeout=2.0, max_retries=0)
        with self.assertRaises(openai.APITimeoutError), self.long.open("rb") as file:
            impatient.audio.transcriptions.create(file=file, model="whisper-1")
        self.assertIn("John Dashwood", self.transcribe(path=self.long).text)
        self.assertEqual(len(self.service.get("/jobs")["jobs"]), 1, "one job, though the first client went away")
        self.transcribe(path=self.long, response_format="verbose_json")
        self.assertEqual(len(self.service.get("/jobs")["jobs"]), 1, "its result is there")
        self.transcribe(path=self.long, prompt="A novel.")
        self.assertEqual(len(self.service.get("/jobs")["jobs"]), 2, "other options are another job")

    def test_translations_are_in_english(self):
        with self.speech.open("rb") as file:
            answer = self.client.audio.translations.create(file=file, model="base")
        self.assertIn("Dashwood", answer.text)
        with self.speech.open("rb") as file, self.assertRaises(openai.BadRequestError) as refused:
            self.client.audio.translations.create(file=file, model="tiny.en")
        self.assertIn("cannot translate", refused.exception.message)

    def test_what_cannot_be_done_is_told_in_openais_form(self):
        with self.assertRaises(openai.BadRequestError) as refused:
            self.client.audio.transcriptions.create(file=("a.mp3", b"no sound at all"), model="whisper-1")
        self.assertEqual(refused.exception.type, "invalid_request_error")
        self.assertIsNotNone(refused.exception.request_id)
        for options in ({"response_format": "diarized_json"}, {"language": "klingon"}, {"temperature": 7}):
            with self.assertRaises(openai.BadRequestError):
                self.transcribe(**options)
        self.assertEqual(self.service.get("/jobs")["jobs"], [])


if __name__ == "__main__":
    unittest.main()
