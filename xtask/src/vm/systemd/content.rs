//! What is added to Debian's files: the agent, the tests, and the unit that runs them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::super::cpio::Archive;
use super::super::{content, initramfs};
use crate::{dist, workspace};

/// Starts the tests after the units of a normal boot.
const TARGET: &str = "[Unit]
Requires=multi-user.target
Wants=glassbox-tests.service
";
/// Runs the tests with their output on the console, and powers the guest off.
const SERVICE: &str = "[Unit]
After=multi-user.target
[Service]
Type=exec
ExecStart=/usr/lib/glassbox-tests/guest-init
StandardOutput=file:/dev/console
StandardError=inherit
";
/// Files of the repository with their paths in the guest.
const FILES: [(&str, &str); 3] = [
    ("systemd/glassbox.service", "/usr/lib/glassbox-tests/files/glassbox.service"),
    ("systemd/glassbox.default", "/usr/lib/glassbox-tests/files/glassbox.default"),
    ("systemd/agent.toml", "/usr/lib/glassbox-tests/files/agent.toml"),
];

/// Versions of the package that is installed, and of the one that replaces it, with their paths in the guest.
const PACKAGES: [(&str, &str); 2] = [
    ("0.0.1~rc1", "/usr/lib/glassbox-tests/files/old.deb"),
    ("0.0.1", "/usr/lib/glassbox-tests/files/new.deb"),
];

/// Units that wait for hardware or users that the guest does not have, or that only take time.
const MASKED: [&str; 12] = [
    "getty.target",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-logind.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-update-utmp.service",
    "proc-sys-fs-binfmt_misc.automount",
];

/// Builds the programs and packs them after `root`. The kernel unpacks both archives in the file. Returns its path.
pub(super) fn pack(root: &Path) -> anyhow::Result<PathBuf> {
    println!("  > build the agent and the tests of the systemd unit");
    // `command` is a test of the agent, so the agent is built, too.
    let tests = ["--test", "systemd", "--test", "command", "--no-run"];
    let built = content::build(workspace::cargo_test().args(tests))?;
    let executable = |name: &str| built.get(name).with_context(|| format!("find {name} in cargo's output"));
    let programs = [
        ("/usr/lib/glassbox-tests/guest-init", executable("guest-init")?),
        ("/tests", executable("systemd")?),
    ];
    let path = workspace::scratch().join("vm/initramfs-systemd.cpio");
    let packing = || format!("pack {}", path.display());
    let mut file = BufWriter::new(File::create(&path).with_context(packing)?);
    io::copy(&mut File::open(root).with_context(|| format!("open {}", root.display()))?, &mut file)
        .with_context(packing)?;
    let mut archive = Archive::new(file);
    let strip = path.with_extension("stripped");
    for (to, program) in programs {
        archive.file(to, &initramfs::without_debug_information(program, &strip)?).with_context(packing)?;
    }
    let packages = workspace::scratch().join("vm/systemd-packages");
    fs::create_dir_all(&packages).with_context(|| format!("create {}", packages.display()))?;
    let agent = packages.join("glassbox");
    let program = initramfs::without_debug_information(executable("glassbox")?, &strip)?;
    archive.file("/usr/lib/glassbox-tests/files/glassbox", &program).with_context(packing)?;
    fs::write(&agent, program).with_context(|| format!("write {}", agent.display()))?;
    for (version, to) in PACKAGES {
        let package = dist::deb(&agent, version, &packages)?;
        let content = fs::read(&package).with_context(|| format!("read {}", package.display()))?;
        archive.data(to, &content).with_context(packing)?;
    }
    for (from, to) in FILES {
        let content = fs::read(workspace::root().join(from)).with_context(|| format!("read {from}"))?;
        archive.data(to, &content).with_context(packing)?;
    }
    archive.data("/etc/systemd/system/glassbox-tests.target", TARGET.as_bytes()).with_context(packing)?;
    archive.data("/etc/systemd/system/glassbox-tests.service", SERVICE.as_bytes()).with_context(packing)?;
    for unit in MASKED {
        archive.link(&format!("/etc/systemd/system/{unit}"), "/dev/null").with_context(packing)?;
    }
    archive.finish().and_then(|mut file| file.flush()).with_context(packing)?;
    Ok(path)
}
