//! `glassbox check`: what this host offers, what would be on, what off and why. Kernel programs are really loaded and
//! attached for a moment, and collectors started, because nothing else tells whether this host takes them.

use std::{fmt, os::unix::net::UnixStream, path::Path, sync::mpsc, time::Duration};

use crate::{
    collectors::{COLLECTORS, Context, Spec, nvidia_driver, nvml},
    config::Config,
    containers::{
        cgroup::{self, Layout},
        runtimes,
    },
    kernel::{self, Kernel, host},
};

/// How a row bears on the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Works.
    Ok,
    /// The agent runs without it.
    Off,
    /// The agent cannot run.
    Fatal,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was looked at.
    pub subject: String,
    /// How it bears on the agent.
    pub state: State,
    /// What was found, or why not and what to do.
    pub finding: String,
}

/// The whole table. Its `Display` is what `glassbox check` prints.
#[derive(Clone, Debug)]
pub struct Report(Vec<Row>);

impl Report {
    /// Looks at this host with this configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut report = Self(Vec::new());
        if config.demo {
            report.ok("DEMO", "GPUs, and the containers that use them, are made up (demo = true)");
        }
        report.ok("kernel", host::release(&config.proc_root));
        report.btf(config);
        report.lockdown();
        report.privileges(&config.proc_root);
        let layout = report.cgroups(config);
        report.runtimes(config);
        report.gpu(config, layout.as_ref());
        report.collectors(config, layout.as_ref());
        report
    }

    /// False where the agent would end at once.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.0.iter().all(|row| row.state != State::Fatal)
    }

    /// The table's rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    fn row(&mut self, subject: impl Into<String>, state: State, finding: impl Into<String>) {
        self.0.push(Row { subject: subject.into(), state, finding: finding.into() });
    }

    fn ok(&mut self, subject: &str, finding: impl Into<String>) {
        self.row(subject, State::Ok, finding);
    }

    fn btf(&mut self, config: &Config) {
        match kernel::offsets::read(&config.btf).and_then(|blob| kernel::offsets::resolve(&blob)) {
            Ok(offsets) => {
                let mut absent = Vec::new();
                offsets.each(|field, offset| {
                    if offset == glassbox_ebpf::offsets::ABSENT {
                        absent.push(field);
                    }
                });
                let path = config.btf.display();
                self.ok(
                    "BTF",
                    match absent.as_slice() {
                        [] => format!("{path}: every field found"),
                        absent => format!("{path}: no {}", absent.join(", ")),
                    },
                );
            }
            Err(error) => self.row("BTF", State::Off, format!("{error:#}")),
        }
    }

    fn lockdown(&mut self) {
        match host::lockdown().as_str() {
            "confidentiality" => {
                let finding =
                    "confidentiality: programs may not read kernel memory; boot with lockdown=integrity";
                self.row("lockdown", State::Off, finding);
            }
            mode => self.ok("lockdown", mode),
        }
    }

    fn privileges(&mut self, proc_root: &Path) {
        let missing = host::missing_capabilities(proc_root);
        if missing.is_empty() {
            self.ok("privileges", "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH");
        } else {
            let finding = format!("no {}: run as root, or under the systemd unit", missing.join(", "));
            self.row("privileges", State::Off, finding);
        }
        if !host::in_first_pid_namespace(proc_root) {
            let finding = "not the host's: the agent counts its own activity as a container's; set hostPID: true \
                           (Kubernetes) or --pid=host (Docker)";
            self.row("pid namespace", State::Off, finding);
        }
    }

    fn cgroups(&mut self, config: &Config) -> Option<Layout> {
        match Layout::detect(&config.cgroup_root) {
            Ok(layout) => {
                let found =
                    cgroup::walk(&layout).map_or(0, |walk| walk.found.iter().filter(|c| c.own).count());
                let mode = layout.mode().as_str();
                self.ok("cgroups", format!("{mode} at {}, {found} containers", config.cgroup_root.display()));
                Some(layout)
            }
            Err(error) => {
                self.row("cgroups", State::Fatal, format!("{error:#}"));
                None
            }
        }
    }

    fn runtimes(&mut self, config: &Config) {
        match &config.docker_socket {
            Some(socket) => self.socket("docker", socket),
            None => self.row("docker", State::Off, "switched off (docker.enabled = false)"),
        }
        for (subject, sockets) in [
            ("docker", &config.docker_extra_sockets),
            ("podman", &config.podman_sockets),
            ("containerd", &config.containerd_sockets),
            ("cri", &config.cri_sockets),
        ] {
            let (there, missing): (Vec<_>, Vec<_>) =
                sockets.iter().partition(|socket| runtimes::is_there(socket));
            there.iter().for_each(|socket| self.socket(subject, socket));
            if there.is_empty() && !missing.is_empty() {
                let missing: Vec<_> = missing.iter().map(|socket| socket.display().to_string()).collect();
                self.ok(subject, format!("none at {}; asked as soon as it is there", missing.join(", ")));
            }
        }
        let there = config.roots.there();
        let there: Vec<_> = there.iter().map(|path| path.display().to_string()).collect();
        let finding = if there.is_empty() {
            "none: no directory of [paths] has any".to_owned()
        } else {
            format!("{}, for containers that no socket tells of", there.join(", "))
        };
        self.ok("names in files", finding);
    }

    fn socket(&mut self, subject: &str, socket: &Path) {
        match UnixStream::connect(socket) {
            Ok(_) => self.ok(subject, format!("{} answers", socket.display())),
            Err(error) => {
                let finding = format!(
                    "{}: {error}; its containers are named from files, or shown by id",
                    socket.display()
                );
                self.row(subject, State::Off, finding);
            }
        }
    }

    fn gpu(&mut self, config: &Config, layout: Option<&Layout>) {
        let Some(layout) = layout.cloned() else { return };
        let (done, result) = mpsc::channel();
        let (options, proc_root) = (nvml::Options::from(config), config.proc_root.clone());
        // NVML can hang on a broken GPU; the thread is left behind then, and ends with the process.
        std::thread::spawn(move || drop(done.send(nvml::read_once(&options, &proc_root, &layout))));
        match result.recv_timeout(Duration::from_secs(5)) {
            Ok(reading) if reading.gpus.iter().any(|gpu| gpu.up) => self.ok("GPU", reading.finding),
            Ok(reading) => self.row("GPU", State::Off, reading.finding),
            Err(_) => self.row("GPU", State::Off, "NVML gave no answer within 5 s"),
        }
    }

    fn collectors(&mut self, config: &Config, layout: Option<&Layout>) {
        let Some(layout) = layout else {
            return self.row("probes", State::Off, "no cgroups, so no containers");
        };
        let kernel = layout.hierarchy_id(&config.proc_root).and_then(|hierarchy_id| {
            Kernel::start(&kernel::Options { config, hierarchy_id, change_offsets: |_| () })
        });
        let (mut kernel, kernel_error) = match kernel {
            Ok(kernel) => (Some(kernel), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        // Before what the programs have to say: some collectors attach theirs themselves.
        let started: Vec<_> = COLLECTORS
            .iter()
            .map(|spec| {
                let kernel_error = kernel_error.clone();
                let layers = Default::default();
                let mut context = Context { config, layout, kernel: kernel.as_mut(), kernel_error, layers };
                (spec, config.is_on(spec.name).then(|| started(spec, &mut context)))
            })
            .collect();
        match kernel_error {
            None => kernel.iter().flat_map(Kernel::outcomes).for_each(|outcome| self.outcome(outcome)),
            Some(error) => self.row("probes", State::Off, error),
        }
        let driver = nvidia_driver::describe(config);
        for (spec, started) in started {
            let subject = format!("collector {}", spec.name);
            match started {
                None => {
                    self.row(subject, State::Off, format!("switched off (collectors.{} = false)", spec.name));
                }
                Some(Err(error)) => self.row(subject, State::Off, format!("{error:#}")),
                Some(Ok(())) if spec.name == nvidia_driver::SPEC.name && driver.is_none() => {
                    self.row(subject, State::Ok, "no NVIDIA driver; traced as soon as one appears");
                }
                Some(Ok(())) => self.row(subject, State::Ok, spec.summary),
            }
        }
        if let Some(driver) = driver {
            self.row("NVIDIA driver", State::Ok, driver);
        }
    }

    fn outcome(&mut self, outcome: &kernel::attach::Outcome) {
        let subject = format!("probe {}", outcome.noun);
        match outcome.rung {
            Some(rung) if rung.misses.is_empty() => self.row(subject, State::Ok, rung.name),
            Some(rung) => self.row(subject, State::Ok, format!("{}; not seen: {}", rung.name, rung.misses)),
            None => self.row(subject, State::Off, outcome.reasons()),
        }
        for (rung, reason) in outcome.rung.map(|_| &outcome.refused).into_iter().flatten() {
            self.row(format!("  not {rung}"), State::Off, reason);
        }
        for (program, reason) in &outcome.without {
            self.row(format!("  without {program}"), State::Off, reason);
        }
        for (program, module) in &outcome.waiting {
            self.row(format!("  {program}"), State::Ok, format!("attached when {module} is loaded"));
        }
    }
}

/// Whether a collector starts and finds what it measures.
fn started(spec: &Spec, context: &mut Context<'_>) -> anyhow::Result<()> {
    let collector = (spec.start)(context)?;
    collector.trouble().map_or(Ok(()), |trouble| Err(anyhow::anyhow!("{trouble}")))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|row| row.subject.len()).max().unwrap_or(0);
        for row in &self.0 {
            let state = match row.state {
                State::Ok => "ok",
                State::Off => "off",
                State::Fatal => "FATAL",
            };
            writeln!(f, "{:<width$}  {state:<5}  {}", row.subject, row.finding)?;
        }
        let verdict = if !self.can_run() {
            "glassbox cannot run here: see FATAL above."
        } else if self.0.iter().any(|row| row.state == State::Off) {
            "glassbox can run here; what is off above will be missing from its metrics."
        } else {
            "glassbox can run here, with everything on."
        };
        writeln!(f, "\n{verdict}")
    }
}
