//! Installs versions of Gradio for the tests, each into a virtual environment below `target/xtask/gradio`.
//!
//! pip uses its own configuration. If it cannot download the packages, setup continues, and the tests are skipped with a
//! reason.

use std::thread;

use super::installed;
use crate::step;

/// The versions, with the versions of packages without which they no longer work.
const VERSIONS: [(&str, &[&str]); 2] = [
    ("5.50.0", &[]),
    ("4.44.1", &["pydantic==2.10.6", "huggingface_hub<0.26", "fastapi==0.112.2", "numpy<2"]),
];

/// Installs the missing versions, at the same time.
pub(super) fn install() {
    thread::scope(|scope| {
        for (version, packages) in VERSIONS {
            scope.spawn(move || {
                let what = format!("Gradio {version}");
                let gradio = format!("gradio=={version}");
                let packages: Vec<&str> =
                    [gradio.as_str()].into_iter().chain(packages.iter().copied()).collect();
                let done = installed::ensure_python(&what, &format!("gradio/{version}"), &packages);
                if let Err(error) = done {
                    step::note(&format!("tests of {what} will be skipped: {error:#}"));
                }
            });
        }
    });
}
