//! Sets `GLASSBOX_COMMIT` and `GLASSBOX_COMMIT_DATE` for the compiler, from git. Both depend on the sources alone, so
//! that builds are reproducible. Without git or its history, for example in a tarball, both are `unknown`; packagers
//! can set both variables in the environment.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Each variable, and the git arguments that print its value.
const FACTS: [(&str, &[&str]); 2] = [
    ("GLASSBOX_COMMIT", &["rev-parse", "--short=12", "HEAD"]),
    ("GLASSBOX_COMMIT_DATE", &["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%d"]),
];

/// Passes the variables to the compiler, and declares when cargo has to run this script again.
pub(super) fn set_variables() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // If a tarball was unpacked inside another repository, the commits of that repository are not ours.
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

/// True if the value contains no character that could end the line or a label value.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.+".contains(&byte))
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
