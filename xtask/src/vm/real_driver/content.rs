//! The programs of guests with the real driver, built once for all guests, and their initramfs.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::super::boot::QEMU;
use super::super::{content, initramfs};
use super::build::Modules;
use crate::{toolchain, workspace};

/// Directory of the modules in the guest.
const MODULES: &str = "real-driver";

/// Built programs by target name.
pub(super) struct Programs(HashMap<String, PathBuf>);

/// Builds the tests, the programs that tests run, and the agent.
pub(super) fn build_programs() -> anyhow::Result<Programs> {
    anyhow::ensure!(
        cfg!(target_arch = "x86_64"),
        "guests need an x86-64 host because their kernels are x86-64"
    );
    toolchain::in_path(QEMU)
        .with_context(|| format!("find {QEMU} in PATH; run: cargo xtask setup --tests"))?;
    println!("  > build the tests of the real driver");
    // `command` is a test of the agent, so the agent is built, too.
    let tests = ["--test", "real_driver", "--test", "command", "--no-run"];
    let mut built = content::build(workspace::cargo_test().args(tests))?;
    built.extend(content::build(workspace::cargo().args(["build", "--package", "glassbox-ioctl-recorder"]))?);
    Ok(Programs(built))
}

impl Programs {
    /// Packs the initramfs of a guest and returns its path.
    pub(super) fn pack(
        &self,
        name: &str,
        modules: &Modules,
        user_space: Option<&[(&'static str, PathBuf)]>,
    ) -> anyhow::Result<PathBuf> {
        let path = workspace::scratch().join(format!("vm/initramfs-{name}.cpio"));
        let dir = path.parent().context("find the directory of the initramfs")?;
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let mut programs = vec![
            ("/bin/glassbox", self.get("glassbox")?),
            ("/bin/driver-client", self.get("driver-client")?),
            ("/lib/ioctl-recorder.so", self.get("glassbox_ioctl_recorder")?),
        ];
        programs.extend(user_space.unwrap_or_default().iter().map(|(path, file)| (*path, file.as_path())));
        let modules = modules.files.iter().map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            (format!("{MODULES}/{name}"), file.clone())
        });
        let content = initramfs::Content {
            init: self.get("guest-init")?,
            tests: self.get("real_driver")?,
            programs: &programs,
            modules: &modules.collect::<Vec<_>>(),
        };
        initramfs::pack(&content, &path).with_context(|| format!("pack {}", path.display()))?;
        Ok(path)
    }

    fn get(&self, name: &str) -> anyhow::Result<&Path> {
        self.0.get(name).map(PathBuf::as_path).with_context(|| format!("find {name} in cargo's output"))
    }
}
