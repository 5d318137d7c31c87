//! One guest, from its start to its verdict.

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
/// Two emulated CPUs, a serial line and nothing else. One thread for both CPUs: with one each, QEMU 7.2 now
/// and then runs a breakpoint that the kernel, patching its own code, has long taken out again (`Oops: int3`).
const MACHINE: &str = "-accel tcg,thread=single -smp 2 -nodefaults -display none -serial stdio -no-reboot \
                       -cpu Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid";

/// Mitigations that are slow on emulated CPUs: page table isolation flushes QEMU's TLB at each system call. Tests take a
/// fifth less time without page table isolation and retpolines. Not `mitigations=off`: the verifier then accepts
/// programs that it rejects on a real host, and a test of the rejection fails.
const FASTER: &str = "pti=off spectre_v2=off";

/// No test takes half of that silence, even where two guests share the CPUs.
const LIMITS: Limits = Limits { total: Duration::from_secs(1200), silence: Duration::from_secs(150) };

/// A guest, and how to boot it.
pub(super) struct Boot<'a> {
    /// Names the file of its console: `console-NAME.log`.
    pub(super) name: &'a str,
    pub(super) kernel: &'a Kernel,
    pub(super) initramfs: &'a Path,
    pub(super) machine: Machine,
    /// Arguments of the tests, separated by commas; init finds them in its environment.
    pub(super) tests: &'a str,
    /// Print the command that boots it.
    pub(super) by_hand: bool,
    /// What the kernel says on the console.
    pub(super) messages: &'a str,
}

/// What differs between the machines of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Its memory. The host provides only what the guest touches.
    pub(super) memory_mib: u32,
    /// More of the kernel's command line.
    pub(super) append: &'static str,
}

impl Machine {
    /// For the kernel tests.
    pub(super) const USUAL: Self = Self { memory_mib: 768, append: "" };
}

/// A guest that said nothing any more.
#[derive(Debug)]
pub(super) struct Hung {
    release: String,
    silent: Duration,
}

impl std::fmt::Display for Hung {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { release, silent } = self;
        write!(formatter, "{release} gave no verdict and has been silent for {} s", silent.as_secs())
    }
}

impl std::error::Error for Hung {}

impl Boot<'_> {
    /// Boots and waits for the verdict. `emit` gets every line of the console as it comes; so does a file.
    pub(super) fn run(&self, emit: &dyn Fn(String)) -> anyhow::Result<(Counts, Vec<Failure>)> {
        let Kernel { release, image, .. } = self.kernel;
        let Machine { memory_mib, append } = self.machine;
        emit(format!("boot {release}"));
        let mut command = Command::new(QEMU);
        command.args(MACHINE.split_whitespace());
        command.args(["-m", &format!("{memory_mib}M")]);
        let line = format!(
            "console=ttyS0 {} panic=-1 {FASTER} glassbox_tests={} {append}",
            self.messages, self.tests
        );
        command.args(["-append", line.trim_end()]);
        command.arg("-kernel").arg(image).arg("-initrd").arg(self.initramfs);
        if self.by_hand {
            emit(format!("by hand: {command:?}"));
        }
        let log = workspace::scratch().join(format!("vm/console-{}.log", self.name));
        let guest = Child::start(&mut command, Output::Stdout)?.with_limits(LIMITS).with_log(&log)?;
        let mut failures = failures::Reader::default();
        let (verdict, end) = follow(guest, &mut |line| {
            failures.line(&line);
            emit(line);
            Ok(())
        })?;
        match (verdict, end) {
            (Some(Verdict { counts, exit: 0 }), _) if counts.passed + counts.failed + counts.skipped == 0 => {
                bail!("{release} ran no test")
            }
            (Some(Verdict { counts, exit }), _) if exit == 0 || counts.failed > 0 => {
                Ok((counts, failures.end()))
            }
            (Some(Verdict { exit, .. }), _) => bail!("the tests ended with {exit} on {release}"),
            (None, End::Exited(_)) => bail!("{release} ended without a verdict"),
            (None, End::TimedOut(time)) => bail!("{release} gave no verdict in {} s", time.as_secs()),
            (None, End::Silent(silent)) => Err(Hung { release: release.clone(), silent }.into()),
        }
    }
}

/// Runs a command until it ends or passes the limits; `take` gets each line.
fn follow(
    mut child: Child,
    take: &mut dyn FnMut(String) -> anyhow::Result<()>,
) -> anyhow::Result<(Option<Verdict>, End)> {
    let mut verdict = None;
    let end = child.follow(|line| {
        verdict = parse_verdict(&line).or_else(|| verdict.take());
        take(line)
    })?;
    Ok((verdict, end))
}

/// The guest's last word.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    counts: Counts,
    /// Exit status of the tests; 128 and the number of the signal that ended them.
    exit: i32,
}

fn parse_verdict(line: &str) -> Option<Verdict> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["GUEST", "passed", passed, "failed", failed, "skipped", skipped, "exit", exit] = words[..] else {
        return None;
    };
    let counts =
        Counts { passed: passed.parse().ok()?, failed: failed.parse().ok()?, skipped: skipped.parse().ok()? };
    Some(Verdict { counts, exit: exit.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_verdict_is_one() {
        let counts = Counts { passed: 5, failed: 1, skipped: 2 };
        let line = "GUEST passed 5 failed 1 skipped 2 exit 101";
        assert_eq!(parse_verdict(line), Some(Verdict { counts, exit: 101 }));
        for line in
            ["GUEST passed 5 failed 1 skipped", "GUEST passed x failed 1 skipped 2 exit 0", "passed 5"]
        {
            assert_eq!(parse_verdict(line), None, "{line}");
        }
    }

    /// What becomes of a shell script that stands for a guest.
    fn end_of(script: &str, limit_ms: u64, silence_ms: u64) -> (Option<Verdict>, End) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let limits =
            Limits { total: Duration::from_millis(limit_ms), silence: Duration::from_millis(silence_ms) };
        let guest = Child::start(&mut command, Output::Stdout).unwrap().with_limits(limits);
        follow(guest, &mut |_| Ok(())).unwrap()
    }

    #[test]
    fn a_guest_that_falls_silent_is_told_from_one_that_speaks_for_ever() {
        let (verdict, end) = end_of("echo one; exec sleep 60", 60_000, 300);
        assert!(verdict.is_none() && matches!(end, End::Silent(_)), "{end:?}");
        let (verdict, end) = end_of("while echo on; do sleep 0.05; done", 500, 60_000);
        assert!(verdict.is_none() && matches!(end, End::TimedOut(_)), "{end:?}");
    }

    #[test]
    fn a_guest_that_ends_is_believed_by_its_verdict() {
        let (verdict, end) = end_of("echo GUEST passed 1 failed 0 skipped 0 exit 0", 60_000, 60_000);
        assert!(matches!((verdict, end), (Some(Verdict { exit: 0, .. }), End::Exited(_))), "{end:?}");
        let (verdict, end) = end_of("exit 1", 60_000, 60_000);
        assert!(verdict.is_none() && matches!(end, End::Exited(_)), "{end:?}");
    }
}
