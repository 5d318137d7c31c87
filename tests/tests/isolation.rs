//! Daemons that tests start leave the host unchanged and do not affect other daemons on it.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use glassbox_tests::{
    containerd::Containerd,
    docker::{Container, Docker, Network, eventually},
    podman::Podman,
    sandbox::Sandbox,
    skip,
};

const TIMEOUT: Duration = Duration::from_secs(20);
const PORT: u16 = 5000;
const ID: &str = "70e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";

/// Starts a daemon with a container and stops it.
type Lifecycle = (&'static str, fn() -> Result<(), String>);

/// One daemon of every kind that tests start.
const LIFECYCLES: [Lifecycle; 4] = [
    ("Docker without a bridge", || {
        let mut docker = Docker::own(Network::None)?;
        let _container = Container::run(&docker, "lone", &["--network=none"], &["sleep", "600"]).keep();
        docker.daemon_mut().kill();
        docker.daemon_mut().restart();
        Ok(())
    }),
    ("Docker with a bridge", || {
        let docker = Docker::own(Network::Bridge)?;
        let _container = Container::run(&docker, "bridged", &[], &["sleep", "600"]);
        Ok(())
    }),
    ("containerd", || {
        let containerd = Containerd::start()?;
        containerd.run("default", ID, &[], &["/bin/sleep", "600"])
    }),
    ("Podman", || {
        let podman = Podman::start()?;
        podman.run("lone", &[], &["sleep", "600"]).map(drop)
    }),
];

/// The network state that other daemons and their containers rely on, as the output of commands.
fn network_of(sandbox: &Sandbox) -> Vec<String> {
    let commands: [&[&str]; 5] = [
        &["ip", "-oneline", "link"],
        &["ip", "-oneline", "-4", "address"],
        &["ip", "route"],
        &["iptables", "--table=nat", "--list-rules"],
        &["iptables", "--list-rules"],
    ];
    let mut seen = Vec::new();
    for command in commands {
        let output = sandbox.command(command[0]).args(&command[1..]).output().unwrap();
        seen.push(String::from_utf8(output.stdout).unwrap());
    }
    let forwarding = sandbox.command("cat").arg("/proc/sys/net/ipv4/ip_forward").output().unwrap();
    seen.push(String::from_utf8(forwarding.stdout).unwrap());
    let files =
        sandbox.command("find").args(["/run/docker", "/run/containerd", "/etc/docker"]).output().unwrap();
    seen.push(String::from_utf8(files.stdout).unwrap());
    seen
}

/// The response of a container to a connection from the host.
fn answer(sandbox: &Sandbox, address: Ipv4Addr) -> Option<String> {
    sandbox.within(|| {
        let address = SocketAddr::from((address, PORT));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    })
}

#[test]
fn daemons_of_tests_do_not_affect_another_docker_its_bridge_and_its_containers() {
    let test = "daemons_of_tests_do_not_affect_another_docker_its_bridge_and_its_containers";
    let foreign = match Docker::foreign() {
        Ok(foreign) => foreign,
        Err(reason) => return skip(test, &reason),
    };
    let host = foreign.daemon().sandbox();
    let serve = format!("while true; do echo hello | nc -l -p {PORT}; done");
    let server = Container::run(&foreign, "server", &[], &["sh", "-c", &serve]);
    let address: Ipv4Addr = server.inspect("{{.NetworkSettings.IPAddress}}").parse().unwrap();
    let reachable = || answer(host, address).filter(|text| text == "hello\n").map(drop);
    eventually("the foreign container responds", TIMEOUT, reachable);
    let before = network_of(host);
    assert!(before[0].contains("docker0"), "{}", before[0]);

    for (daemon, live) in LIFECYCLES {
        if let Err(reason) = host.as_the_host(live) {
            skip(test, &format!("{daemon}: {reason}"));
            continue;
        }
        assert_eq!(network_of(host), before, "after {daemon}");
        eventually("the foreign container responds", TIMEOUT, reachable);
        assert_eq!(server.inspect("{{.State.Running}}"), "true", "after {daemon}");
        let later = foreign.run(&["run", "--rm", glassbox_tests::docker::IMAGE, "cat", "/proc/net/route"]);
        assert!(later.contains("eth0"), "a new container after {daemon} has no network: {later}");
    }
}

/// State of the host that daemons of tests have changed or left behind in the past, as text to compare.
fn traces() -> Vec<(String, BTreeSet<String>)> {
    let names = |directory: &str| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<BTreeSet<_>>()
    };
    let lines = |file: &str| -> BTreeSet<String> {
        fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    let places = ["/run", "/etc", "/var/lib", "/dev/shm", "/opt", "/sys/class/net", "/sys/fs/cgroup"];
    let mut places: Vec<String> = places.map(str::to_owned).to_vec();
    for below in ["/run/docker", "/run/containerd", "/run/netns", "/etc/docker", "/etc/cni"] {
        places.push(below.to_owned());
    }
    let trees = names("/sys/fs/cgroup").into_iter().map(|name| format!("/sys/fs/cgroup/{name}"));
    places.extend(trees.filter(|path| Path::new(path).is_dir()));
    let mut seen: Vec<_> = places.into_iter().map(|place| (place.clone(), names(&place))).collect();
    for file in ["/proc/self/mounts", "/proc/modules", "/proc/sys/net/ipv4/ip_forward"] {
        seen.push((file.to_owned(), lines(file)));
    }
    for tree in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        let file = format!("{tree}/cgroup.subtree_control");
        let controllers = fs::read_to_string(&file).unwrap_or_default();
        seen.push((file, controllers.split_whitespace().map(str::to_owned).collect()));
    }
    for setting in ["kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "vm/max_map_count", "fs/nr_open"]
    {
        let file = format!("/proc/sys/{setting}");
        seen.push((file.clone(), lines(&file)));
    }
    seen
}

#[test]
fn daemons_of_tests_leave_the_host_unchanged() {
    let before = traces();
    for (daemon, live) in LIFECYCLES {
        if let Err(reason) = live() {
            skip("daemons_of_tests_leave_the_host_unchanged", &format!("{daemon}: {reason}"));
            continue;
        }
        for ((what, was), (_, is)) in before.iter().zip(traces()) {
            let (gone, new): (Vec<_>, Vec<_>) = (was.difference(&is).collect(), is.difference(was).collect());
            assert!(gone.is_empty() && new.is_empty(), "{daemon} changed {what}: gone {gone:?}, new {new:?}");
        }
    }
}
