//! Builds the driver's kernel modules, once for each kernel, branch and flavour.
//!
//! Only nvidia and nvidia-uvm are built, which takes 200 s on two CPUs: half for the driver's compile tests, which both
//! flavours of a branch share ([`Results`]), half for nvidia-uvm. Debian's package has the core of the driver precompiled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::super::headers::{Headers, VARIABLES};
use super::super::kernels::Kernel;
use super::super::module;
use super::conftest::Results;
use super::{Variant, packages};
use crate::{debian, step, workspace};

/// Sources of our modules for these guests, relative to the root of the repository.
const SOURCES: &str = "tests/real-driver";
/// Our modules.
const OWN: [&str; 2] = ["fake_gpu.ko", "report_xid.ko"];
/// The driver's modules.
const DRIVER: [&str; 2] = ["nvidia.ko", "nvidia-uvm.ko"];
/// Modules that are not built because no test needs them.
const EXCLUDED: &str = "NV_EXCLUDE_KERNEL_MODULES=nvidia-drm nvidia-modeset nvidia-peermem";
/// Parallel jobs of make.
const JOBS: &str = "-j2";
/// File with the version of the driver package.
const VERSION: &str = "version";

/// Built modules.
pub(super) struct Modules {
    /// Version of the driver package.
    pub(super) version: String,
    /// The driver's modules and ours.
    pub(super) files: Vec<PathBuf>,
}

impl Modules {
    /// Builds the modules unless they are cached. `None` if the mirror does not have the driver.
    pub(super) fn of(variant: Variant, kernel: &Kernel, headers: &Headers) -> anyhow::Result<Option<Self>> {
        let dir = packages::dir().join(variant.name()).join(kernel.name());
        if !dir.join(VERSION).is_file() {
            let Some(version) = build(variant, kernel, headers, &dir)? else {
                return Ok(None);
            };
            fs::write(dir.join(VERSION), version).context("write the driver's version")?;
        }
        let version = fs::read_to_string(dir.join(VERSION)).context("read the driver's version")?;
        let own = packages::dir().join("own").join(kernel.name());
        module::copy(&workspace::root().join(SOURCES), &own)?;
        headers.build(&format!("build the fake GPU for {}", kernel.name()), &own, &[])?;
        let driver = DRIVER.iter().map(|file| dir.join(file));
        let files: Vec<_> = driver.chain(OWN.iter().map(|file| own.join(file))).collect();
        for file in &files {
            anyhow::ensure!(file.is_file(), "make did not create {}", file.display());
        }
        Ok(Some(Self { version, files }))
    }
}

/// Builds the driver's modules in `into` and returns the version of the package.
fn build(
    variant: Variant,
    kernel: &Kernel,
    headers: &Headers,
    into: &Path,
) -> anyhow::Result<Option<String>> {
    // Not with_extension: the kernel's name contains dots.
    let unpacked = into.with_file_name(format!("{}.part", kernel.name()));
    let (package, component) = (variant.flavour.package(), variant.flavour.component());
    let Some(version) = packages::unpack(variant.branch, component, &[package], &unpacked)? else {
        return Ok(None);
    };
    let source = source(&unpacked)?;
    patch(&source, &headers.common)?;
    let results = Results::of(variant.branch, kernel);
    results.restore(&source)?;
    let mut make = Command::new("make");
    make.current_dir(&source).args([JOBS, "modules", EXCLUDED]).args(VARIABLES);
    make.arg(format!("SYSSRC={}", headers.common.display()));
    make.arg(format!("SYSOUT={}", headers.tree.display())).env_remove("MAKEFLAGS");
    let what = format!(
        "build NVIDIA's {} modules {version} for {} (first run only, 2 to 3 minutes on two CPUs)",
        variant.flavour.name(),
        kernel.name()
    );
    step::run(&what, &mut make)?;
    results.save(&source)?;
    debian::make_empty_dir(into)?;
    for file in DRIVER {
        fs::rename(source.join(file), into.join(file)).with_context(|| format!("keep {file}"))?;
    }
    fs::remove_dir_all(&unpacked).with_context(|| format!("remove {}", unpacked.display()))?;
    Ok(Some(version))
}

/// The source directory in an unpacked package.
fn source(unpacked: &Path) -> anyhow::Result<PathBuf> {
    let dir = unpacked.join("usr/src");
    let mut entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?.flatten();
    let source = entries.next().with_context(|| format!("find sources in {}", dir.display()))?;
    Ok(source.path())
}

/// Adds the fourth argument of `pci_resize_resource`, which Debian's kernels have from 6.1.0-56 on and which these driver
/// releases do not pass.
fn patch(source: &Path, kernel: &Path) -> anyhow::Result<()> {
    let header = kernel.join("include/linux/pci.h");
    let header = fs::read_to_string(&header).with_context(|| format!("read {}", header.display()))?;
    let path = source.join("nvidia/nv-pci.c");
    let code = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    match patched_code(&code, &header) {
        Some(code) => fs::write(&path, code).with_context(|| format!("write {}", path.display())),
        None => Ok(()),
    }
}

/// The code with a fourth argument if the header declares four parameters and the code passes three arguments.
fn patched_code(code: &str, header: &str) -> Option<String> {
    const NAME: &str = "pci_resize_resource(";
    let arguments = |text: &str| {
        let at = text.find(NAME)? + NAME.len();
        let end = at + text[at..].find(')')?;
        Some((text[at..end].split(',').count(), end))
    };
    let (4, _) = arguments(header)? else { return None };
    let (3, end) = arguments(code)? else { return None };
    Some(format!("{}, 0{}", &code[..end], &code[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fourth_argument_is_added_only_if_the_kernel_declares_it() {
        let three = "int __must_check pci_resize_resource(struct pci_dev *dev, int i, int size);";
        let four = "int __must_check pci_resize_resource(struct pci_dev *dev, int i, int size,\n\t\tint exclude_bars);";
        let code = "r = pci_resize_resource(pci_dev, NV_GPU_BAR1, requested_size);\n";
        let patched = "r = pci_resize_resource(pci_dev, NV_GPU_BAR1, requested_size, 0);\n";
        assert_eq!(patched_code(code, four).as_deref(), Some(patched));
        assert_eq!(patched_code(code, three), None);
        assert_eq!(patched_code(patched, four), None);
        assert_eq!(patched_code("no such call", four), None);
    }
}
