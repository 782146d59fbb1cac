//! Recordings to test with: real speech from Debian's pocketsphinx-testdata, everything else made by ffmpeg or
//! espeak-ng.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A few seconds of a novel, read by a woman.
pub fn novel() -> PathBuf {
    testdata("librivox/sense_and_sensibility_01_austen_64kb-0880.wav")
}

/// Another sentence of that novel, about Mr. John Dashwood.
pub fn dashwood() -> PathBuf {
    testdata("librivox/sense_and_sensibility_01_austen_64kb-0870.wav")
}

fn testdata(name: &str) -> PathBuf {
    let path = Path::new("/usr/share/pocketsphinx/test/data").join(name);
    assert!(path.exists(), "{} is missing: install pocketsphinx-testdata", path.display());
    path
}

/// Runs ffmpeg to make `name` in `dir`. The options are split at spaces.
pub fn make(dir: &Path, name: &str, options: &str) -> PathBuf {
    let path = dir.join(name);
    let run = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(options.split_whitespace())
        .arg(&path)
        .output()
        .expect("ffmpeg runs");
    assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
    path
}

/// A German announcement of a late train, by a synthetic voice.
pub fn german(dir: &Path) -> PathBuf {
    let path = dir.join("german.wav");
    let text = "Guten Morgen. Der Zug nach Hamburg fährt heute von Gleis sieben ab und hat etwa zehn Minuten \
                Verspätung. Wir bitten um Ihr Verständnis.";
    let mut espeak = Command::new("espeak-ng");
    let run = espeak.args(["-v", "de", "-s", "150", "-w"]).arg(&path).arg(text).output();
    assert!(run.expect("espeak-ng runs").status.success());
    path
}

/// A second of silence, 8 kB.
pub fn silence(dir: &Path) -> PathBuf {
    make(dir, "silence.wav", "-f lavfi -i anullsrc=r=8000:cl=mono -t 1 -c:a pcm_u8")
}

/// A video with the sound of [`novel`].
pub fn video(dir: &Path) -> PathBuf {
    let novel = novel();
    let options =
        format!("-f lavfi -i testsrc=s=64x64:r=5 -i {} -shortest -c:v mpeg4 -c:a aac", novel.display());
    make(dir, "novel.mp4", &options)
}
