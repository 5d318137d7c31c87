//! Containers of Docker that end because of their GPU: the fake driver, and a stand-in for NVML.

use std::path::Path;

use glassbox_tests::{
    agent::Agent,
    docker::{Container, Docker, Network},
    nvidia::{
        application::FakeCuda,
        driver::{FakeDriver, Options},
    },
    nvml::{StandIn, host},
};
use serde_json::{Value, json};

use super::{
    or_skip,
    series::{becomes, becomes_state, series, value},
};

/// Starts the application in the cgroup of a container.
fn start_in(container: &Container<'_>, driver: &FakeDriver, profiles: &str) -> FakeCuda {
    let program = Path::new(env!("CARGO_BIN_EXE_fake-cuda"));
    let mut cuda = FakeCuda::start(program, driver, &format!("wait {profiles}"));
    cuda.waiting();
    cuda.enter(container);
    cuda.go();
    cuda
}

/// Starts a container whose first run exits with this code once it is told to. It is then started again.
fn container<'a>(docker: &'a Docker, name: &str, code: u32) -> Container<'a> {
    let script = format!(
        "[ -e /ended ] && sleep 600; while [ ! -e /go ]; do sleep 0.1; done; : > /ended; sleep 1; exit {code}"
    );
    Container::run(docker, name, &["--restart=always"], &["sh", "-c", &script])
}

fn one_gpu(processes: &Value, xids: &Value) -> Value {
    let mut scenario = host();
    let device = &mut scenario["devices"][0];
    device["processes"] = processes.clone();
    device["xids"] = xids.clone();
    // MIG is off.
    device["values"]["nvmlDeviceGetMigMode"] = json!(0);
    device["instances"] = json!([]);
    scenario
}

/// Ends the first run of a container, and waits until the second one has the reason of its exit.
fn ends(agent: &Agent, docker: &Docker, container: &Container<'_>, name: &str, reason: &str) {
    docker.run(&["exec", &container.id, "sh", "-c", ": > /go"]);
    let name = format!("container=\"{name}\"");
    becomes(agent, "glassbox_container_restarts_total", &[&name], 1.0);
    becomes_state(agent, &name, "running");
    let reason = format!("reason=\"{reason}\"");
    becomes(agent, "glassbox_container_last_exit_reason", &[&name, &reason], 1.0);
    assert_eq!(series(agent, "glassbox_container_last_exit_reason", &[&name]).len(), 1, "one reason");
}

#[test]
fn the_reason_of_an_exit_is_refused_gpu_memory_or_a_fault_of_the_gpu() {
    let Some(docker) = or_skip(Docker::own(Network::None)) else { return };
    let options = Options { memory_mib: 512, ..Options::default() };
    let Some(driver) = or_skip(FakeDriver::start(options).map_err(|error| format!("{error:#}"))) else {
        return;
    };
    let stand_in = StandIn::new(&one_gpu(&json!([]), &json!([])));
    let agent = Agent::start(&format!(
        "tick_ms = 200\nnvml.library = {:?}\n{}[docker]\nsocket = {:?}\n",
        stand_in.library(),
        driver.configuration(),
        docker.socket(),
    ));

    // No process is left in the container that could be granted memory.
    let starved = container(&docker, "starved", 1);
    let truth = start_in(&starved, &driver, "context exhaust --bytes 16777216").truth();
    assert_eq!(truth["sums"]["refused"], 1, "{truth}");
    ends(&agent, &docker, &starved, "starved", "gpu_memory");
    let starved_name = r#"container="starved""#;
    assert_eq!(value(&agent, "glassbox_container_last_exit_code", &[starved_name]), Some(1.0));

    let recovered = container(&docker, "recovered", 1);
    let truth = start_in(&recovered, &driver, "context exhaust-and-recover --bytes 16777216").truth();
    assert_eq!(truth["sums"]["refused"], 1, "{truth}");
    ends(&agent, &docker, &recovered, "recovered", "error");

    let faulty = container(&docker, "faulty", 134);
    let mut cuda = start_in(&faulty, &driver, "context hold");
    drop(cuda.holding());
    stand_in.set(&one_gpu(&json!([{ "pid": cuda.pid(), "memory": 1 << 30 }]), &json!([])));
    becomes(&agent, "glassbox_container_gpu_processes", &[r#"container="faulty""#], 1.0);
    stand_in.set(&one_gpu(&json!([{ "pid": cuda.pid(), "memory": 1 << 30 }]), &json!([31])));
    becomes(&agent, "glassbox_gpu_xid_errors_total", &[r#"xid="31""#], 1.0);
    drop(cuda);
    ends(&agent, &docker, &faulty, "faulty", "gpu_fault");

    // Neither later errors nor the next runs change the reason.
    let reason = r#"reason="gpu_memory""#;
    assert_eq!(value(&agent, "glassbox_container_last_exit_reason", &[starved_name, reason]), Some(1.0));
}
