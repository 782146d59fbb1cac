//! The setting of the folder of model files.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::path;
use super::user_dir::user_dir;

/// The folder in the working directory. A checkout of the repository has its models there.
const LOCAL: &str = "./models";

/// As clap reads it.
#[derive(Debug, Clone, Args)]
struct Given {
    /// The folder of model files [default: ./models if it is there, else verbatim/models in the user's data folder]
    #[arg(long, env = "MODELS_DIR", global = true, value_parser = path)]
    models_dir: Option<PathBuf>,
}

/// The folder of model files. It need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelsDir {
    path: PathBuf,
    /// The folder that would take precedence, but does not exist.
    missing: Option<PathBuf>,
}

impl ModelsDir {
    /// The folder that is set; otherwise `local`, if it exists; otherwise the one in the user's data folder, if the
    /// user has one.
    fn find(given: Option<PathBuf>, local: &Path, of_user: Option<PathBuf>) -> Self {
        let (path, missing) = match (given, of_user) {
            (Some(given), _) => (given, None),
            (None, Some(of_user)) if !local.is_dir() => (of_user, Some(local.to_owned())),
            (None, _) => (local.to_owned(), None),
        };
        Self { path, missing }
    }

    /// Adds to an error about a model all folders that are searched, if there is more than one.
    pub fn explain(&self, error: impl Into<anyhow::Error>) -> anyhow::Error {
        let (error, path) = (error.into(), self.path.display());
        match self.missing.as_ref().map(|first| first.display()) {
            Some(first) => {
                error.context(format!("models are looked for in {first}, which is not there, and in {path}"))
            }
            None => error,
        }
    }
}

impl Deref for ModelsDir {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// The folder in the user's data folder: `$XDG_DATA_HOME/verbatim/models`, or `~/.local/share/verbatim/models`.
fn of_user() -> Option<PathBuf> {
    user_dir("XDG_DATA_HOME", ".local/share").map(|data_home| data_home.join("verbatim/models"))
}

impl FromArgMatches for ModelsDir {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Given::from_arg_matches(matches)?.models_dir;
        Ok(Self::find(given, Path::new(LOCAL), of_user()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ModelsDir {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_folder_is_the_given_one_then_the_local_one_then_that_of_the_user() {
        let dir = TempDir::new().unwrap();
        let (local, of_user) = (dir.path().join("local"), dir.path().join("user"));
        let find = |given: Option<&str>, of_user: Option<&PathBuf>| {
            ModelsDir::find(given.map(PathBuf::from), &local, of_user.cloned())
        };
        let found = find(None, Some(&of_user));
        assert_eq!(*found, *of_user, "it is made where it is to be, if there is none");
        let explained = format!("{:#}", found.explain(anyhow::anyhow!("no base")));
        let places = format!("{}, which is not there, and in {}", local.display(), of_user.display());
        assert_eq!(explained, format!("models are looked for in {places}: no base"));
        assert_eq!(*find(None, None), *local);
        std::fs::create_dir(&local).unwrap();
        for (found, expected) in [
            (find(None, Some(&of_user)), &*local),
            (find(Some("/srv/models"), Some(&of_user)), Path::new("/srv/models")),
        ] {
            assert_eq!(&*found, expected);
            assert_eq!(found.explain(anyhow::anyhow!("no base")).to_string(), "no base");
        }
    }
}
