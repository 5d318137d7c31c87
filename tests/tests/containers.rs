//! Real containers: their names from Docker, and their values from cgroup files and network namespaces.
//!
//! Each test has its own daemon. Only one daemon runs at a time.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use glassbox::{
    collectors::{self, Collector, Context},
    config::Config,
    containers::{
        cgroup::{self, Layout},
        docker::DockerApi,
        metadata::{Metadata, MetadataStore},
        naming::{self, Candidate},
        tracker,
        watcher::RuntimeWatcher,
    },
    snapshot::{
        ContainerRow,
        cgroup::Limits,
        identity::{Identity, Runtime},
        network::InterfaceCounters,
    },
};
use glassbox_tests::{
    docker::{Container, Daemon, Docker, HOST_NETWORK, IMAGE, Network, eventually},
    skip,
};

const TIMEOUT: Duration = Duration::from_secs(20);
const CGROUPS: &str = "/sys/fs/cgroup";

/// A daemon for this test. `None` after printing why the test is skipped.
fn docker(network: Network) -> Option<Docker> {
    // The name of a test is the name of its thread.
    let test = std::thread::current();
    Docker::own(network).map_err(|reason| skip(test.name().unwrap_or_default(), &reason)).ok()
}

/// A watcher on a thread.
struct Watching {
    metadata: MetadataStore,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Watching {
    fn start(docker: &Docker) -> Self {
        let metadata = MetadataStore::new();
        metadata.register(Runtime::Docker);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let labels = vec!["glassbox.*".to_owned()];
        let (source, socket) = (Runtime::Docker.into(), docker.socket().to_owned());
        runtime.spawn(RuntimeWatcher::<DockerApi>::new(source, socket, labels, metadata.clone()).watch());
        let watching = Self { metadata, runtime: Some(runtime) };
        watching.until_connected();
        watching
    }

    fn connected(&self) -> bool {
        self.metadata.runtimes() == [(Runtime::Docker, Ok(()))]
    }

    fn until_connected(&self) {
        eventually("docker answers", TIMEOUT, || self.connected().then_some(()));
    }

    fn names(&self, id: &str, wanted: impl Fn(&Metadata) -> bool) -> Metadata {
        eventually("the expected names", TIMEOUT, || self.metadata.get(id).filter(&wanted))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A container's own cgroup, as a walk finds it.
fn found(layout: &Layout, id: &str) -> cgroup::Found {
    let walk = cgroup::walk(layout).unwrap();
    walk.found.into_iter().find(|found| found.own && found.container == id).expect("the container's cgroup")
}

/// A collector, and what it has read of one container.
struct Collecting {
    collector: Box<dyn Collector>,
    container: tracker::Container,
    row: ContainerRow,
}

impl Collecting {
    fn start(spec: &collectors::Spec, id: &str) -> Self {
        let layout = Layout::detect(Path::new(CGROUPS)).unwrap();
        let config = Config::default();
        let mut context = Context {
            config: &config,
            layout: &layout,
            kernel: None,
            kernel_error: None,
            layers: Default::default(),
        };
        let collector = (spec.start)(&mut context).unwrap();
        let (container, row) = tracked(&layout, 1, id);
        Self { collector, container, row }
    }

    fn tick(&mut self) -> &ContainerRow {
        self.collector.collect(&self.container, &mut self.row).unwrap();
        &self.row
    }
}

fn tracked(layout: &Layout, key: u64, id: &str) -> (tracker::Container, ContainerRow) {
    let found = found(layout, id);
    let identity = Arc::new(Identity {
        id: id.into(),
        cgroup_path: found.path,
        runtime: found.runtime,
        container: id.into(),
        ..Identity::default()
    });
    let row = ContainerRow::new(Arc::clone(&identity), SystemTime::now());
    (tracker::Container { key, identity, cgroup_id: found.cgroup_id, slot: None }, row)
}

#[test]
fn a_container_is_named_when_it_starts_and_when_it_is_renamed() {
    let Some(docker) = docker(Network::None) else { return };
    let watching = Watching::start(&docker);
    // Without `--network=none`, Docker 28 does not rename containers in a network that the daemon does not have.
    let labels = ["--network=none", "--label", "glassbox.kept=yes", "--label", "dropped=yes"];
    let container = Container::run(&docker, "first", &labels, &["sleep", "600"]);
    let names = watching.names(&container.id, |names| names.started_at.is_some());
    assert_eq!((names.name.as_str(), names.image.as_str()), ("first", IMAGE));
    assert_eq!(
        names.labels.into_iter().collect::<Vec<_>>(),
        [("glassbox.kept".to_owned(), "yes".to_owned())]
    );
    let (started_at, now) = (names.started_at.unwrap(), SystemTime::now());
    assert!((now - Duration::from_secs(30)..=now).contains(&started_at), "{started_at:?}");

    let generation = watching.metadata.generation();
    docker.run(&["rename", "first", "second"]);
    let renamed = watching.names(&container.id, |names| names.name == "second");
    assert_eq!(renamed.started_at, names.started_at);
    assert_ne!(watching.metadata.generation(), generation);
}

#[test]
fn a_container_that_is_removed_when_it_exits_has_a_name() {
    let Some(docker) = docker(Network::None) else {
        return;
    };
    let watching = Watching::start(&docker);
    for round in 0..5 {
        let name = format!("brief-{round}");
        let id = docker.run(&["run", "--detach", "--rm", "--name", &name, IMAGE, "true"]);
        eventually("it is gone", TIMEOUT, || {
            (!docker.run(&["ps", "--all", "--quiet", "--no-trunc"]).contains(&id)).then_some(())
        });
        let names = watching.names(&id, |names| names.started_at.is_some());
        assert_eq!((names.name, names.image), (name, IMAGE.to_owned()));
    }
}

#[test]
fn containers_that_started_before_the_watcher_have_their_start_time() {
    let Some(docker) = docker(Network::None) else { return };
    let container = Container::run(&docker, "earlier", &[], &["sleep", "600"]);
    let stopped = Container::run(&docker, "stopped", &[], &["true"]);
    // The tag is moved to another image. The container still shows the image that the user wrote.
    docker.run(&["tag", IMAGE, "glassbox-tests:2"]);
    docker.run(&["rmi", "--force", IMAGE]);
    let watching = Watching::start(&docker);
    let names = watching.names(&container.id, |names| names.started_at.is_some() && names.image == IMAGE);
    assert_eq!(names.name, "earlier");
    // Containers have the host's clock.
    let begun = fs::metadata(format!("/proc/{}", container.pid())).unwrap().ctime().unsigned_abs();
    let (begun, apart) = (SystemTime::UNIX_EPOCH + Duration::from_secs(begun), Duration::from_secs(5));
    let started_at = names.started_at.unwrap();
    assert!((begun - apart..=begun + apart).contains(&started_at), "{begun:?} {started_at:?}");
    assert_eq!(watching.names(&stopped.id, |_| true).name, "stopped");
}

#[test]
fn the_watcher_reconnects_to_a_daemon_that_was_restarted() {
    let Some(mut docker) = docker(Network::None) else { return };
    let watching = Watching::start(&docker);
    let before = Container::run(&docker, "before", &[], &["sleep", "600"]).keep();
    watching.names(&before, |names| names.name == "before");

    docker.daemon_mut().kill();
    eventually("the watcher notices the lost connection", TIMEOUT, || (!watching.connected()).then_some(()));
    assert!(watching.metadata.first_listing_done());
    assert_eq!(watching.names(&before, |_| true).name, "before");

    docker.daemon_mut().restart();
    watching.until_connected();
    let after = Container::run(&docker, "after", &[], &["sleep", "600"]);
    watching.names(&after.id, |names| names.name == "after" && names.started_at.is_some());
    assert_eq!(watching.names(&before, |_| true).name, "before");
}

#[test]
fn a_name_that_docker_generated_is_replaced_by_the_image() {
    let Some(docker) = docker(Network::None) else { return };
    let watching = Watching::start(&docker);
    for _ in 0..20 {
        let id = docker.run(&["create", IMAGE, "true"]);
        let names = watching.names(&id, |_| true);
        let candidate =
            Candidate { id: &id, names: Some(&names), competes: true, age_rank: 0, assigned: None };
        assert_eq!(naming::assign(&[candidate], &[])[0].name, "glassbox-tests", "{}", names.name);
    }
}

#[test]
fn a_walk_finds_a_container_by_the_inode_of_its_cgroup() {
    let Some(docker) = docker(Network::None) else { return };
    let container = Container::run(&docker, "walked", &[], &["sleep", "600"]);
    let layout = Layout::detect(Path::new(CGROUPS)).unwrap();
    let own = found(&layout, &container.id);
    assert_eq!(own.runtime, Runtime::Docker);
    let directory = layout.primary(&own.path);
    assert_eq!(fs::metadata(&directory).unwrap().ino(), own.cgroup_id);
    let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap();
    assert!(processes.lines().any(|line| line == container.pid().to_string()), "{processes}");
    assert!(own.made_at.unwrap() > SystemTime::now() - Duration::from_secs(60));

    let nested = directory.join("nested");
    fs::create_dir(&nested).unwrap();
    let walk = cgroup::walk(&layout).unwrap();
    let inner = walk.found.iter().find(|found| found.path == format!("{}/nested", own.path)).cloned();
    fs::remove_dir(&nested).unwrap();
    let inner = inner.unwrap();
    assert_eq!((inner.container, inner.own), (container.id.clone(), false));
}

#[test]
fn the_cgroup_collector_reports_the_values_of_the_files() {
    let Some(docker) = docker(Network::None) else { return };
    let arguments =
        ["--cpus=0.5", "--cpu-shares=512", "--memory=64m", "--memory-reservation=32m", "--memory-swap=128m"];
    let work = "dd if=/dev/zero of=/file bs=1M count=20; i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done; sleep 600";
    let container = Container::run(&docker, "limited", &arguments, &["sh", "-c", work]);
    let mut collecting = Collecting::start(&collectors::cgroup::SPEC, &container.id);
    // Throttled to half a CPU, the container needs more than 100 ms of CPU time.
    eventually("the container works and is throttled", TIMEOUT, || {
        let cpu = &collecting.tick().cgroup.cpu;
        (cpu.usage_ns > Some(200_000_000) && cpu.throttled_ns > Some(0)).then_some(())
    });
    let idle =
        || docker.run(&["top", "limited", "-o", "pid,comm"]).lines().any(|line| line.ends_with("sleep"));
    eventually("the work is done", TIMEOUT, || idle().then_some(()));

    let usage = collecting.tick().cgroup.clone();
    let layout = Layout::detect(Path::new(CGROUPS)).unwrap();
    let path = collecting.container.identity.cgroup_path.clone();
    let file = |controller: &str, v2: &str, v1: &str| {
        let name = if layout.is_unified(controller) { v2 } else { v1 };
        let file = layout.directory(controller, &path).unwrap().join(name);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()))
    };
    let in_stat = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).unwrap();
        line.trim().parse::<u64>().unwrap()
    };

    let usage_ns = match file("cpuacct", "cpu.stat", "cpuacct.usage") {
        text if layout.is_unified("cpuacct") => in_stat(&text, "usage_usec") * 1000,
        text => text.trim().parse().unwrap(),
    };
    assert_eq!(usage.cpu.usage_ns, Some(usage_ns));
    let split = usage.cpu.user_ns.unwrap() + usage.cpu.system_ns.unwrap();
    assert!(split.abs_diff(usage_ns) < usage_ns / 5 + 20_000_000, "{split} {usage_ns}");
    let cpu_stat = file("cpu", "cpu.stat", "cpu.stat");
    assert_eq!(usage.cpu.throttled_periods, Some(in_stat(&cpu_stat, "nr_throttled")));
    assert!(usage.cpu.throttled_periods <= usage.cpu.periods);

    let bytes: u64 = file("memory", "memory.current", "memory.usage_in_bytes").trim().parse().unwrap();
    let stat = file("memory", "memory.stat", "memory.stat");
    let (cache, inactive) = match layout.is_unified("memory") {
        true => (in_stat(&stat, "file"), in_stat(&stat, "inactive_file")),
        false => (in_stat(&stat, "total_cache"), in_stat(&stat, "total_inactive_file")),
    };
    // The kernel charges memory in batches per CPU, and writes back meanwhile.
    let near = |value: Option<u64>, truth: u64| value.is_some_and(|value| value.abs_diff(truth) <= 1 << 20);
    assert!(near(usage.memory.usage_bytes, bytes), "{:?} {bytes}", usage.memory.usage_bytes);
    assert!(
        near(usage.memory.cache_bytes, cache) && cache >= 20 << 20,
        "{:?} {cache}",
        usage.memory.cache_bytes
    );
    assert!(near(usage.memory.working_set_bytes, bytes - inactive), "{:?}", usage.memory);
    assert!(usage.memory.max_usage_bytes.is_none_or(|most| (20 << 20..=64 << 20).contains(&most)));

    let shares = if layout.is_unified("cpu") { usage.limits.cpu_shares } else { Some(512) };
    let swap = if layout.is_unified("memory") { 64 << 20 } else { 128 << 20 };
    let expected = Limits {
        cpu_period_us: Some(100_000),
        cpu_quota_us: Some(50_000),
        cpu_shares: shares,
        memory_limit_bytes: Some(64 << 20),
        memory_reservation_bytes: Some(32 << 20),
        memory_swap_limit_bytes: Some(swap),
    };
    assert_eq!(usage.limits, expected);

    let last = collecting.tick().cgroup.clone();
    drop(container);
    assert_eq!(collecting.tick().cgroup, last);
}

