//! The collector on a stand-in, without the agent's tick.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use glassbox::{
    analysis::xids,
    collectors::{
        Collector as _,
        nvml::{Nvml, Options},
    },
    containers::{cgroup::Layout, tracker::Container},
    exposition::{self, Scope, Text},
    snapshot::{
        ContainerRow, Snapshot,
        agent::AgentUsage,
        gpu::Gpu,
        host,
        identity::{Identity, Runtime},
    },
};
use glassbox_tests::{cgroup, nvml::StandIn};

/// The tick of the tests.
pub(crate) const TICK: Duration = Duration::from_millis(100);

pub(crate) fn options(stand_in: &StandIn) -> Options {
    Options {
        library: stand_in.library().into(),
        sample: Duration::from_millis(50),
        tick: TICK,
        retry: Duration::from_millis(300),
        retry_max: Duration::from_secs(2),
        sys_root: "/sys".into(),
    }
}

pub(crate) fn layout() -> Layout {
    Layout::detect(Path::new(cgroup::ROOT)).unwrap()
}

/// The collector and its containers.
pub(crate) struct Host {
    pub(crate) collector: Nvml,
    containers: Vec<(Container, ContainerRow)>,
}

impl Host {
    pub(crate) fn start(stand_in: &StandIn) -> Self {
        Self::start_with(options(stand_in), Path::new("/proc"))
    }

    /// The same, with other options and another procfs.
    pub(crate) fn start_with(options: Options, proc_root: &Path) -> Self {
        let collector = Nvml::start(options, proc_root, &layout()).unwrap();
        Self { collector, containers: Vec::new() }
    }

    /// Adds a container with this name and cgroup path.
    pub(crate) fn add(&mut self, name: &str, cgroup_path: &str) {
        let identity = Arc::new(Identity {
            id: name.into(),
            cgroup_path: cgroup_path.into(),
            runtime: Runtime::Docker,
            name: name.into(),
            container: name.into(),
            ..Identity::default()
        });
        let row = ContainerRow::new(identity.clone(), SystemTime::now());
        let key = self.containers.len() as u64;
        self.containers.push((Container { key, identity, cgroup_id: 0, slot: None }, row));
    }

    /// Does what the agent does at a tick.
    pub(crate) fn tick(&mut self) -> Snapshot {
        self.collector.refresh(None);
        for (container, row) in &mut self.containers {
            self.collector.collect(container, row).unwrap();
        }
        let mut host = host::Host::default();
        self.collector.collect_host(&mut host);
        xids::join(&mut host);
        Snapshot {
            delivery: Default::default(),
            taken_at: SystemTime::now(),
            containers: self.containers.iter().map(|(_, row)| row.clone()).collect(),
            host,
            agent: AgentUsage::default(),
        }
    }

    /// Ticks until the snapshot satisfies `wanted`, for at most 20 s.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let snapshot = self.tick();
            if wanted(&snapshot) {
                return snapshot;
            }
            assert!(Instant::now() < deadline, "not seen: {what}; last {snapshot:#?}");
            std::thread::sleep(TICK / 2);
        }
    }
}

/// The GPU with this UUID, if it is up.
pub(crate) fn living<'a>(snapshot: &'a Snapshot, uuid: &str) -> Option<&'a Gpu> {
    snapshot.host.gpus.iter().find(|gpu| gpu.uuid == uuid && gpu.up)
}

/// The samples of a snapshot's text, by name and labels as written.
pub(crate) fn samples(snapshot: &Snapshot) -> BTreeMap<String, f64> {
    let mut text = Text::default();
    exposition::encode(snapshot, Scope::All, &mut text);
    let text = String::from_utf8(text.take().to_vec()).unwrap();
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}
