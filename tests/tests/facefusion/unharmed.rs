//! An agent within its memory limit, and a container whose job files a test replaces.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use glassbox_tests::{
    agent::Agent,
    docker::eventually,
    facefusion::{MARKER, Player, Setup, scenario::scenario},
    memory_limit::MemoryLimit,
};

use super::{configuration, docker::assert_no_names, watch::Scrape};

/// `MemoryMax=` in systemd/glassbox.service.
const LIMIT_BYTES: u64 = 256 << 20;
/// Growth of the agent's memory that hostile files may cause.
const GROWTH_BYTES: u64 = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The agent and the container.
pub(super) struct Victim {
    pub(super) agent: Agent,
    player: Player<'static>,
    limit: MemoryLimit,
    jobs: PathBuf,
    before_bytes: u64,
}

impl Victim {
    /// Starts both, with a program that has no jobs.
    pub(super) fn start() -> Result<Self, String> {
        Self::start_with(None)
    }

    /// Like [`start`](Self::start), with another directory of job files.
    pub(super) fn start_with(jobs: Option<&Path>) -> Result<Self, String> {
        let limit = MemoryLimit::new(LIMIT_BYTES).ok_or("needs root and a memory controller")?;
        let configuration = configuration("[docker]\nenabled = false\n");
        let agent = Agent::start_with(&configuration, |command| limit.confine(command));
        let up = "glassbox_collector_up{collector=\"facefusion\"} 1";
        if !agent.metrics().lines().any(|line| line == up) {
            return Err("the collector facefusion cannot work on this host".to_owned());
        }
        let arguments =
            jobs.map(|jobs| vec!["--jobs-path".to_owned(), jobs.display().to_string()]).unwrap_or_default();
        let setup = Setup { scenario: scenario("3.8.1", &[]), arguments, ..Setup::default() };
        let player = Player::in_cgroup(&setup)?;
        let jobs = jobs.map_or_else(|| player.path(".jobs"), Path::to_owned);
        let victim = Self { before_bytes: 0, agent, player, limit, jobs };
        eventually("the program has made its directories", TIMEOUT, || {
            let all = ["drafted", "queued", "completed", "failed"];
            all.iter().all(|status| victim.directory(status).is_dir()).then_some(())
        });
        // A first job shows that the agent has found the directory.
        victim.write("drafted", "first", &job("drafted"));
        victim.becomes("drafted", 1.0);
        Ok(Self { before_bytes: victim.agent.resident_bytes(), ..victim })
    }

    /// The directory of a status, or of all jobs if it is empty.
    pub(super) fn directory(&self, status: &str) -> PathBuf {
        self.jobs.join(status)
    }

    /// Writes a job file. All names have the marker.
    pub(super) fn write(&self, status: &str, name: &str, content: &str) {
        let path = self.path(status, name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }

    /// The path of a job file.
    pub(super) fn path(&self, status: &str, name: &str) -> PathBuf {
        self.directory(status).join(format!("{MARKER}-{name}.json"))
    }

    pub(super) fn scrape(&self) -> Scrape {
        Scrape::of(&self.agent, &self.player.container)
    }

    /// Waits until this number of jobs has a status.
    pub(super) fn becomes(&self, status: &str, jobs: f64) {
        eventually(&format!("{jobs} {status}"), TIMEOUT, || {
            (self.scrape().sum("unfinished_jobs", &[("status", status)]) == Some(jobs)).then_some(())
        });
    }

    /// The events that the agent has reported as lost or ignored.
    pub(super) fn ignored(&self) -> f64 {
        self.scrape().count("job_files_ignored_total", &[])
    }

    fn ticks(&self) -> f64 {
        let metrics = self.agent.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix("glassbox_ticks_total "));
        line.unwrap_or_else(|| panic!("no ticks in {metrics}")).parse().unwrap()
    }

    /// Watches the agent for a while, and asserts that it makes snapshots, needs little memory and publishes no names.
    pub(super) fn assert_unharmed(&self, patience: Duration) {
        let (begun, before) = (Instant::now(), self.ticks());
        let mut most_bytes = 0;
        while begun.elapsed() < patience {
            most_bytes = most_bytes.max(self.agent.resident_bytes());
            std::thread::sleep(Duration::from_millis(100));
        }
        let ticks = self.ticks() - before;
        println!(
            "{ticks} ticks in {patience:?}, {} KiB more at most",
            most_bytes.saturating_sub(self.before_bytes) >> 10
        );
        assert_eq!(self.limit.oom_kills(), 0);
        assert!(
            most_bytes < self.before_bytes + GROWTH_BYTES,
            "{} bytes, then {most_bytes}",
            self.before_bytes
        );
        // A second per tick would be five times slower than configured.
        assert!(ticks >= patience.as_secs_f64(), "{ticks} ticks in {patience:?}");
        assert_no_names(&self.agent);
    }
}

/// A job with one step.
pub(super) fn job(status: &str) -> String {
    format!(
        "{{\"version\": \"1\", \"date_created\": \"2026-01-01T00:00:00+00:00\", \"date_updated\": null, \"steps\": \
         [{{\"args\": {{\"processors\": [\"face_swapper\"], \"target_path\": \"{MARKER}.mp4\"}}, \"status\": \"{status}\"}}]}}"
    )
}

/// Creates a FIFO.
pub(super) fn make_fifo(path: &Path) {
    assert!(
        std::process::Command::new("mkfifo").arg(path).status().unwrap().success(),
        "mkfifo {}",
        path.display()
    );
}