/// The only interface, once the collector has found it.
fn interface(collecting: &mut Collecting) -> InterfaceCounters {
    eventually("an interface", TIMEOUT, || collecting.tick().network.first().cloned())
}

#[test]
fn network_counters_match_the_sent_bytes() {
    const BYTES: usize = 64 << 20;
    let Some(docker) = docker(Network::Bridge) else { return };
    let listen = || TcpListener::bind((Daemon::bridge_address(), 0)).unwrap();
    let listener = docker.daemon().sandbox().within(listen);
    let port = listener.local_addr().unwrap().port();
    let commands = format!(
        "nc {host} {port} </dev/null >/dev/null; dd if=/dev/zero bs=1M count={mebibytes} | nc {host} {port}; sleep 600",
        host = Daemon::bridge_address(),
        mebibytes = BYTES >> 20,
    );
    let container = Container::run(&docker, "talker", &[], &["sh", "-c", &commands]);
    let mut collecting = Collecting::start(&collectors::network::SPEC, &container.id);
    let begin = interface(&mut collecting);
    assert_eq!(begin.interface, "eth0");

    let chunk = vec![0; 1 << 20];
    let (mut stream, _) = listener.accept().unwrap();
    for _ in 0..BYTES >> 20 {
        stream.write_all(&chunk).unwrap();
    }
    drop(stream);
    let (mut stream, _) = listener.accept().unwrap();
    let middle = interface(&mut collecting);
    let mut received = 0;
    let mut buffer = chunk;
    while received < BYTES {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            bytes => received += bytes,
        }
    }
    assert_eq!(received, BYTES);
    let end = interface(&mut collecting);

    // Bytes of the Ethernet, IPv4 and TCP headers with timestamps, for each packet.
    const HEADERS: u64 = 14 + 20 + 32;
    let close = |bytes: u64, packets: u64| {
        let share = (bytes - packets * HEADERS) as f64 / BYTES as f64;
        assert!(
            (0.99..1.01).contains(&share),
            "{bytes} bytes in {packets} packets counted for {BYTES} bytes sent"
        );
    };
    close(middle.receive_bytes - begin.receive_bytes, middle.receive_packets - begin.receive_packets);
    close(end.transmit_bytes - middle.transmit_bytes, end.transmit_packets - middle.transmit_packets);

    // The other end of the veth pair must have counted the same.
    let link: u32 = fs::read_to_string(format!("/proc/{}/root/sys/class/net/eth0/iflink", container.pid()))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let links =
        docker.daemon().sandbox().command("ip").args(["-json", "-statistics", "link"]).output().unwrap();
    let links: serde_json::Value = serde_json::from_slice(&links.stdout).unwrap();
    let peer = links.as_array().unwrap().iter().find(|peer| peer["ifindex"] == link);
    let peer = peer.expect("the other end of the container's interface");
    let counted = |direction: &str| peer["stats64"][direction]["bytes"].as_u64().unwrap();
    let last = interface(&mut collecting);
    assert!(last.receive_bytes.abs_diff(counted("tx")) < 10_000);
    assert!(last.transmit_bytes.abs_diff(counted("rx")) < 10_000);

    drop(container);
    assert_eq!(
        collecting.tick().network.first(),
        Some(&last),
        "a container that has ended keeps its last values"
    );
}

