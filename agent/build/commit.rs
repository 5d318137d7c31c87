//! The commit that is built, from git: `GLASSBOX_COMMIT` and `GLASSBOX_COMMIT_DATE` for the compiler. Both depend on the
//! sources alone, so that a build can be reproduced. Without git, or without the history, as in a tarball, both are
//! `unknown`; whoever packages such a tarball may set both variables.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What there is to tell: the variable, and the arguments of git that print its value.
const FACTS: [(&str, &[&str]); 2] = [
    ("GLASSBOX_COMMIT", &["rev-parse", "--short=12", "HEAD"]),
    ("GLASSBOX_COMMIT_DATE", &["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%d"]),
];

/// Tells the compiler, and cargo when to ask again.
pub(super) fn tell() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // A tarball that lies within somebody's repository has nothing to do with its commits.
    let is_ours = git(root, &["rev-parse", "--show-toplevel"])
        .is_some_and(|top| Path::new(&top).canonicalize().ok() == root.canonicalize().ok());
    for (variable, arguments) in FACTS {
        println!("cargo:rerun-if-env-changed={variable}");
        let given = std::env::var(variable).ok().filter(|value| is_plain(value));
        let value = given.or_else(|| git(root, arguments).filter(|value| is_ours && is_plain(value)));
        println!("cargo:rustc-env={variable}={}", value.as_deref().unwrap_or("unknown"));
    }
    if is_ours {
        // HEAD changes with a checkout, the log of HEAD with every commit.
        for file in ["HEAD", "logs/HEAD"] {
            let path =
                git(root, &["rev-parse", "--git-path", file]).map(|path| root.join(PathBuf::from(path)));
            if let Some(path) = path.filter(|path| path.exists()) {
                println!("cargo:rerun-if-changed={}", path.display());
            }
        }
    }
}

/// Nothing that could end the line or a label.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.+".contains(&byte))
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
