//! Stand-ins for ffprobe and ffmpeg that hang or try to escape are confined and ended.

use std::fs;
use std::hint::black_box;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::thread::disable_transparent_huge_pages;
use tempfile::TempDir;
use verbatim_media::{Enforced, MediaError, PcmStream, Timeouts, Tools, confinement};
use verbatim_testing::media::stand_in::{self, is_alive, task};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Timeouts that are long enough for a program that does not hang, and short enough for a test.
const SOON: Timeouts = Timeouts {
    probe: Duration::from_millis(1000),
    stall: Duration::from_millis(1000),
    exit: Duration::from_millis(300),
};

/// Timeouts longer than any test.
const NEVER: Timeouts = Timeouts { probe: DAY, stall: DAY, exit: DAY };

/// Installs the stand-in in `dir`, and finds it as a service does.
fn tools(dir: &Path, timeouts: Timeouts) -> Tools {
    stand_in::install(dir);
    Tools::find(dir.as_os_str()).expect("the stand-in runs").with_timeouts(timeouts)
}

#[test]
fn a_malicious_program_cannot_access_anything() {
    if !confinement().is_full() {
        return verbatim_testing::skip("the kernel has not all of Landlock, or no seccomp filters");
    }
    // The service's data may be installed beside the programs and their libraries.
    let dir = TempDir::new().unwrap();
    let prefix = dir.path().join("opt/verbatim");
    let (programs, libraries) = (prefix.join("bin"), prefix.join("lib"));
    let mut words = "escapes /etc/passwd /usr/lib/os-release /proc/self/status".to_owned();
    for secret in [&programs, &libraries, &prefix, &prefix.join("uploads")].map(|dir| dir.join("secret")) {
        fs::create_dir_all(secret.parent().unwrap()).unwrap();
        fs::write(&secret, "secret").unwrap();
        words.push_str(&format!(" {}", secret.display()));
    }
    let input = task(dir.path(), &words);
    let tools = tools(&programs, SOON);
    // A descriptor that was inherited by the service.
    let open = fs::File::open("/etc/passwd").unwrap();
    fcntl_setfd(open.as_fd(), FdFlags::empty()).unwrap();

    let mut sound = PcmStream::open_with(&tools, &input, DAY).unwrap();
    let error = sound.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("escaped by [] in "), "{error}");
    assert_eq!(fs::read_to_string(&input).unwrap(), words);
    drop(open);
}

#[test]
fn without_a_sandbox_the_same_program_escapes() {
    let dir = TempDir::new().unwrap();
    stand_in::install(dir.path());
    let secret = dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let input = task(dir.path(), &format!("escapes {}", secret.display()));
    let run = Command::new(dir.path().join("ffmpeg")).stdin(fs::File::open(input).unwrap()).output().unwrap();
    let stderr = String::from_utf8(run.stderr).unwrap();
    for escape in
        ["read ", "write ", "chmod ", "create ", "rename ", "fork", "tcp", "signal the parent", "execute"]
    {
        assert!(stderr.contains(escape), "{escape}: {stderr}");
    }
}

/// A file of a running process in /proc.
fn proc_file(pid: u32, what: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap()
}

#[test]
fn a_program_inherits_nothing_from_the_service() {
    let dir = TempDir::new().unwrap();
    let tools = tools(dir.path(), NEVER);
    let input = task(dir.path(), "stalls").canonicalize().unwrap();
    let mut sound = PcmStream::open_with(&tools, &input, DAY).unwrap();
    sound.next().unwrap().unwrap();

    let pid = sound.process_id().unwrap();
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(link("cwd"), Path::new("/"));
    assert_eq!(proc_file(pid, "environ"), "LANG=C\0");
    let mut open: Vec<_> =
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|fd| fd.unwrap().file_name()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    assert_eq!(link("fd/0"), input);
    let stat = proc_file(pid, "stat");
    let group = stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap();
    assert_eq!(group, pid.to_string());

    let status = proc_file(pid, "status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(field("SigBlk:"), "0".repeat(16));
    // Without the signals that a Rust program ignores by default.
    let own = 1_u64 << (rustix::process::Signal::PIPE.as_raw() - 1)
        | 1 << (rustix::process::Signal::TERM.as_raw() - 1);
    assert_eq!(u64::from_str_radix(&field("SigIgn:"), 16).unwrap() & !own, 0);
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:") == "2", confinement().network);
}

#[test]
fn starting_a_program_copies_no_memory_of_the_service() {
    const BYTES: usize = 32 << 20;
    let dir = TempDir::new().unwrap();
    let tools = tools(dir.path(), SOON);
    let input = task(dir.path(), "sounds");
    // In small pages: after a fork, each would cause a page fault.
    disable_transparent_huge_pages(true).unwrap();
    let mut memory = vec![1_u8; BYTES];
    disable_transparent_huge_pages(false).unwrap();

    let sound = PcmStream::open_with(&tools, &input, DAY).unwrap();
    assert_eq!(sound.map(|chunk| chunk.unwrap().len()).sum::<usize>(), 16_000);
    let before = page_faults();
    memory.iter_mut().step_by(1 << 10).for_each(|byte| *byte = 2);
    let faults = page_faults() - before;
    assert_eq!(black_box(memory)[0], 2);
    // A fork causes 8192, or 512 if pages are large.
    assert!(faults < 100, "{faults}");
}

/// The page faults of this thread so far, without those that read from a disk.
fn page_faults() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(7).unwrap().parse().unwrap()
}

