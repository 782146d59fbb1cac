//! Where transcripts are written: planned before anything is computed or sent. A file appears only once it is complete.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::jobs::formats::Format;

/// The outputs on the command line are contradictory.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("several formats cannot all go to the terminal; say where to with --output")]
    SeveralFormats,
    #[error("subtitles of several files cannot all go to the terminal; say where to with --output")]
    SeveralSubtitles,
    #[error("{first} and {second} would both be written to {path}; give them folders of their own",
        first = first.display(), second = second.display(), path = path.display())]
    SamePath { first: PathBuf, second: PathBuf, path: PathBuf },
    #[error("{} would be overwritten with its own transcript; give --output another name", .0.display())]
    OverInput(PathBuf),
}

/// Where the transcript of each file is written, in each format.
#[derive(Debug)]
pub(crate) enum Plan {
    /// All transcripts, in this format, to standard output.
    Stdout(Format),
    /// For each input, its formats and their files.
    Files(Vec<Vec<(Format, PathBuf)>>),
}

impl Plan {
    /// The outputs of these inputs: of one in one format, `output` may be a file; otherwise it is a folder. Without it, the
    /// output is standard output.
    pub(crate) fn new(
        inputs: &[PathBuf],
        formats: &[Format],
        output: Option<&Path>,
    ) -> Result<Self, PlanError> {
        let mut formats = formats.to_vec();
        formats.sort();
        formats.dedup();
        let plan = match (output, formats.as_slice()) {
            (None, [format]) if format.is_subtitles() && inputs.len() > 1 => {
                return Err(PlanError::SeveralSubtitles);
            }
            (None, [format]) => return Ok(Self::Stdout(*format)),
            (None, _) => return Err(PlanError::SeveralFormats),
            (Some(file), [format]) if inputs.len() == 1 && !is_folder(file) => {
                vec![vec![(*format, file.to_owned())]]
            }
            (Some(dir), formats) => inputs.iter().map(|input| in_folder(dir, input, formats)).collect(),
        };
        check_conflicts(inputs, &plan)?;
        Ok(Self::Files(plan))
    }

    /// The outputs of the input with this index: each format, and its file unless it goes to standard output.
    pub(crate) fn outputs(&self, input: usize) -> Vec<(Format, Option<&Path>)> {
        match self {
            Self::Stdout(format) => vec![(*format, None)],
            Self::Files(plan) => plan[input].iter().map(|(format, path)| (*format, Some(&**path))).collect(),
        }
    }

    /// Whether transcripts go to standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout(_))
    }
}

/// Writes a transcript to a file, in folders that are made if they are not there, or to standard output.
pub(crate) fn write(file: Option<&Path>, text: &str, stdout: &mut impl Write) -> io::Result<()> {
    match file {
        Some(path) => write_file(path, text).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
        }),
        None => {
            stdout.write_all(text.as_bytes())?;
            stdout.flush()
        }
    }
}

/// Whether a path is an existing folder or ends in a slash.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// The outputs of an input in a folder: `interview.mp3` -> `dir/interview.srt`.
fn in_folder(dir: &Path, input: &Path, formats: &[Format]) -> Vec<(Format, PathBuf)> {
    let stem = input.file_stem().unwrap_or(input.as_os_str());
    formats.iter().map(|format| (*format, dir.join(file_name(stem, *format)))).collect()
}

/// The name of a transcript's file: `interview` -> `interview.srt`.
pub(crate) fn file_name(stem: &OsStr, format: Format) -> OsString {
    let mut name = stem.to_owned();
    name.push(".");
    name.push(format.extension());
    name
}

/// Fails if two inputs have the same output, or if an output is one of the inputs.
fn check_conflicts(inputs: &[PathBuf], plan: &[Vec<(Format, PathBuf)>]) -> Result<(), PlanError> {
    let mut taken: HashMap<&Path, &Path> = HashMap::new();
    for (input, outputs) in inputs.iter().zip(plan) {
        for (_, path) in outputs {
            if let Some(first) = taken.insert(path, input) {
                let (first, second, path) = (first.to_owned(), input.clone(), path.clone());
                return Err(PlanError::SamePath { first, second, path });
            }
            let real = path.canonicalize().ok();
            if real.is_some() && inputs.iter().any(|input| input.canonicalize().ok() == real) {
                return Err(PlanError::OverInput(path.clone()));
            }
        }
    }
    Ok(())
}

/// Writes a file under another name and renames it, so that readers find the whole file or none.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = fs::write(&part, text).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // If the incomplete file cannot be removed either, the first error is still the cause.
        let _ = fs::remove_file(&part);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(inputs: &[&str], formats: &[Format], output: Option<&Path>) -> Result<Plan, PlanError> {
        let inputs: Vec<_> = inputs.iter().map(PathBuf::from).collect();
        Plan::new(&inputs, formats, output)
    }

    fn paths(plan: Plan) -> Vec<PathBuf> {
        match plan {
            Plan::Files(plan) => plan.into_iter().flatten().map(|(_, path)| path).collect(),
            Plan::Stdout(_) => Vec::new(),
        }
    }

    #[test]
    fn one_format_goes_to_the_terminal() {
        assert!(matches!(plan(&["a.mp3"], &[Format::Srt], None), Ok(Plan::Stdout(Format::Srt))));
        assert!(matches!(plan(&["a.mp3", "b.mp3"], &[Format::Txt; 2], None), Ok(Plan::Stdout(Format::Txt))));
        let several = plan(&["a.mp3"], &[Format::Srt, Format::Txt], None);
        assert_eq!(several.unwrap_err(), PlanError::SeveralFormats);
        let subtitles = plan(&["a.mp3", "b.mp3"], &[Format::Vtt], None);
        assert_eq!(subtitles.unwrap_err(), PlanError::SeveralSubtitles);
    }

    #[test]
    fn an_output_is_a_file_for_one_and_a_folder_for_several() {
        let out = |text: &'static str| Some(Path::new(text));
        assert_eq!(paths(plan(&["x/a.mp3"], &[Format::Srt], out("b.srt")).unwrap()), [Path::new("b.srt")]);
        let folder = plan(&["x/a.b.mp3"], &[Format::Srt], out("subs/")).unwrap();
        assert_eq!(paths(folder), [Path::new("subs/a.b.srt")]);
        let several = plan(&["a.mp3", "b.mp3"], &[Format::Json, Format::Txt], out("o")).unwrap();
        assert_eq!(paths(several), ["o/a.json", "o/a.txt", "o/b.json", "o/b.txt"].map(PathBuf::from));
        let chapters = plan(&["a.mp3"], &[Format::Chapters, Format::Txt], out("o/")).unwrap();
        assert_eq!(paths(chapters), ["o/a.txt", "o/a.chapters.txt"].map(PathBuf::from));
        let there = tempfile::tempdir().unwrap();
        let there = plan(&["a.mp3"], &[Format::Txt], Some(there.path())).unwrap();
        assert!(paths(there)[0].ends_with("a.txt"));
    }

    #[test]
    fn shared_outputs_and_overwritten_inputs_are_refused() {
        let error = plan(&["x/a.mp3", "y/a.mkv"], &[Format::Txt], Some(Path::new("o"))).unwrap_err();
        assert!(matches!(error, PlanError::SamePath { .. }), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("a.txt");
        fs::write(&input, "sound").unwrap();
        let error = Plan::new(std::slice::from_ref(&input), &[Format::Txt], Some(dir.path())).unwrap_err();
        assert_eq!(error, PlanError::OverInput(input));
    }
}
