//! `cargo xtask vm`: the kernel tests on other kernels than this host's, each in a small virtual machine.
//!
//! A guest is a Debian kernel and an initramfs with our init, the test binary, busybox and a stand-in for the NVIDIA
//! driver: no disk, no network. It is emulated (QEMU's TCG) even where KVM is at hand: KVM inside a virtual machine often is, and then dies.
//! A guest boots in about three seconds; the kernels are downloaded once.

mod cpio;
mod initramfs;
mod kernels;
mod module;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::report::{self, Row};
use crate::tally::Tally;
use crate::{step, toolchain, workspace};
use kernels::Kernel;

/// The kernels that every change is tested on: the oldest supported, and those of the two Debians in use.
pub(crate) const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];

/// No guest takes longer.
const LIMIT: Duration = Duration::from_secs(900);
/// A guest that says nothing for so long is taken for hung; no test takes half of that.
const SILENCE: Duration = Duration::from_secs(150);
const QEMU: &str = "qemu-system-x86_64";
/// Two emulated CPUs, little memory, a serial line and nothing else. One thread for both CPUs: with one each, QEMU 7.2 now
/// and then runs a breakpoint that the kernel, patching its own code, has long taken out again (`Oops: int3`).
const MACHINE: &str = "-accel tcg,thread=single -smp 2 -m 768M -nodefaults -display none -serial stdio -no-reboot \
                       -cpu Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid";

/// Run the kernel tests in virtual machines, on several kernels.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Kernel series, such as 6.1; may be given several times [default: 5.10, 6.1 and 6.12]
    #[arg(long = "kernel", value_name = "SERIES")]
    pub(crate) kernels: Vec<String>,
    /// Keep the initramfs, and say how to boot it by hand
    #[arg(long)]
    pub(crate) keep: bool,
    /// Only the tests whose names contain one of these
    #[arg(last = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    report::print(&rows(arguments))
}

/// Runs the tests in one guest after the other; one row each.
pub(crate) fn rows(arguments: &Arguments) -> Vec<Row> {
    let usual = KERNELS.map(str::to_owned);
    let all = if arguments.kernels.is_empty() { &usual[..] } else { &arguments.kernels };
    let started = Instant::now();
    let guests: Vec<_> = all.iter().map(|series| Guest::find(series)).collect();
    let modules: Vec<_> = guests.iter().flatten().filter_map(Guest::module).collect();
    match prepare(&arguments.filters, &modules) {
        Ok(initramfs) => {
            let rows = all
                .iter()
                .zip(guests)
                .map(|(series, guest)| row(series, guest, &initramfs, arguments).announce());
            let rows = rows.collect();
            if !arguments.keep {
                // A leftover costs disk space, nothing else.
                let _ = fs::remove_file(&initramfs);
            }
            rows
        }
        Err(error) => {
            let broken = |series: &String| Row::broken(&layer(series), started.elapsed(), &error).announce();
            all.iter().map(broken).collect()
        }
    }
}

/// What a guest boots with.
struct Guest {
    kernel: Kernel,
    /// The stand-in for the NVIDIA driver; `None` where the kernel's headers are not to be had.
    module: anyhow::Result<Option<PathBuf>>,
}

impl Guest {
    fn find(series: &str) -> anyhow::Result<Self> {
        let kernel = kernels::fetch(series)?;
        let module = module::build(&kernel);
        Ok(Self { kernel, module })
    }

    fn module(&self) -> Option<(String, PathBuf)> {
        let module = self.module.as_ref().ok()?.clone()?;
        Some((self.kernel.name(), module))
    }
}

/// Runs the tests in one guest.
fn row(series: &str, guest: anyhow::Result<Guest>, initramfs: &Path, arguments: &Arguments) -> Row {
    let (kernel, module) = match guest {
        Ok(Guest { kernel, module }) => (kernel, module),
        // Whoever names a kernel wants that one; the usual ones depend on what mirrors still have.
        Err(error) if arguments.kernels.is_empty() => {
            return Row::skipped(&layer(series), format!("{error:#}"));
        }
        Err(error) => return Row::broken(&layer(series), Duration::ZERO, &error),
    };
    let without = match module {
        Ok(Some(_)) => "",
        Ok(None) => ", without the NVIDIA stand-in: its headers are not to be had",
        Err(error) => return Row::broken(&layer(series), Duration::ZERO, &error),
    };
    let started = Instant::now();
    let mut note = format!("Linux {}{without}", kernel.release);
    let mut outcome = boot(&kernel, initramfs, arguments.keep, "quiet");
    if let Some(error) = outcome.as_ref().err().filter(|error| error.is::<Hung>()) {
        // Seen once, on a host with more to do than CPUs: an emulated CPU got no timer interrupt any more. Twice in a row
        // is a fault of ours.
        step::note(&format!("{error:#}; once more, with the kernel's warnings"));
        note += ", hung at first";
        outcome = boot(&kernel, initramfs, arguments.keep, "loglevel=5");
    }
    match outcome {
        Ok(tally) => Row { layer: layer(series), tally, took: started.elapsed(), note: Some(note) },
        Err(error) => Row::broken(&layer(series), started.elapsed(), &error),
    }
}

