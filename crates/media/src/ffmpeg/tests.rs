use std::fs;
use std::net::TcpListener;

use tempfile::TempDir;

use super::*;
use crate::limits::Limits;
use crate::sandbox;

/// Runs ffmpeg in the sandbox, but with options that a vulnerability in it could amount to.
fn escape(dir: &TempDir, args: &[&str]) -> String {
    let input = dir.path().join("input");
    fs::write(&input, "an input").unwrap();
    let args: Vec<&str> = ["-nostdin", "-v", "error"].iter().chain(args).copied().collect();
    let tools = Tools::installed().unwrap();
    let limits = Limits::decoding(tools.timeouts());
    let ffmpeg = tools.run(Tool::Ffmpeg, &args, &input, 10, limits).unwrap();
    let output = ffmpeg.output(4096).unwrap();
    assert!(!output.status.success());
    output.stderr
}

#[test]
fn the_kernel_keeps_ffmpeg_from_other_files_and_the_network() {
    if !sandbox::confinement().is_full() {
        verbatim_testing::skip("this kernel does not know all rules of Landlock, or no seccomp filters");
        return;
    }
    let dir = TempDir::new().unwrap();
    let secret = dir.path().join("secret.wav");
    fs::write(&secret, "RIFF").unwrap();
    let secret = secret.to_str().unwrap();
    for file in ["/etc/passwd", "/usr/lib/os-release", "/proc/self/environ", secret] {
        let stderr = escape(&dir, &["-i", file, "-f", "null", "-"]);
        assert!(stderr.contains("Permission denied"), "{file}: {stderr}");
    }
    let stolen = dir.path().join("stolen.wav");
    let tone = ["-f", "lavfi", "-i", "sine=duration=1", stolen.to_str().unwrap()];
    let stderr = escape(&dir, &tone);
    assert!(stderr.contains("Permission denied"), "{stderr}");
    assert!(!stolen.exists());

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    for protocol in ["tcp", "udp"] {
        let url = format!("{protocol}://{}", server.local_addr().unwrap());
        let stderr = escape(&dir, &["-i", &url, "-f", "null", "-"]);
        assert!(stderr.contains("Permission denied"), "{stderr}");
    }
    assert!(server.accept().is_err());
}
