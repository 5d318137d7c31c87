//! Boots one guest and reads its test result from the console.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use super::kernels::Kernel;
use crate::child::{Child, End, Limits, Output};
use crate::counts::Counts;
use crate::failures::{self, Failure};
use crate::workspace;

pub(super) const QEMU: &str = "qemu-system-x86_64";
/// Two emulated CPUs and a serial console. One thread for both CPUs: with a thread for each, QEMU 7.2 sometimes executes a
/// breakpoint that the kernel has already removed while it patches its code (`Oops: int3`).
const MACHINE: &str = "-accel tcg,thread=single -smp 2 -nodefaults -display none -serial stdio -no-reboot \
                       -cpu Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid";

/// Disables mitigations that are slow on emulated CPUs: page table isolation flushes QEMU's TLB at each system call. Tests
/// take 20 % less time without page table isolation and retpolines. Not `mitigations=off`: the verifier then accepts
/// programs that it rejects on a real host.
const FASTER: &str = "pti=off spectre_v2=off";
/// The kernel tests its timer at boot and panics if an emulated CPU gets no time during the test (seen with 5.10).
const BUSY_HOST: &str = "no_timer_check";

/// Time limit of a guest.
const TOTAL: Duration = Duration::from_secs(1200);

/// A guest and its boot options.
pub(super) struct Boot<'a> {
    /// Name of the console log: `console-NAME.log`.
    pub(super) name: &'a str,
    pub(super) kernel: &'a Kernel,
    pub(super) initramfs: &'a Path,
    pub(super) machine: Machine,
    /// Comma-separated arguments of the test binary; init reads them from its environment.
    pub(super) tests: &'a str,
    /// Print the QEMU command.
    pub(super) keep: bool,
    /// Kernel parameter for the verbosity of console messages.
    pub(super) verbosity: &'a str,
}

/// Properties of a guest's virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Memory size. The host allocates only pages that the guest touches.
    pub(super) memory_mib: u32,
    /// Additional kernel parameters.
    pub(super) append: &'static str,
    /// A guest that prints nothing for this time hangs. No test is silent for half of it, even if two guests share the CPUs.
    pub(super) silence: Duration,
}

impl Machine {
    /// The machine for kernel tests.
    pub(super) const DEFAULT: Self = Self { memory_mib: 1024, append: "", silence: Duration::from_secs(150) };
}

/// A guest that hung: it was silent for longer than the limit.
#[derive(Debug)]
pub(super) struct Hung {
    release: String,
    silent: Duration,
}

impl std::fmt::Display for Hung {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { release, silent } = self;
        write!(formatter, "{release} hung: no console output for {} s", silent.as_secs())
    }
}

impl std::error::Error for Hung {}

impl Boot<'_> {
    /// Boots the guest and waits for its result. Each console line goes to `emit` and to the console log.
    pub(super) fn run(&self, emit: &dyn Fn(String)) -> anyhow::Result<(Counts, Vec<Failure>)> {
        let Kernel { release, image, .. } = self.kernel;
        let Machine { memory_mib, append, silence } = self.machine;
        emit(format!("boot {release}"));
        let mut command = Command::new(QEMU);
        command.args(MACHINE.split_whitespace());
        command.args(["-m", &format!("{memory_mib}M")]);
        let line = format!(
            "console=ttyS0 {} panic=-1 {FASTER} {BUSY_HOST} glassbox_tests={} {append}",
            self.verbosity, self.tests
        );
        command.args(["-append", line.trim_end()]);
        command.arg("-kernel").arg(image).arg("-initrd").arg(self.initramfs);
        if self.keep {
            emit(format!("QEMU command: {command:?}"));
        }
        let log = workspace::scratch().join(format!("vm/console-{}.log", self.name));
        let guest = Child::start(&mut command, Output::Stdout)?
            .with_limits(Limits { total: TOTAL, silence })
            .with_log(&log)?;
        let mut failures = failures::Reader::default();
        let (result, end) = follow(guest, &mut |line| {
            failures.line(&line);
            emit(line);
            Ok(())
        })?;
        match (result, end) {
            (Some(TestResult { counts, exit: 0 }), _)
                if counts.passed + counts.failed + counts.skipped == 0 =>
            {
                bail!("{release} ran no test")
            }
            (Some(TestResult { counts, exit }), _) if exit == 0 || counts.failed > 0 => {
                Ok((counts, failures.end()))
            }
            (Some(TestResult { exit, .. }), _) => bail!("the test binary exited with {exit} on {release}"),
            (None, End::Exited(_)) => bail!("{release} ended without a test result"),
            (None, End::TimedOut(time)) => bail!("{release} had no test result after {} s", time.as_secs()),
            (None, End::Silent(silent)) => Err(Hung { release: release.clone(), silent }.into()),
        }
    }
}

