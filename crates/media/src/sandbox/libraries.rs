//! Finds the files that a program needs to start: itself, the dynamic linker, and the libraries that this loads.
//!
//! The linker is asked with `--list`, which those of glibc and musl both support: it alone knows where a distribution
//! keeps libraries. A statically linked program needs no other files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program header that names the dynamic linker (`PT_INTERP`).
const INTERPRETER: u32 = 3;

/// The maximum length of a path in the kernel.
const PATH_BYTES: u64 = 4096;

/// The files that a program needs to start, as absolute paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequiredFiles {
    /// The program and the dynamic linker.
    pub(super) executed: Vec<PathBuf>,
    /// The libraries.
    pub(super) read: Vec<PathBuf>,
}

impl RequiredFiles {
    /// Finds the files of a program by asking the dynamic linker. Blocks for about 10 ms.
    pub(crate) fn of(program: &Path) -> io::Result<Self> {
        let file = File::open(program)?;
        let mut required = Self { executed: vec![program.to_owned()], read: Vec::new() };
        if let Some(interpreter) = script_interpreter(&file)? {
            // A script needs the files of its interpreter, and may not start another program.
            let of_interpreter = Self::of(&interpreter)?;
            required.executed.extend(of_interpreter.executed);
            required.read = of_interpreter.read;
        } else if let Some(linker) = linker(&file)? {
            required.read = libraries(&linker, program)?;
            required.executed.push(linker);
        }
        Ok(required)
    }

    /// Whether all files still exist; an upgrade of the system may have replaced some.
    pub(crate) fn exist(&self) -> bool {
        self.executed.iter().chain(&self.read).all(|path| path.exists())
    }
}

/// The interpreter on the first line of a script.
fn script_interpreter(file: &File) -> io::Result<Option<PathBuf>> {
    let mut start = [0; 256];
    let length = file.read_at(&mut start, 0)?;
    let Some(line) = start[..length].strip_prefix(b"#!") else { return Ok(None) };
    let line = String::from_utf8_lossy(line);
    Ok(line.lines().next().and_then(|line| line.split_whitespace().next()).map(PathBuf::from))
}

/// The dynamic linker that a 64-bit ELF file names.
fn linker(file: &File) -> io::Result<Option<PathBuf>> {
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    if !header.starts_with(b"\x7fELF") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a program of this system"));
    }
    let u16_at = |bytes: &[u8], at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |bytes: &[u8], at: usize| u32::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
    let u64_at = |bytes: &[u8], at: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
    // e_phoff, e_phentsize and e_phnum; then p_type, p_offset and p_filesz of each program header.
    let (offset, size, count) = (u64_at(&header, 32), u16_at(&header, 54), u16_at(&header, 56));
    for index in 0..u64::from(count) {
        let mut entry = [0; 56];
        file.read_exact_at(&mut entry, offset.saturating_add(index * u64::from(size)))?;
        if u32_at(&entry, 0) == INTERPRETER {
            let mut path = vec![0; u64_at(&entry, 32).min(PATH_BYTES) as usize];
            file.read_exact_at(&mut path, u64_at(&entry, 8))?;
            let path = String::from_utf8_lossy(&path);
            return Ok(Some(PathBuf::from(path.trim_end_matches('\0'))));
        }
    }
    Ok(None)
}

/// The libraries that the linker would load for a program.
fn libraries(linker: &Path, program: &Path) -> io::Result<Vec<PathBuf>> {
    let mut list = Command::new(linker);
    list.arg("--list").arg(program).env_clear().current_dir("/");
    let mut list = list.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut answer = String::new();
    if let Some(mut stdout) = list.stdout.take() {
        stdout.read_to_string(&mut answer)?;
    }
    // Missing libraries are reported better by the trial run of the program.
    list.wait()?;
    Ok(listed_files(&answer))
}

/// The files in the linker's output, which has lines like `libm.so.6 => /lib/libm.so.6 (0x00007f…)`.
fn listed_files(answer: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let line = line.trim();
        let file = line.rsplit_once(" => ").map_or(line, |(_, file)| file);
        let file = file.rsplit_once(" (0x").map_or(file, |(file, _)| file);
        Some(PathBuf::from(file)).filter(|file| file.is_absolute())
    };
    let files: BTreeSet<_> = answer.lines().filter_map(path).collect();
    files.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn a_program_needs_itself_its_linker_and_its_libraries() {
        let program = env::current_exe().unwrap();
        let required = RequiredFiles::of(&program).unwrap();
        assert_eq!(required.executed[0], program);
        assert!(required.exist());
        // Statically linked, as with musl, it needs no more.
        if let Some(linker) = required.executed.get(1) {
            assert!(linker.is_absolute());
            let libc = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("libc.");
            assert!(required.read.iter().any(libc), "{required:?}");
        }
        let gone = RequiredFiles { read: vec!["/nowhere/libm.so".into()], ..required };
        assert!(!gone.exist());
    }

    #[test]
    fn a_file_that_is_no_program_is_reported() {
        let dir = tempfile::TempDir::new().unwrap();
        let text = dir.path().join("ffmpeg");
        std::fs::write(&text, "x".repeat(100)).unwrap();
        assert_eq!(RequiredFiles::of(&text).unwrap_err().to_string(), "it is not a program of this system");
    }

    #[test]
    fn the_output_of_glibc_and_musl_is_read() {
        let glibc = "\tlinux-vdso.so.1 (0x00007ffc0)\n\tlibm.so.6 => /lib/x86_64/libm.so.6 (0x00007f1)\n\
                     \tlibx.so => not found\n\t/nix/store/abc-x/lib/liby.so (0x00007f3)\n\
                     \t/lib64/ld-linux-x86-64.so.2 => /nix/ld-linux.so.2 (0x00007f2)\n";
        let expected = ["/lib/x86_64/libm.so.6", "/nix/ld-linux.so.2", "/nix/store/abc-x/lib/liby.so"];
        assert_eq!(listed_files(glibc), expected.map(PathBuf::from));
        let musl =
            "\t/lib/ld-musl-x86_64.so.1 (0x7f1)\n\tlibavcodec.so.61 => /usr/lib/libavcodec.so.61 (0x7f2)\n";
        assert_eq!(
            listed_files(musl),
            ["/lib/ld-musl-x86_64.so.1", "/usr/lib/libavcodec.so.61"].map(PathBuf::from)
        );
    }
}
