//! The tests of a guest, built and packed.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;

use super::{boot::QEMU, initramfs};
use crate::{toolchain, workspace};

/// Builds the tests and packs them; the path of the initramfs.
pub(super) fn prepare(filters: &[String], modules: &[(String, PathBuf)]) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(cfg!(target_arch = "x86_64"), "the guests' kernels are x86-64 and this host is not");
    toolchain::in_path(QEMU).with_context(|| format!("find {QEMU}: `cargo xtask setup --tests`"))?;
    println!("  > build the kernel tests");
    let built = build()?;
    let executable =
        |name: &str| built.get(name).with_context(|| format!("find {name} among what cargo built"));
    let dir = workspace::scratch().join("vm");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join("initramfs.cpio");
    let content = initramfs::Content {
        init: executable("guest-init")?,
        tests: executable("kernel")?,
        application: executable("fake-cuda")?,
        arguments: filters,
        modules,
    };
    initramfs::pack(&content, &path).context("pack the initramfs")?;
    Ok(path)
}

/// Executables of the kernel tests, by the name of their target.
fn build() -> anyhow::Result<HashMap<String, PathBuf>> {
    let mut command = workspace::cargo();
    command.args(["test", "--package", "glassbox-tests", "--test", "kernel", "--no-run"]);
    command
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().context("run cargo")?;
    anyhow::ensure!(output.status.success(), "build the kernel tests: {}", output.status);
    Ok(parse_executables(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_executables(messages: &str) -> HashMap<String, PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter_map(|message| {
            let executable = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), executable.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_other_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"glassbox"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"kernel"},"executable":"/t/kernel-1"}
not json
{"reason":"build-finished","success":true}"#;
        let expected = HashMap::from([("kernel".to_owned(), PathBuf::from("/t/kernel-1"))]);
        assert_eq!(parse_executables(messages), expected);
    }
}
