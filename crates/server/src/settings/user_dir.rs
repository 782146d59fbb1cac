//! The user's own folders, by the XDG Base Directory Specification 0.8.

use std::env;
use std::path::PathBuf;

/// The folder that `variable` names, or `below_home` in the user's home folder. Relative paths are ignored. `None` if the
/// user has neither.
pub(super) fn user_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    choose(env::var_os(variable).map(PathBuf::from), env::home_dir(), below_home)
}

fn choose(given: Option<PathBuf>, home: Option<PathBuf>, below_home: &str) -> Option<PathBuf> {
    let given = given.filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute());
    given.or_else(|| home.map(|home| home.join(below_home)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_given_one_or_that_of_the_home_folder_and_never_a_relative_one() {
        let state = |given: Option<&str>, home: Option<&str>| {
            choose(given.map(PathBuf::from), home.map(PathBuf::from), ".local/state")
        };
        assert_eq!(state(Some("/state"), Some("/home/a")), Some("/state".into()));
        for given in [None, Some(""), Some("state")] {
            assert_eq!(state(given, Some("/home/a")), Some("/home/a/.local/state".into()));
        }
        assert_eq!(state(None, None), None);
        assert_eq!(state(None, Some("")), None);
    }
}