#[test]
fn a_program_that_cannot_be_executed_is_reported_and_leaves_no_process() {
    let dir = TempDir::new().unwrap();
    stand_in::install(dir.path());
    let program = dir.path().join("ffmpeg");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Tools::find(dir.path().as_os_str()).unwrap_err().to_string();
    let expected = "does not run: executing the program failed: Permission denied (os error 13).";
    assert_eq!(error, format!("{} {expected}", program.display()));
    // A child that executed no program has the name of the thread that started it, and state Z until it is reaped.
    let unreaped = |stat: &String| {
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        stat.contains("(launcher) Z") && fields.nth(1) == Some(&std::process::id().to_string())
    };
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    assert_eq!(processes.filter(unreaped).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_confinement_is_serialised_by_name() {
    let json = serde_json::to_value(confinement()).unwrap();
    assert_eq!(json.as_object().unwrap().len(), 3);
    assert!(json["network"].is_boolean() && json["processes"].is_boolean());
    let files = json["files"].as_str().unwrap();
    assert_eq!(files == "full", confinement().files == Enforced::Full);
    assert!(["full", "partial", "none"].contains(&files));
}

#[test]
fn a_decoder_that_hangs_is_ended_with_a_sentence() {
    let dir = TempDir::new().unwrap();
    let tools = tools(dir.path(), SOON);
    for (words, seconds) in [("decoder-hangs", 0), ("stalls", 1)] {
        let mut sound = PcmStream::open_with(&tools, &task(dir.path(), words), DAY).unwrap();
        let pid = sound.process_id().unwrap();
        let chunks: Vec<_> = sound.by_ref().collect();
        let (error, sound) = chunks.split_last().unwrap();
        assert_eq!(sound.len(), seconds, "{words}");
        let error = error.as_ref().unwrap_err().get_ref().unwrap().downcast_ref::<MediaError>().unwrap();
        assert!(matches!(error, MediaError::Unsupported(_)), "{error:?}");
        assert!(error.to_string().ends_with("decoding it gave nothing for 1 seconds."), "{error}");
        assert!(!is_alive(pid), "{words}");
    }
}

#[test]
fn a_decoder_that_has_finished_but_does_not_exit_is_ended() {
    let dir = TempDir::new().unwrap();
    let tools = tools(dir.path(), Timeouts { exit: SOON.exit, ..NEVER });
    let mut sound = PcmStream::open_with(&tools, &task(dir.path(), "closes-output"), DAY).unwrap();
    let pid = sound.process_id().unwrap();
    assert_eq!(sound.by_ref().map(|chunk| chunk.unwrap().len()).sum::<usize>(), 16_000);
    assert!(!is_alive(pid));
    assert!(sound.damage().is_some());
}

#[test]
fn much_standard_error_does_not_block_the_output() {
    let dir = TempDir::new().unwrap();
    let tools = tools(dir.path(), NEVER);
    let sound = PcmStream::open_with(&tools, &task(dir.path(), "floods-stderr"), DAY).unwrap();
    assert_eq!(sound.map(|chunk| chunk.unwrap().len()).sum::<usize>(), 16_000);
}

#[test]
fn an_upgraded_installation_is_found_anew() {
    let dir = TempDir::new().unwrap();
    let tools: Tools = tools(dir.path(), SOON);
    // New files under the same names, as after an upgrade.
    for name in ["ffmpeg", "ffprobe"] {
        fs::rename(dir.path().join(name), dir.path().join(format!("{name}.old"))).unwrap();
    }
    stand_in::install(dir.path());
    let sound = PcmStream::open_with(&tools, &task(dir.path(), "sounds"), DAY).unwrap();
    assert_eq!(sound.map(|chunk| chunk.unwrap().len()).sum::<usize>(), 16_000);
}
