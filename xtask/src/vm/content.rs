//! Builds the kernel tests and packs the initramfs.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::{boot::QEMU, initramfs};
use crate::child::{self, Limits};
use crate::{toolchain, workspace};

/// Builds and packs the tests. Returns the path of the initramfs.
pub(super) fn prepare(modules: &[(String, PathBuf)]) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        cfg!(target_arch = "x86_64"),
        "guests need an x86-64 host because their kernels are x86-64"
    );
    toolchain::in_path(QEMU)
        .with_context(|| format!("find {QEMU} in PATH; run: cargo xtask setup --tests"))?;
    println!("  > build the kernel tests");
    let built = build(workspace::cargo_test().args(["--test", "kernel", "--no-run"]))?;
    let executable = |name: &str| built.get(name).with_context(|| format!("find {name} in cargo's output"));
    let dir = workspace::scratch().join("vm");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join("initramfs.cpio");
    let content = initramfs::Content {
        init: executable("guest-init")?,
        tests: executable("kernel")?,
        programs: &[
            ("/bin/fake-cuda", executable("fake-cuda")?),
            ("/bin/process-parts", executable("process-parts")?),
        ],
        modules,
    };
    initramfs::pack(&content, &path).context("pack the initramfs")?;
    Ok(path)
}

/// Runs cargo and returns the executables and shared libraries by target name.
pub(super) fn build(cargo: &mut Command) -> anyhow::Result<HashMap<String, PathBuf>> {
    cargo.args(["--message-format", "json-render-diagnostics"]);
    Ok(parse_executables(&child::output(cargo, Limits::NONE)?))
}

fn parse_executables(messages: &str) -> HashMap<String, PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter_map(|message| {
            let libraries = message["filenames"].as_array().into_iter().flatten();
            let library = libraries.filter_map(|file| file.as_str()).find(|file| file.ends_with(".so"));
            let executable = message["executable"].as_str().or(library)?;
            Some((message["target"]["name"].as_str()?.to_owned(), executable.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_and_libraries_are_extracted_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"glassbox"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"kernel"},"executable":"/t/kernel-1"}
{"reason":"compiler-artifact","target":{"name":"recorder"},"filenames":["/t/r.rlib","/t/r.so"],"executable":null}
not json
{"reason":"build-finished","success":true}"#;
        let expected = [("kernel", "/t/kernel-1"), ("recorder", "/t/r.so")];
        let expected = expected.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
        assert_eq!(parse_executables(messages), HashMap::from(expected));
    }
}
