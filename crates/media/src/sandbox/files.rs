//! Landlock rules: ffmpeg may read the program, its libraries and the input. It may not read, write or execute other
//! files, signal processes, or connect to anything.

use std::fs::File;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};

use super::libraries::RequiredFiles;

/// The newest rules in use, which added scopes. An older kernel enforces those that it knows.
const RULES: ABI = ABI::V6;

/// Files that the C library reads when a program starts, or that are read to count processors. They hold no user's
/// data.
const SYSTEM: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
];

/// The rules for one run. The process that they are for applies them.
pub(super) fn rules(required: &RequiredFiles, input: Option<&File>) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?;
    for path in SYSTEM {
        let path = Path::new(path);
        let file: BitFlags<AccessFs> = AccessFs::ReadFile.into();
        rules = allow(rules, path, if path.is_dir() { file | AccessFs::ReadDir } else { file })?;
    }
    for path in &required.executed {
        rules = allow(rules, path, AccessFs::ReadFile | AccessFs::Execute)?;
    }
    for path in &required.read {
        rules = allow(rules, path, AccessFs::ReadFile.into())?;
    }
    if let Some(input) = input {
        rules = rules.add_rule(PathBeneath::new(input, AccessFs::ReadFile))?;
    }
    Ok(rules)
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    // Some systems lack some of the files.
    let Ok(handle) = PathFd::new(path) else { return Ok(rules) };
    rules.add_rule(PathBeneath::new(handle, access))
}
