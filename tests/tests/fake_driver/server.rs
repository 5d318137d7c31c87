//! The mount: its creation, its removal however the server ends, and hanging requests.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use glassbox_tests::nvidia::driver::{FakeDriver, Options};

use crate::{application, driver};

#[test]
fn the_directory_has_four_files_until_the_driver_is_dropped() {
    let test = "the_directory_has_four_files_until_the_driver_is_dropped";
    let Some(driver) = driver(test, Options::default()) else { return };
    let directory = driver.directory().to_owned();
    let mut names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["nvidia-uvm", "nvidia0", "nvidia1", "nvidiactl"]);
    assert!(is_mounted(&directory));
    drop(driver);
    assert!(!is_mounted(&directory) && !directory.exists());
}

#[test]
fn a_hanging_application_can_be_killed() {
    let test = "a_hanging_application_can_be_killed";
    let hang = Some("uvm:33".parse().unwrap());
    let Some(driver) = driver(test, Options { hang, ..Options::default() }) else { return };
    let mut hung = application(&driver, "allocate");
    until(|| driver.hanging() == 1);
    hung.kill();
    assert!(driver.idle_within(Duration::from_secs(5)));
    assert_eq!((driver.hanging(), driver.used_bytes(0)), (0, 0));
}

#[test]
fn a_hanging_application_continues_when_the_driver_is_dropped() {
    let test = "a_hanging_application_continues_when_the_driver_is_dropped";
    let hang = Some("0x4a".parse().unwrap());
    let Some(driver) = driver(test, Options { hang, ..Options::default() }) else { return };
    let hung = application(&driver, "allocate");
    until(|| driver.hanging() == 1);
    let pid = hung.pid();
    drop(driver);
    until(|| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z ")));
}

#[test]
fn a_request_takes_as_long_as_the_configured_latency() {
    let test = "a_request_takes_as_long_as_the_configured_latency";
    let Some(driver) = driver(test, Options { latency_us: 2000, ..Options::default() }) else { return };
    let truth = application(&driver, "migrate --count 5").truth();
    let took_ns = truth["phases"][0]["took_ns"].as_u64().unwrap();
    let sent = truth["sent"].as_u64().unwrap();
    assert!(took_ns >= sent * 2_000_000, "{sent} requests took {took_ns} ns");
}

#[test]
fn the_program_unmounts_on_sigterm_and_the_next_one_after_sigkill() {
    let test = "the_program_unmounts_on_sigterm_and_the_next_one_after_sigkill";
    let Some(_) = driver(test, Options::default()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut orderly = program(directory.path());
    assert!(is_mounted(directory.path()));
    // SAFETY: no pointers; the child is ours and not yet reaped.
    unsafe { libc::kill(orderly.id().cast_signed(), libc::SIGTERM) };
    assert!(orderly.wait().unwrap().success());
    assert!(!is_mounted(directory.path()));
    let mut killed = program(directory.path());
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(FakeDriver::start(Options::default()).unwrap());
    assert!(!is_mounted(directory.path()));
}

/// Starts `fake-nvidia` on a directory and waits until it is ready.
fn program(directory: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-nvidia"));
    command.arg("--mount").arg(directory).args(["--release", "550.54.14", "--memory-mib", "256"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), format!("ready {}", directory.display()));
    child
}

fn is_mounted(directory: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == directory.to_str())
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not done after 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
