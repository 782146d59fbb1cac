//! Where the model files are.

use std::env;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::path;

/// The folder beside whoever calls, which is where a checkout has its models.
const HERE: &str = "./models";

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
    /// A folder that would have come first, but is not there.
    instead_of: Option<PathBuf>,
}

impl ModelsDir {
    /// The folder that was asked for; or else `here`, if it is there; or else the one in the user's data folder, if the
    /// user has one.
    fn find(given: Option<PathBuf>, here: &Path, of_user: Option<PathBuf>) -> Self {
        let (path, instead_of) = match (given, of_user) {
            (Some(given), _) => (given, None),
            (None, Some(of_user)) if !here.is_dir() => (of_user, Some(here.to_owned())),
            (None, _) => (here.to_owned(), None),
        };
        Self { path, instead_of }
    }

    /// Has an error about a model name every place that was looked at, where that is more than the one it names itself.
    pub fn explain(&self, error: impl Into<anyhow::Error>) -> anyhow::Error {
        let (error, path) = (error.into(), self.path.display());
        match self.instead_of.as_ref().map(|first| first.display()) {
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

/// `$XDG_DATA_HOME/verbatim/models`, or below `~/.local/share` (XDG Base Directory Specification 0.8, which has relative
/// paths ignored).
fn of_user(data_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let data_home = data_home.filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute());
    let data_home = data_home.or_else(|| home.map(|home| home.join(".local/share")))?;
    Some(data_home.join("verbatim/models"))
}

impl FromArgMatches for ModelsDir {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Given::from_arg_matches(matches)?.models_dir;
        let of_user = of_user(env::var_os("XDG_DATA_HOME").map(PathBuf::from), env::home_dir());
        Ok(Self::find(given, Path::new(HERE), of_user))
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
    fn models_are_looked_for_where_they_are_said_to_be_then_here_then_in_the_data_folder() {
        let dir = TempDir::new().unwrap();
        let (here, of_user) = (dir.path().join("here"), dir.path().join("user"));
        let find = |given: Option<&str>, of_user: Option<&PathBuf>| {
            ModelsDir::find(given.map(PathBuf::from), &here, of_user.cloned())
        };
        let found = find(None, Some(&of_user));
        assert_eq!(*found, *of_user, "it is made where it is to be, if there is none");
        let explained = format!("{:#}", found.explain(anyhow::anyhow!("no base")));
        let places = format!("{}, which is not there, and in {}", here.display(), of_user.display());
        assert_eq!(explained, format!("models are looked for in {places}: no base"));
        assert_eq!(*find(None, None), *here);
        std::fs::create_dir(&here).unwrap();
        for (found, expected) in [
            (find(None, Some(&of_user)), &*here),
            (find(Some("/srv/models"), Some(&of_user)), Path::new("/srv/models")),
        ] {
            assert_eq!(&*found, expected);
            assert_eq!(found.explain(anyhow::anyhow!("no base")).to_string(), "no base");
        }
    }

    #[test]
    fn the_data_folder_is_as_xdg_has_it() {
        let of_user = |data: Option<&str>, home: Option<&str>| {
            of_user(data.map(PathBuf::from), home.map(PathBuf::from))
        };
        assert_eq!(of_user(Some("/data"), Some("/home/a")), Some("/data/verbatim/models".into()));
        let default = Some("/home/a/.local/share/verbatim/models".into());
        for data in [None, Some(""), Some("data")] {
            assert_eq!(of_user(data, Some("/home/a")), default);
        }
        assert_eq!(of_user(None, None), None);
        assert_eq!(of_user(None, Some("")), None);
    }
}
