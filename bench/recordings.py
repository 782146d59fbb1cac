"""The sound that is measured, made when it is asked for.

It is speech from the clips in ../shared/speech/long where that folder is there, else of the LibriVox sentences of
Debian's pocketsphinx-testdata and of espeak-ng reading a page, again and again.
"""

import subprocess
import wave
from pathlib import Path

SENTENCES = Path("/usr/share/pocketsphinx/test/data/librivox")
CLIPS = Path(__file__).resolve().parents[2] / "shared/speech/long"
PAGE = """The survey of the river began in the spring, when the water was high and the roads were bad. Every
morning the party left the town before six o'clock, with two boats and a mule, and every evening it came back with a
few more pages of numbers. In April they lost a boat at the second weir. Nobody was hurt, but eleven days of work went
down the river with it, and had to be done again. The surveyor wrote to the council that he would need more money,
and the council wrote back that he would need more patience."""

# whisper.cpp computes a window of 30 s for whatever is longer than 0.1 s, silent or not; the others compute nothing
# for silence of any length.
SILENCE_SECONDS = 0.08


class Speech:
    """Speech of any length, in files of a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        clips, self.what = self.sources()
        inputs = [argument for clip in clips for argument in ("-i", clip)]
        same = "".join(
            f"[{i}:a]aresample=16000,aformat=channel_layouts=mono,apad=pad_dur=0.5[a{i}];" for i in range(len(clips))
        )
        joined = "".join(f"[a{i}]" for i in range(len(clips))) + f"concat=n={len(clips)}:v=0:a=1[all]"
        self.once = self.folder / "once.wav"
        ffmpeg(*inputs, "-filter_complex", same + joined, "-map", "[all]", self.once)

    def sources(self):
        """Recordings to join, and what they are."""
        clips = sorted(path for path in CLIPS.glob("*") if path.suffix in {".mp3", ".opus", ".flac", ".wav"})
        if clips:
            return clips, "read speech from ../shared/speech/long"
        page = self.folder / "page.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-s", "160", "-w", page, PAGE], check=True)
        return [*sorted(SENTENCES.glob("*.wav")), page], "sentences from LibriVox and a page read by espeak-ng"

    def wav(self, name, seconds, start=0.0):
        """So many seconds from `start` on, 16 kHz mono."""
        path = self.folder / f"{name}.wav"
        # The start is a filter's, since an input that is repeated is sought anew each time.
        trim = f"atrim=start={start},asetpts=PTS-STARTPTS"
        ffmpeg("-stream_loop", "-1", "-i", self.once, "-af", trim, "-t", seconds, path)
        return path

    def mp3(self, name, seconds):
        """So many seconds, compressed: encoded once and repeated, so that hours are made in seconds."""
        once, path = self.folder / "once.mp3", self.folder / f"{name}.mp3"
        if not once.is_file():
            ffmpeg("-i", self.once, "-b:a", "32k", once)
        ffmpeg("-stream_loop", "-1", "-i", once, "-t", seconds, "-c", "copy", path)
        return path


def silence(folder):
    """The path of a file in which there is nothing to do."""
    path = Path(folder) / "silence.wav"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", SILENCE_SECONDS, path)
    return path


def seconds_of(path):
    """How long a wav file lasts."""
    with wave.open(str(path)) as sound:
        return sound.getnframes() / sound.getframerate()


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *map(str, arguments)], check=True)
