//! Files of the repository, and what `cargo xtask setup` has installed for its tests.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The path of a file or directory of the repository.
#[must_use]
pub fn in_repository(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.map_or_else(|| PathBuf::from("."), Path::to_owned).join(path)
}

/// The directory below `target/xtask` in which setup has installed something. `what` names it, and `program` is the program
/// with which setup installs it.
///
/// # Errors
/// The reason to skip the test.
pub fn installed(directory: &str, what: &str, program: &str) -> Result<PathBuf, String> {
    let test = env::current_exe().map_err(|error| format!("find this test: {error}"))?;
    // TARGET/PROFILE/deps/TEST
    let target = test.ancestors().nth(3).ok_or("find cargo's output")?;
    let root = target.join("xtask").join(directory);
    if root.join("installed").is_file() {
        return Ok(root);
    }
    Err(format!("no {what} in {} (cargo xtask setup --tests installs it with {program})", root.display()))
}