/// Follows a guest to its end; `take` gets each console line.
fn follow(
    mut child: Child,
    take: &mut dyn FnMut(String) -> anyhow::Result<()>,
) -> anyhow::Result<(Option<TestResult>, End)> {
    let mut result = None;
    let end = child.follow(|line| {
        result = parse_result(&line).or_else(|| result.take());
        take(line)
    })?;
    Ok((result, end))
}

/// The test result, which is the last line that init prints.
#[derive(Debug, PartialEq, Eq)]
struct TestResult {
    counts: Counts,
    /// Exit status of the test binary; 128 + N if signal N ended it.
    exit: i32,
}

fn parse_result(line: &str) -> Option<TestResult> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["GUEST", "passed", passed, "failed", failed, "skipped", skipped, "exit", exit] = words[..] else {
        return None;
    };
    let counts =
        Counts { passed: passed.parse().ok()?, failed: failed.parse().ok()?, skipped: skipped.parse().ok()? };
    Some(TestResult { counts, exit: exit.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_result_line_is_ignored() {
        let counts = Counts { passed: 5, failed: 1, skipped: 2 };
        let line = "GUEST passed 5 failed 1 skipped 2 exit 101";
        assert_eq!(parse_result(line), Some(TestResult { counts, exit: 101 }));
        for line in
            ["GUEST passed 5 failed 1 skipped", "GUEST passed x failed 1 skipped 2 exit 0", "passed 5"]
        {
            assert_eq!(parse_result(line), None, "{line}");
        }
    }

    /// The result of a shell script in place of a guest.
    fn end_of(script: &str, limit_ms: u64, silence_ms: u64) -> (Option<TestResult>, End) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let limits =
            Limits { total: Duration::from_millis(limit_ms), silence: Duration::from_millis(silence_ms) };
        let guest = Child::start(&mut command, Output::Stdout).unwrap().with_limits(limits);
        follow(guest, &mut |_| Ok(())).unwrap()
    }

    #[test]
    fn a_silent_guest_is_distinguished_from_one_that_runs_too_long() {
        let (result, end) = end_of("echo one; exec sleep 60", 60_000, 300);
        assert!(result.is_none() && matches!(end, End::Silent(_)), "{end:?}");
        let (result, end) = end_of("while echo on; do sleep 0.05; done", 500, 60_000);
        assert!(result.is_none() && matches!(end, End::TimedOut(_)), "{end:?}");
    }

    #[test]
    fn the_result_line_of_a_guest_that_exits_is_returned() {
        let (result, end) = end_of("echo GUEST passed 1 failed 0 skipped 0 exit 0", 60_000, 60_000);
        assert!(matches!((result, end), (Some(TestResult { exit: 0, .. }), End::Exited(_))), "{end:?}");
        let (result, end) = end_of("exit 1", 60_000, 60_000);
        assert!(result.is_none() && matches!(end, End::Exited(_)), "{end:?}");
    }
}
