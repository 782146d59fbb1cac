"""scripts/models.py against a folder of small wheels in place of a package index."""

import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
import unittest
import zipfile
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "models.py"
FIRST, SECOND, CONFIG = b"first half, ", b"second half", b"{}"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def package_set(names, model_bin_sha256):
    """One [[model.packages]] of two packages that share model.bin between them."""
    first, second = names
    return f"""
[[model.packages]]
requirements = ["{first}==1.0", "{second}==1.0"]

[[model.packages.files]]
name = "model.bin"
sha256 = "{model_bin_sha256}"
members = ["{first}/part1", "{second}/part2"]

[[model.packages.files]]
name = "config.json"
sha256 = "{sha256(CONFIG)}"
members = ["{first}/config.json"]
"""


class Manifest(unittest.TestCase):
    """models.toml itself."""

    def setUp(self):
        text = (SCRIPT.parents[1] / "models.toml").read_text()
        self.models = {model["name"]: model for model in tomllib.loads(text)["model"]}

    def test_every_model_pins_its_weights(self):
        for name, model in self.models.items():
            if model.get("kind") == "spacy":  # its weights are spread over its folders
                for file in model["files"]:
                    self.assertRegex(file["sha256"], "^[0-9a-f]{64}$", (name, file["name"]))
                self.assertGreater(sum(file["bytes"] for file in model["files"]), 1_000_000, name)
                continue
            weights = [file for file in model["files"] if file["name"].endswith((".bin", ".onnx", ".safetensors"))]
            self.assertEqual(len(weights), 1, name)
            self.assertRegex(weights[0]["sha256"], "^[0-9a-f]{64}$", name)
            self.assertGreater(weights[0]["bytes"], 1_000_000, name)

    def test_every_file_from_a_package_has_its_hash(self):
        for name in ("base", "tiny.en", "silero-vad-v6", "all-minilm-l6-v2", "en_core_web_sm"):
            for package in self.models[name]["packages"]:
                for requirement in package["requirements"]:
                    self.assertRegex(requirement, r"^[a-z0-9-]+==[0-9.]+$")
                for file in package["files"]:
                    self.assertRegex(file["sha256"], "^[0-9a-f]{64}$", (name, file["name"]))
                    self.assertTrue(file["members"], (name, file["name"]))

    def test_no_file_leaves_the_models_folder(self):
        for model in self.models.values():
            sets = [model["files"]] + [package["files"] for package in model.get("packages", [])]
            for path in [model["directory"], *(file["name"] for files in sets for file in files)]:
                if model.get("kind") == "spacy":  # published in folders
                    self.assertTrue(all(path.split("/")), path)
                else:
                    self.assertNotIn("/", path)
                self.assertNotIn("..", path)


class ModelsScript(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.index = self.root / "index"
        self.index.mkdir()
        self.models = self.root / "models"
        self.write_manifest(package_set(("one", "two"), sha256(FIRST + SECOND)))

    def write_manifest(self, packages):
        (self.root / "models.toml").write_text(
            f"""
[[model]]
name = "small"
directory = "small"

[[model.files]]
name = "model.bin"
bytes = {len(FIRST + SECOND)}
sha256 = "{sha256(FIRST + SECOND)}"

[[model.files]]
name = "config.json"
{packages}"""
        )

    def publish(self, name, members):
        """A wheel with these members, as an index would serve it."""
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(self.index / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            for member, data in members.items():
                wheel.writestr(f"{name}/{member}", data)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    def publish_both(self, second=SECOND):
        self.publish("one", {"part1": FIRST, "config.json": CONFIG})
        self.publish("two", {"part2": second})

    def start_script(self, *names):
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index), "PIP_CONFIG_FILE": os.devnull}
        command = [sys.executable, SCRIPT, "--models-dir", self.models, "--manifest", self.root / "models.toml"]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, *names], env=os.environ | offline, **piped)

    def run_script(self, *names):
        process = self.start_script(*names)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def assert_whole(self):
        self.assertEqual((self.models / "small/model.bin").read_bytes(), FIRST + SECOND)
        self.assertEqual((self.models / "small/config.json").read_bytes(), CONFIG)
        self.assertFalse((self.models / ".downloads").exists())

    def test_a_model_is_joined_from_the_members_of_its_packages(self):
        self.publish_both()
        done = self.run_script("small")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_whole()

    def test_what_is_there_is_not_fetched_again(self):
        self.publish_both()
        self.run_script("small")
        for wheel in self.index.iterdir():
            wheel.unlink()
        done = self.run_script("small")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_a_file_that_was_changed_is_replaced(self):
        self.publish_both()
        self.run_script("small")
        (self.models / "small/model.bin").write_bytes(b"x" * len(FIRST + SECOND))
        done = self.run_script("small")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_whole()

    def test_a_wrong_hash_is_refused_and_leaves_nothing(self):
        self.publish_both(second=b"other bytes")
        done = self.run_script("small")
        self.assertEqual(done.returncode, 1)
        self.assertIn(sha256(FIRST + b"other bytes"), done.stderr)
        self.assertEqual(list((self.models / "small").iterdir()), [])

    def test_the_second_publisher_is_asked_where_the_first_fails(self):
        again = FIRST + b"written anew"
        first = package_set(("gone", "lost"), sha256(FIRST + SECOND))
        self.write_manifest(first + package_set(("one", "two"), sha256(again)))
        self.publish_both(second=b"written anew")
        done = self.run_script("small")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.models / "small/model.bin").read_bytes(), again)

    def test_a_package_that_was_fetched_is_kept_for_the_next_run(self):
        self.publish_both()
        two = self.index / "two-1.0-py3-none-any.whl"
        two.rename(self.root / two.name)
        self.assertEqual(self.run_script("small").returncode, 1)
        (self.root / two.name).rename(two)
        (self.index / "one-1.0-py3-none-any.whl").unlink()
        done = self.run_script("small")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_whole()

    def test_two_at_once_do_not_disturb_each_other(self):
        self.publish_both()
        both = [self.start_script("small") for _ in range(2)]
        errors = [process.communicate()[1] for process in both]
        self.assertEqual([process.returncode for process in both], [0, 0], errors)
        self.assert_whole()

    def test_an_unknown_name_is_told_with_the_known_ones(self):
        done = self.run_script("large")
        self.assertEqual(done.returncode, 1)
        self.assertIn("models.toml has no model large; it has small.", done.stderr)


if __name__ == "__main__":
    unittest.main()
