//! The image of deploy/docker/Dockerfile.prebuilt, built and run by a real Docker daemon.

use std::net::SocketAddr;

use glassbox_tests::{
    deployment::image,
    docker::{Docker, Network, eventually},
    http, skip,
};

/// Of deploy/docker/Dockerfile: `EXPOSE 9966`.
const PORT: u16 = 9966;
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(90);

#[test]
fn the_image_has_the_agent_and_no_shell() {
    let docker = match Docker::own(Network::Bridge) {
        Ok(docker) => docker,
        Err(reason) => return skip("the_image_has_the_agent_and_no_shell", &reason),
    };
    image::build(&docker);
    let version = docker.run(&["run", "--rm", image::IMAGE, "--version"]);
    assert!(version.starts_with("glassbox "), "{version}");
    let shell = docker.try_run(&["run", "--rm", "--entrypoint=/bin/sh", image::IMAGE, "-c", "true"]).unwrap();
    let error = String::from_utf8_lossy(&shell.stderr);
    assert!(error.contains("no such file"), "{error}");

    // As in docs/compose.md, with Docker's socket. Without capabilities, there are still names and cgroup files.
    let socket = format!("{}:/var/run/docker.sock:ro", docker.socket().display());
    let id = docker.run(&[
        "run",
        "--detach",
        "--name=agent",
        "--health-interval=1s",
        "--read-only",
        "--pid=host",
        "--cgroupns=host",
        "--volume",
        &socket,
        "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro",
        image::IMAGE,
        "run",
        "--listen=0.0.0.0:9966",
    ]);
    let ip = docker.run(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &id]);
    let address: SocketAddr = format!("{ip}:{PORT}").parse().unwrap();
    let named = r#"container_memory_usage_bytes{container="agent""#;
    eventually("the agent measures its own container", TIMEOUT, || {
        let answer = docker.daemon().sandbox().within(|| http::get(address, "/metrics")).ok()?;
        answer.body.lines().any(|line| line.starts_with(named)).then_some(())
    });
    // By HEALTHCHECK of the image.
    eventually("the agent is healthy", TIMEOUT, || {
        (docker.run(&["inspect", "--format", "{{.State.Health.Status}}", &id]) == "healthy").then_some(())
    });
    docker.run(&["stop", "--time=10", &id]);
    assert_eq!(docker.run(&["inspect", "--format", "{{.State.ExitCode}}", &id]), "0", "after SIGTERM");
}
