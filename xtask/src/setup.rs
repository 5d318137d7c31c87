//! `cargo xtask setup`: finds or installs what building, testing and measuring glassbox need.
//!
//! Each step says what it does; one that is done already costs a look. What needs root is done by root only:
//! anybody else is told the commands to type.

mod ebpf;

use crate::{debian, debian::Conflicts, prometheus, step, toolchain};

/// Find or install what the build needs.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Also what the tests need: Docker, Podman, QEMU, a C compiler, load generators and a Prometheus that is unpacked, not installed
    #[arg(long)]
    pub(crate) tests: bool,
    /// Also the tools glassbox is measured against
    #[arg(long)]
    pub(crate) bench: bool,
    /// Let apt remove installed packages that conflict with needed ones; meant for CI machines
    #[arg(long)]
    pub(crate) remove_conflicting: bool,
}

/// What the tests run, and the package that has it.
const TEST_PROGRAMS: [(&str, &str); 11] = [
    // With containerd and runc.
    ("dockerd", "docker.io"),
    ("podman", "podman"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("ps", "procps"),
    ("stress-ng", "stress-ng"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    // For the kernel module that guests load.
    ("gcc", "gcc"),
    ("make", "make"),
    // For filesystems with quotas.
    ("mkfs.ext4", "e2fsprogs"),
    // Only the static one works alone in a container or a guest, and both have the same name.
    ("", "busybox-static"),
];

/// What the benchmarks run and compare glassbox with, and the package that has it.
const BENCH_PROGRAMS: [(&str, &str); 5] = [
    ("runqlat", "libbpf-tools"),
    ("bpftool", "bpftool"),
    ("stress-ng", "stress-ng"),
    ("dockerd", "docker.io"),
    ("", "busybox-static"),
];

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    println!("Setting up: the kernel programs");
    ebpf::ensure()?;
    let conflicts = if arguments.remove_conflicting { Conflicts::Remove } else { Conflicts::Refuse };
    if arguments.tests {
        println!("Setting up: the tests");
        programs("programs for the tests", &TEST_PROGRAMS, conflicts)?;
        prometheus::fetch()?;
    }
    if arguments.bench {
        println!("Setting up: the benchmarks");
        programs("programs for the benchmarks", &BENCH_PROGRAMS, conflicts)?;
    }
    Ok(())
}

/// Installs the packages whose programs are not there.
fn programs(what: &str, programs: &[(&str, &str)], conflicts: Conflicts) -> anyhow::Result<()> {
    let is_missing = |(program, package): &(&str, &str)| {
        if program.is_empty() { !debian::missing(&[package]).is_empty() } else { !is_installed(program) }
    };
    let packages: Vec<&str> =
        programs.iter().filter(|pair| is_missing(pair)).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        let all: Vec<&str> = programs.iter().map(|(_, package)| *package).collect();
        step::note(&format!("{what}: there ({})", all.join(" ")));
        return Ok(());
    }
    anyhow::ensure!(
        debian::distribution().is_some(),
        "{what}: install what your distribution calls {}",
        packages.join(" ")
    );
    debian::install(what, &packages, conflicts)
}

/// Whether a program is in PATH or where root's programs are, which not everyone has in PATH.
fn is_installed(program: &str) -> bool {
    let for_root = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
    toolchain::in_path(program).is_some()
        || for_root.iter().any(|dir| std::path::Path::new(dir).join(program).is_file())
}