#[test]
fn containers_in_another_containers_network_have_no_network_series() {
    let Some(docker) = docker(Network::Bridge) else { return };
    let first = Container::run(&docker, "first", &[], &["sleep", "600"]);
    let guest = Container::run(&docker, "guest", &["--network=container:first"], &["sleep", "600"]);
    let on_host = Container::run(&docker, "on-host", &HOST_NETWORK, &["sleep", "600"]);
    let alone = Container::run(&docker, "alone", &["--network=none"], &["sleep", "600"]);
    let mut collecting = Collecting::start(&collectors::network::SPEC, &first.id);
    assert_eq!(interface(&mut collecting).interface, "eth0");
    let layout = Layout::detect(Path::new(CGROUPS)).unwrap();
    for (key, id) in [(2, &guest.id), (3, &on_host.id), (4, &alone.id)] {
        let (container, mut row) = tracked(&layout, key, id);
        collecting.collector.collect(&container, &mut row).unwrap();
        assert_eq!(row.network, []);
    }
    let (guest, mut row) = tracked(&layout, 2, &guest.id);
    collecting.collector.forget(&collecting.container);
    eventually("the series move to the container that shares the network", TIMEOUT, || {
        collecting.collector.collect(&guest, &mut row).unwrap();
        row.network.first().map(|_| ())
    });
}
