//! `fake-cuda`'s command line: the paths of the driver, and the profiles to run in order.

use std::{
    io::{BufRead as _, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, bail};

use super::{
    context, hostile,
    ledger::monotonic_ns,
    memory::{self, Allocation, Pages},
    session::{Driver, Session},
    storm,
};

/// The flags of a profile. Every profile accepts all of them and uses those that it needs.
pub(super) struct Flags {
    pub(super) bytes: u64,
    pub(super) count: u64,
    pub(super) threads: u64,
    pub(super) rate: u64,
    pub(super) seconds: u64,
    /// Whether to use VID_HEAP_CONTROL if there are two requests.
    pub(super) heap: bool,
    /// Whether to use VID_HEAP_CONTROL's function 14 instead of 2.
    pub(super) range: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { bytes: 16 << 20, count: 1, threads: 8, rate: 50_000, seconds: 1, heap: false, range: false }
    }
}

/// Runs the profiles of the command line and prints the account.
///
/// # Errors
/// If the command line is invalid, or the driver returns an unexpected status.
pub fn main() -> anyhow::Result<ExitCode> {
    let (driver, profiles) = parse(std::env::args().skip(1))?;
    let mut application = Application { session: None, held: Vec::new(), pinned: Vec::new() };
    for (name, flags) in profiles {
        let (started_ns, began) = (monotonic_ns(), Instant::now());
        application.run(&driver, &name, &flags).with_context(|| format!("run the profile {name}"))?;
        if let Some(session) = &mut application.session {
            session.ledger.phase(&name, started_ns, began);
        }
    }
    print_line(&application.truth(&driver))?;
    Ok(ExitCode::SUCCESS)
}

type Profiles = Vec<(String, Flags)>;

fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<(Driver, Profiles)> {
    let (mut paths, mut release) = ([None, None, None], None);
    let mut profiles = Profiles::new();
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix("--") else {
            profiles.push((argument, Flags::default()));
            continue;
        };
        let flags = profiles.last_mut().map(|profile| &mut profile.1);
        match (flag, flags) {
            ("heap", Some(flags)) => flags.heap = true,
            ("range", Some(flags)) => flags.range = true,
            (_, flags) => {
                let value = arguments.next().with_context(|| format!("find a value behind --{flag}"))?;
                let number = || value.parse().with_context(|| format!("read --{flag} {value}"));
                match (flag, flags) {
                    ("ctl", _) => paths[0] = Some(PathBuf::from(value)),
                    ("gpu", _) => paths[1] = Some(PathBuf::from(value)),
                    ("uvm", _) => paths[2] = Some(PathBuf::from(value)),
                    ("release", _) => release = Some(value.parse()?),
                    ("bytes", Some(flags)) => flags.bytes = number()?,
                    ("count", Some(flags)) => flags.count = number()?,
                    ("threads", Some(flags)) => flags.threads = number()?.max(1),
                    ("rate", Some(flags)) => flags.rate = number()?,
                    ("seconds", Some(flags)) => flags.seconds = number()?,
                    _ => bail!("unknown flag --{flag}, or no profile before it"),
                }
            }
        }
    }
    let [Some(ctl), Some(gpu), Some(uvm)] = paths else { bail!("find --ctl, --gpu and --uvm") };
    Ok((Driver { ctl, gpu, uvm, release: release.context("find --release")? }, profiles))
}

/// State that is shared by the profiles.
struct Application {
    /// Opened by the first profile that sends a request.
    session: Option<Session>,
    held: Vec<Allocation>,
    pinned: Vec<Pages>,
}

impl Application {
    fn run(&mut self, driver: &Driver, name: &str, flags: &Flags) -> anyhow::Result<()> {
        match name {
            "wait" => return wait(),
            "hold" => return self.hold(driver),
            _ => {}
        }
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::open(driver)?),
        };
        match name {
            "context" => context::run(session, driver)?,
            "allocate" => self.held.extend(memory::allocate(session, flags)?),
            "free" => memory::free(session, std::mem::take(&mut self.held), flags)?,
            "exhaust" => self.held.extend(memory::exhaust(session, flags)?),
            "exhaust-and-recover" => self.held.extend(memory::recover(session, flags)?),
            "pin" => self.pinned.extend(memory::pin(session, flags)?),
            "migrate" => memory::migrate(session, flags)?,
            "storm" => session.ledger.add(storm::run(driver, flags)?),
            "hostile" => session.ledger.add(hostile::run(driver, flags)?),
            _ => bail!("unknown profile"),
        }
        Ok(())
    }

    fn truth(&self, driver: &Driver) -> String {
        let release = driver.release.to_string();
        self.session
            .as_ref()
            .map_or_else(
                || super::ledger::Ledger::default().truth(&release),
                |session| session.ledger.truth(&release),
            )
            .to_string()
    }

    /// Keeps everything until the standard input is closed.
    fn hold(&self, driver: &Driver) -> anyhow::Result<()> {
        print_line(&format!("holding {}", self.truth(driver)))?;
        std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut std::io::sink()).context("read the end")?;
        Ok(())
    }
}

/// Does nothing and opens nothing until it reads a line.
fn wait() -> anyhow::Result<()> {
    print_line("waiting")?;
    let read = std::io::stdin().lock().read_line(&mut String::new()).context("read a line")?;
    anyhow::ensure!(read > 0, "read a line: the standard input is closed");
    Ok(())
}

fn print_line(line: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("print a line")
}
