//! Libraries that stand in for NVIDIA's, built by cargo.

use std::{
    collections::HashMap,
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;

/// Builds the library of a package of this workspace with the profile of the running test.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn built_library(package: &'static str) -> &'static Path {
    static BUILT: Mutex<Option<HashMap<&str, &Path>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.get_or_insert_default().entry(package).or_insert_with(|| {
        let library = build(package).unwrap_or_else(|error| panic!("build {package}: {error:#}"));
        Box::leak(library.into_boxed_path())
    })
}

fn build(package: &str) -> anyhow::Result<PathBuf> {
    let test = env::current_exe().context("find this test")?;
    // TARGET/PROFILE/deps/TEST
    let profile = test.parent().and_then(Path::parent).context("find cargo's output")?;
    let target = profile.parent().context("find cargo's output")?;
    let mut cargo = Command::new(env::var_os("CARGO").context("find cargo in the environment")?);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // The tests were built with the whole workspace selected. With another selection, cargo would compile the library's
    // dependencies again.
    let arguments: &[&str] = if profile.ends_with("release") {
        &["build", "--release", "--package", package]
    } else {
        &["build", "--workspace", "--lib"]
    };
    cargo.args(arguments).args(["--quiet", "--target-dir"]).arg(target);
    let status = cargo.status().context("run cargo")?;
    anyhow::ensure!(status.success(), "cargo: {status}");
    let library = profile.join(format!("lib{}.so", package.replace('-', "_")));
    anyhow::ensure!(library.is_file(), "{} is not there", library.display());
    Ok(library)
}
