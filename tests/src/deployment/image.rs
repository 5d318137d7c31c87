//! The image of deploy/docker/Dockerfile.prebuilt, built by a test's Docker daemon from the agent's binary.

use std::{fs, path::Path, process::Command};

use crate::{agent, deployment::file, docker::Docker};

/// The name of the image.
pub const IMAGE: &str = "glassbox:test";

/// Builds the image.
///
/// # Panics
/// If rootfs.sh or the daemon fails.
pub fn build(docker: &Docker) {
    let context = tempfile::tempdir().unwrap_or_else(|error| panic!("make a directory: {error}"));
    collect(agent::binary(), &context.path().join("rootfs"));
    let (dockerfile, context) = (file("docker/Dockerfile.prebuilt"), context.path().display().to_string());
    docker.run(&["build", "--quiet", "--file", &dockerfile.display().to_string(), "--tag", IMAGE, &context]);
}

/// Runs rootfs.sh.
///
/// # Panics
/// If it fails.
pub fn collect(binary: &Path, root: &Path) {
    let output = Command::new(file("docker/rootfs.sh")).arg(binary).arg(root).output();
    let output = output.unwrap_or_else(|error| panic!("run rootfs.sh: {error}"));
    assert!(output.status.success(), "rootfs.sh: {}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::exists(root.join("usr/bin/glassbox")).unwrap_or(false), "rootfs.sh made no agent");
}
