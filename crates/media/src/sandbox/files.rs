//! The files that ffmpeg may read, by Landlock: the program, its libraries and the input. Others it may neither
//! read nor write nor execute, nor signal processes, nor connect.

use std::fs::File;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};

use super::libraries::RequiredFiles;

/// The newest rules asked for; an older kernel enforces those that it knows. This one brought scopes.
const RULES: ABI = ABI::V6;

/// Read by the C library as a program starts, and by what counts processors. Nothing of anybody's is in them.
const SYSTEM: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
];

/// Rules for one run, to be set by the process that they are for.
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
    // Not every system has all of them.
    let Ok(handle) = PathFd::new(path) else { return Ok(rules) };
    rules.add_rule(PathBeneath::new(handle, access))
}
