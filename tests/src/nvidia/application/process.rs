//! `fake-cuda` as a child process of a test.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use super::super::Driver;
use crate::{cgroup::v2_root, docker::Container};

/// A running application, which is killed when dropped.
pub struct FakeCuda {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl FakeCuda {
    /// Starts the program on a driver's first GPU, with profiles and their flags as on its command line. A test names
    /// the program by `env!("CARGO_BIN_EXE_fake-cuda")`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(program: &Path, driver: &dyn Driver, profiles: &str) -> Self {
        Self::start_on(program, driver, 0, profiles)
    }

    /// Like [`start`](Self::start), on any GPU.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_on(program: &Path, driver: &dyn Driver, gpu: usize, profiles: &str) -> Self {
        let mut command = Command::new(program);
        command
            .arg("--ctl")
            .arg(driver.ctl())
            .arg("--gpu")
            .arg(driver.gpu(gpu))
            .arg("--uvm")
            .arg(driver.uvm());
        command.args(["--release", &driver.release().to_string()]).args(profiles.split_whitespace());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        let output = child.stdout.take().unwrap_or_else(|| panic!("no output of {}", program.display()));
        Self { input: child.stdin.take(), output: BufReader::new(output), child }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap_or_else(|error| panic!("read from fake-cuda: {error}"));
        line.trim_end().to_owned()
    }

    /// Waits until the application waits: profile `wait`.
    ///
    /// # Panics
    /// If it prints something else.
    pub fn waiting(&mut self) {
        assert_eq!(self.line(), "waiting");
    }

    /// Moves it into the cgroup of a running container of Docker.
    ///
    /// # Panics
    /// If the container has no cgroup in a v2 hierarchy.
    pub fn enter(&self, container: &Container<'_>) {
        let lines = fs::read_to_string(format!("/proc/{}/cgroup", container.pid()));
        let lines = lines.unwrap_or_else(|error| panic!("read the cgroup of {}: {error}", container.id));
        let path = lines.lines().find_map(|line| line.strip_prefix("0::/"));
        let (Some(root), Some(path)) = (v2_root(), path) else { panic!("no v2 hierarchy: {lines}") };
        let moved = fs::write(root.join(path).join("cgroup.procs"), self.pid().to_string());
        moved.unwrap_or_else(|error| panic!("enter the cgroup of {}: {error}", container.id));
    }

    /// Lets it continue after `wait`.
    ///
    /// # Panics
    /// If it has closed its standard input.
    pub fn go(&mut self) {
        let input = self.input.as_mut().unwrap_or_else(|| panic!("the input of fake-cuda is closed"));
        input.write_all(b"go\n").unwrap_or_else(|error| panic!("write to fake-cuda: {error}"));
    }

    /// Waits until the application holds its memory, and returns its account so far: profile `hold`.
    ///
    /// # Panics
    /// If it prints something else.
    #[must_use]
    pub fn holding(&mut self) -> Value {
        let line = self.line();
        let truth = line
            .strip_prefix("holding ")
            .unwrap_or_else(|| panic!("unexpected output of fake-cuda: {line:?}"));
        parse(truth)
    }

    /// Lets it exit and returns its account.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn truth(mut self) -> Value {
        drop(self.input.take());
        let truth = self.line();
        let status = self.child.wait().unwrap_or_else(|error| panic!("wait for fake-cuda: {error}"));
        assert!(status.success(), "fake-cuda: {status}, {truth:?}");
        parse(&truth)
    }

    /// Lets it exit and returns its status, if no signal ended it.
    ///
    /// # Panics
    /// If the kernel does not report its end.
    #[must_use]
    pub fn exit_code(mut self) -> Option<i32> {
        drop(self.input.take());
        let status = self.child.wait().unwrap_or_else(|error| panic!("wait for fake-cuda: {error}"));
        status.code()
    }

    /// Kills it with SIGKILL, like the kernel when memory runs out.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for FakeCuda {
    fn drop(&mut self) {
        self.kill();
    }
}

fn parse(truth: &str) -> Value {
    serde_json::from_str(truth).unwrap_or_else(|error| panic!("parse {truth:?}: {error}"))
}
