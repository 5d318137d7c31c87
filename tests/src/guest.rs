//! Process 1 of a test guest. It sets up a minimal system, loads the stand-in for the NVIDIA driver, runs the tests, prints
//! the result and powers off. In the guest with systemd, it is a service that only runs the tests.
//!
//! All other guests are a kernel with an initramfs: no disk, no network except `lo`, and a pure cgroup v2 hierarchy with the
//! controllers that container hosts enable. The arguments of the tests are on the kernel's command line:
//! `glassbox_tests=ARGUMENT,ARGUMENT`. The last line of output is the verdict: `GUEST passed N failed N skipped N exit N`.

use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use crate::{agent, nvidia_module};

#[path = "../../xtask/src/counts.rs"]
mod counts;

/// Filesystem types and mount points, parents first.
const MOUNTS: [(&str, &str); 9] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
    ("tracefs", "/sys/kernel/tracing"),
    ("debugfs", "/sys/kernel/debug"),
];
/// The controllers of the tests' cgroups.
const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];
const CGROUPS: &str = "/sys/fs/cgroup";
/// The kernel's parameter with the arguments of the tests.
const TESTS: &str = "glassbox_tests=";
/// Exists while systemd is process 1, see sd_booted(3).
const SYSTEMD: &str = "/run/systemd/system";
/// The agent, in guests with tests that start it.
const AGENT: &str = "/bin/glassbox";

/// True in a guest, which has only the programs that its initramfs contains.
#[must_use]
pub fn is_guest() -> bool {
    arguments().is_some()
}

/// True in a guest with systemd as process 1.
#[must_use]
pub fn has_systemd() -> bool {
    is_guest() && Path::new(SYSTEMD).is_dir()
}

/// The arguments of the tests, separated by commas; `None` if this is not a guest.
fn arguments() -> Option<String> {
    let line = fs::read_to_string("/proc/cmdline").ok()?;
    line.split_whitespace().find_map(|word| word.strip_prefix(TESTS)).map(str::to_owned)
}

/// Runs the guest to its end. Never call this elsewhere: it mounts filesystems and powers the machine off.
pub fn main() {
    let system = match std::process::id() {
        1 => make_system(),
        _ if has_systemd() => Ok(()),
        _ => {
            eprintln!("guest-init is for virtual machines, see `cargo xtask vm`");
            std::process::exit(2);
        }
    };
    match system.and_then(|()| run_tests()) {
        Ok((counts, exit)) => {
            let counts::Counts { passed, failed, skipped } = counts;
            println!("GUEST passed {passed} failed {failed} skipped {skipped} exit {exit}");
        }
        // Without a verdict, the host counts the guest as failed.
        Err(error) => println!("guest-init: {error:#}"),
    }
    // SAFETY: sync and reboot take no pointers. A guest has no data that powering off could lose.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
}

fn make_system() -> anyhow::Result<()> {
    for (kind, target) in MOUNTS {
        fs::create_dir_all(target).with_context(|| format!("create {target}"))?;
        mount(kind, target)?;
    }
    fs::write("/proc/sys/kernel/hostname", "guest").context("set the host name")?;
    let offered =
        fs::read_to_string(format!("{CGROUPS}/cgroup.controllers")).context("read the controllers")?;
    for controller in CONTROLLERS {
        if offered.split_whitespace().any(|name| name == controller) {
            fs::write(format!("{CGROUPS}/cgroup.subtree_control"), format!("+{controller}"))
                .with_context(|| format!("enable the {controller} controller"))?;
        }
    }
    busybox(&["--install", "-s", "/bin"])?;
    busybox(&["ip", "link", "set", "lo", "up"])?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the kernel's release")?;
    println!("guest-init: Linux {}, controllers {}", release.trim(), offered.trim());
    match nvidia_module::directory() {
        Some(_) => nvidia_module::load("")?,
        None => println!("guest-init: no NVIDIA stand-in for this kernel"),
    }
    Ok(())
}

fn mount(kind: &str, target: &str) -> anyhow::Result<()> {
    let text = |text: &str| std::ffi::CString::new(text).context("make a C string");
    let (c_kind, c_target) = (text(kind)?, text(target)?);
    // SAFETY: three C strings that outlive the call; no data is passed.
    let result =
        unsafe { libc::mount(c_kind.as_ptr(), c_target.as_ptr(), c_kind.as_ptr(), 0, std::ptr::null()) };
    if result == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error()).with_context(|| format!("mount {kind} at {target}"))
}

fn busybox(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("/bin/busybox").args(arguments).status().context("run busybox")?;
    anyhow::ensure!(status.success(), "busybox {}: {status}", arguments.join(" "));
    Ok(())
}

/// Runs the tests one at a time. Returns the counts, and the exit status as a shell reports it.
fn run_tests() -> anyhow::Result<(counts::Counts, i32)> {
    let arguments = arguments().unwrap_or_default();
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    let mut command = Command::new("/tests");
    command
        .args(["--test-threads=1", "--show-output"])
        .args(arguments.split(',').filter(|argument| !argument.is_empty()))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("GLASSBOX_TESTS_GUEST", "1")
        .env("GLASSBOX_TESTS_STRICT", "1")
        .stdout(writer.try_clone().context("duplicate a pipe")?)
        .stderr(writer);
    if Path::new(AGENT).is_file() {
        command.env(agent::VARIABLE, AGENT);
    }
    let child = command.spawn().context("run /tests")?;
    drop(command);
    let counts = follow(reader);
    let status = wait_for(child.id())?;
    let exit = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok((counts().end(status.success()), exit))
}

/// Prints and counts lines as they arrive. The returned function gives the counts once the tests have ended: at the end of
/// the output, or after a timeout if a process that outlived its test holds the pipe open.
fn follow(reader: PipeReader) -> impl FnOnce() -> counts::Reader {
    let counts = Arc::new(Mutex::new(counts::Reader::default()));
    let (sender, ended) = channel::<()>();
    let writing = Arc::clone(&counts);
    std::thread::spawn(move || {
        let _ended_with_this = sender;
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            writing.lock().unwrap_or_else(PoisonError::into_inner).line(&line);
        }
    });
    move || {
        // The end of the output and the timeout both end the wait.
        let _ = ended.recv_timeout(Duration::from_secs(1));
        std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits for one process and reaps all others that exit meanwhile, because process 1 inherits every orphan.
fn wait_for(process: u32) -> anyhow::Result<ExitStatus> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a live integer, and nothing else is written.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if ended < 0 {
            return Err(std::io::Error::last_os_error()).context("wait for the tests");
        }
        if u32::try_from(ended).is_ok_and(|ended| ended == process) {
            return Ok(ExitStatus::from_raw(status));
        }
    }
}
