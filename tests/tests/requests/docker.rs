//! nginx in a Docker container with an address of its own.

use std::{path::PathBuf, process::Command, time::Duration};

use glassbox_tests::{
    agent::Agent,
    docker::{Container, Docker, Network, eventually},
    packet_loss::{lose_packets_of_link, out_of_order, retransmissions},
    skip,
    web::{AccessLog, Requests, configure, load, needs},
};

use super::counted::{ALONE, Counted, agent, assert_same, watched};

/// The name of the container.
const NAME: &str = "web";

/// A daemon, and an agent that asks it for names.
fn daemon() -> Result<(Agent, Docker), String> {
    let missing = ["nginx", "ab", "wrk"].into_iter().find_map(|program| needs(program).err());
    missing.map_or(Ok(()), Err)?;
    let docker = Docker::own(Network::Bridge)?;
    let socket = docker.socket().display();
    Ok((agent(&format!("[docker]\nsocket = \"{socket}\"\n"))?, docker))
}

struct Web<'a> {
    docker: &'a Docker,
    address: String,
    directory: tempfile::TempDir,
    container: Container<'a>,
}

impl<'a> Web<'a> {
    fn start(docker: &'a Docker, agent: &Agent) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let configuration = configure(directory.path(), &["80".to_owned()]).unwrap();
        // nginx with its libraries is the host's.
        let configuration = configuration.to_str().unwrap();
        let arguments = ["/bin/busybox", "chroot", "/host", "/usr/sbin/nginx", "-c", configuration];
        let container = Container::run(docker, NAME, &["--volume=/:/host"], &arguments);
        let address = container.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        let web = Self { docker, address, directory, container };
        watched(agent, NAME);
        eventually("nginx answers", Duration::from_secs(10), || {
            let output = web.command("ab", &["-q", "-n", "1"], "1k").output();
            output.is_ok_and(|output| output.status.success()).then_some(())
        });
        web
    }

    /// A command on the other side of the bridge, with the URL of a path as its last argument.
    fn command(&self, program: &str, arguments: &[&str], path: &str) -> Command {
        let mut command = self.docker.daemon().sandbox().command(program);
        command.args(arguments).arg(format!("http://{}/{path}", self.address));
        command
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("access.log")
    }

    fn log(&self) -> Requests {
        AccessLog::read(&self.log_file()).requests
    }
}

#[test]
fn requests_over_a_bridge_are_those_of_the_log_of_nginx() {
    let _alone = ALONE.lock();
    let (agent, docker) = match daemon() {
        Ok(started) => started,
        Err(reason) => return skip("requests_over_a_bridge_are_those_of_the_log_of_nginx", &reason),
    };
    let web = Web::start(&docker, &agent);
    for (program, arguments) in [
        ("ab", &["-q", "-k", "-n", "10000", "-c", "16"][..]),
        ("ab", &["-q", "-n", "3000", "-c", "16"]),
        ("wrk", &["-t", "1", "-c", "16", "-d", "1s"]),
    ] {
        load(web.command(program, arguments, "1k"));
        assert_same(&agent, NAME, &format!("{program} {arguments:?}"), || web.log());
    }
    assert!(web.log().count() > 14_000);
}

#[test]
fn requests_over_a_bridge_that_loses_packets_and_so_changes_their_order_are_exact() {
    let test = "requests_over_a_bridge_that_loses_packets_and_so_changes_their_order_are_exact";
    let _alone = ALONE.lock();
    let (agent, docker) = match daemon() {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let web = Web::start(&docker, &agent);
    let sandbox = docker.daemon().sandbox();
    let lossy = sandbox.within(|| {
        let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let device = text.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name);
        let device = device.into_iter().find(|name| name.starts_with("veth")).unwrap().to_owned();
        lose_packets_of_link(&device)
    });
    let _lossy = match lossy {
        Ok(lossy) => lossy,
        Err(error) => return skip(test, &format!("{error:#}")),
    };
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), "x".repeat(160_000)).unwrap();
    let upload = [
        "-q",
        "-k",
        "-n",
        "300",
        "-c",
        "16",
        "-s",
        "60",
        "-T",
        "text/plain",
        "-p",
        body.path().to_str().unwrap(),
    ];
    let sent_again = sandbox.within(retransmissions);
    for (arguments, path) in [
        (&["-q", "-k", "-n", "3000", "-c", "64", "-s", "60"][..], "1k"),
        (&["-q", "-n", "1000", "-c", "64", "-s", "60"], "1k"),
        (&["-q", "-k", "-n", "60", "-c", "16", "-s", "60"], "1m"),
    ] {
        load(web.command("ab", arguments, path));
        assert_same(&agent, NAME, &format!("{path} {arguments:?}"), || web.log());
    }
    let before = web.log();
    load(web.command("ab", &upload, "upload"));
    let logged = || {
        let mut log = web.log();
        // nginx discards the bodies, and does not log their length. It answers before a body is complete, so ab may have its
        // responses while it sends further requests, which it leaves: their heads are logged, but they are not complete.
        let uploads = log.count() - before.count();
        let head_bytes = (log.request_bytes - before.request_bytes).checked_div(uploads).unwrap_or_default();
        log.request_bytes = before.request_bytes + 300 * (head_bytes + 160_000);
        log
    };
    assert_same(&agent, NAME, "uploads", logged);
    let counted = Counted::read(&agent, NAME);
    for family in ["opaque_connections_total", "resynchronized_total", "requests_in_flight"] {
        assert_eq!(counted.sum(family), 0, "{family}");
    }
    let sent_again = sandbox.within(retransmissions) - sent_again;
    println!("{sent_again} segments sent again by clients");
    assert!(sent_again > 100);
    let out_of_order = out_of_order(&web.container.inspect("{{.State.Pid}}"));
    println!("{out_of_order} segments arrived in another order");
    assert!(out_of_order > 5);
}