/// What the row of a kernel is called.
fn layer(series: &str) -> String {
    format!("vm {series}")
}

/// Builds the tests and packs them; the path of the initramfs.
fn prepare(filters: &[String], modules: &[(String, PathBuf)]) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(cfg!(target_arch = "x86_64"), "the guests' kernels are x86-64 and this host is not");
    toolchain::in_path(QEMU).with_context(|| format!("find {QEMU}: `cargo xtask setup --tests`"))?;
    println!("  > build the kernel tests");
    let built = build()?;
    let executable =
        |name: &str| built.get(name).with_context(|| format!("find {name} among what cargo built"));
    let dir = workspace::scratch().join("vm");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join("initramfs.cpio");
    let content = initramfs::Content {
        init: executable("guest-init")?,
        tests: executable("kernel")?,
        arguments: filters,
        modules,
    };
    initramfs::pack(&content, &path).context("pack the initramfs")?;
    Ok(path)
}

/// Executables of the kernel tests, by the name of their target.
fn build() -> anyhow::Result<HashMap<String, PathBuf>> {
    let mut command = workspace::cargo();
    command.args(["test", "--package", "glassbox-tests", "--test", "kernel", "--no-run"]);
    command
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().context("run cargo")?;
    anyhow::ensure!(output.status.success(), "build the kernel tests: {}", output.status);
    Ok(parse_executables(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_executables(messages: &str) -> HashMap<String, PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter_map(|message| {
            let executable = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), executable.into()))
        })
        .collect()
}

/// A guest that says nothing any more.
#[derive(Debug)]
struct Hung {
    release: String,
    silent: Duration,
}

impl std::fmt::Display for Hung {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} gave no verdict and has been silent for {} s",
            self.release,
            self.silent.as_secs()
        )
    }
}

impl std::error::Error for Hung {}

/// Boots one guest and waits for its verdict. `messages` decides what its kernel says on the console.
fn boot(kernel: &Kernel, initramfs: &Path, keep: bool, messages: &str) -> anyhow::Result<Tally> {
    let Kernel { series, release, image } = kernel;
    step::note(&format!("boot {release}"));
    let mut command = Command::new(QEMU);
    command.args(MACHINE.split_whitespace()).args(["-append", &format!("console=ttyS0 {messages} panic=-1")]);
    command.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    if keep {
        step::note(&format!("by hand: {command:?}"));
    }
    let log = workspace::scratch().join(format!("vm/console-{series}.log"));
    let mut log = File::create(&log).with_context(|| format!("create {}", log.display()))?;

    let started = Instant::now();
    let mut guest = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("start {QEMU}"))?;
    let console = guest.stdout.take().context("read the guest's console")?;
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    let (mut verdict, mut heard) = (None, Instant::now());
    let in_time = loop {
        match lines.recv_timeout(LIMIT.saturating_sub(started.elapsed()).min(SILENCE)) {
            Ok(line) => {
                heard = Instant::now();
                println!("[{series}] {line}");
                writeln!(log, "{line}").context("write the console's log")?;
                verdict = parse_verdict(&line).or(verdict);
            }
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => break false,
        }
    };
    // Fails only for one that has ended by itself, which is what is wanted.
    let _ = guest.kill();
    guest.wait().with_context(|| format!("wait for {QEMU}"))?;
    // Its input ended with the guest.
    let _ = reader.join();
    match verdict {
        Some(Verdict { tally, exit: 0 }) if tally.passed + tally.failed + tally.skipped == 0 => {
            bail!("{release} ran no test")
        }
        Some(Verdict { tally, exit }) if exit == 0 || tally.failed > 0 => Ok(tally),
        Some(Verdict { exit, .. }) => bail!("the tests ended with {exit} on {release}"),
        None if in_time => bail!("{release} ended without a verdict"),
        None => Err(Hung { release: release.clone(), silent: heard.elapsed() }.into()),
    }
}

/// The guest's last word.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    tally: Tally,
    /// Exit status of the tests; 128 and the number of the signal that ended them.
    exit: i32,
}

fn parse_verdict(line: &str) -> Option<Verdict> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["GUEST", "passed", passed, "failed", failed, "skipped", skipped, "exit", exit] = words[..] else {
        return None;
    };
    let tally =
        Tally { passed: passed.parse().ok()?, failed: failed.parse().ok()?, skipped: skipped.parse().ok()? };
    Some(Verdict { tally, exit: exit.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_verdict_is_one() {
        let tally = Tally { passed: 5, failed: 1, skipped: 2 };
        let line = "GUEST passed 5 failed 1 skipped 2 exit 101";
        assert_eq!(parse_verdict(line), Some(Verdict { tally, exit: 101 }));
        for line in
            ["GUEST passed 5 failed 1 skipped", "GUEST passed x failed 1 skipped 2 exit 0", "passed 5"]
        {
            assert_eq!(parse_verdict(line), None, "{line}");
        }
    }

    #[test]
    fn executables_are_found_among_cargos_other_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"glassbox"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"kernel"},"executable":"/t/kernel-1"}
not json
{"reason":"build-finished","success":true}"#;
        let expected = HashMap::from([("kernel".to_owned(), PathBuf::from("/t/kernel-1"))]);
        assert_eq!(parse_executables(messages), expected);
    }
}
