//! The build of `cargo xtask run`: one invocation of cargo.
//!
//! It names the same packages with and without the demo. Cargo unifies the features of the named packages, so with other
//! packages it would compile dependencies and the agent again.

use std::process::Command;

use crate::{step, workspace};

/// The agent, the programs of the demo, and its fake NVML.
const PACKAGES: [&str; 3] = ["glassbox", "glassbox-tests", "glassbox-nvml-stand-in"];
/// Programs of the demo. Its NVML is a library.
const DEMO_BINARIES: [&str; 3] = ["demo", "fake-cuda", "slow-server"];

/// Builds the agent and, for the demo, its programs.
pub(super) fn build(demo: bool) -> anyhow::Result<()> {
    let what = if demo {
        "build the agent and the demo (a few minutes on the first run, one minute if the agent is already built)"
    } else {
        "build the agent (a few minutes on the first run)"
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
    fn the_same_packages_are_named_with_and_without_the_demo() {
        let packages = |demo| {
            let command = command(demo);
            let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
            let named = words.windows(2).filter(|pair| pair[0] == "--package");
            let named: Vec<_> = named.map(|pair| pair[1].clone()).collect();
            (named, words)
        };
        let ((plain, _), (demo, words)) = (packages(false), packages(true));
        assert_eq!(plain, demo);
        for built in ["--lib", "glassbox", "demo", "fake-cuda", "slow-server"] {
            assert!(words.iter().any(|word| word == built), "{built}");
        }
    }
}
