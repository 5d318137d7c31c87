//! What `cargo xtask run` builds, in one invocation of cargo.
//!
//! The packages are the same with and without the demonstration, because cargo enables the features that the named
//! packages need together: with other packages, dependencies have other features, and the agent is compiled once more.

use std::process::Command;

use crate::{step, workspace};

/// The agent, the programs of the demonstration, and its NVML.
const PACKAGES: [&str; 3] = ["glassbox", "glassbox-tests", "glassbox-nvml-stand-in"];
/// Programs of the demonstration; its NVML is a library.
const DEMO_BINARIES: [&str; 2] = ["demo", "fake-cuda"];

/// Builds the agent, and what the demonstration needs.
pub(super) fn build(demo: bool) -> anyhow::Result<()> {
    let what = if demo {
        "build the agent and the demonstration (some minutes the first time, about a minute after an agent was built)"
    } else {
        "build the agent (some minutes the first time)"
    };
    step::run(what, &mut command(demo))
}

fn command(demo: bool) -> Command {
    let mut build = workspace::cargo();
    build.args(["build", "--release"]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    build.args(["--bin", "glassbox"]);
    if demo {
        build.arg("--lib");
        for binary in DEMO_BINARIES {
            build.args(["--bin", binary]);
        }
    }
    build
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_the_demonstration_the_same_packages_decide_on_features() {
        let packages = |demo| {
            let command = command(demo);
            let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
            let named = words.windows(2).filter(|pair| pair[0] == "--package");
            let named: Vec<_> = named.map(|pair| pair[1].clone()).collect();
            (named, words)
        };
        let ((plain, _), (demo, words)) = (packages(false), packages(true));
        assert_eq!(plain, demo);
        for built in ["--lib", "glassbox", "demo", "fake-cuda"] {
            assert!(words.iter().any(|word| word == built), "{built}");
        }
    }
}
