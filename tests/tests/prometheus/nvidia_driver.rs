//! Two containers on one GPU: Prometheus shows which one ran out of memory.

use std::{path::Path, time::Duration};

use glassbox_tests::{
    agent::Agent,
    cgroup::{Cgroup, v2_root},
    nvidia::{
        application::FakeCuda,
        driver::{FakeDriver, Options},
    },
    prometheus::{Programs, Prometheus},
    skip,
};

#[test]
fn prometheus_shows_which_container_exhausted_the_gpu() {
    const TEST: &str = "prometheus_shows_which_container_exhausted_the_gpu";
    let _alone = super::stack::alone();
    let Ok(programs) = Programs::find().map_err(|reason| skip(TEST, &reason)) else { return };
    let driver = FakeDriver::start(Options { memory_mib: 512, ..Options::default() })
        .unwrap_or_else(|error| panic!("{error:#}"));
    let agent = Agent::start(&format!("docker.enabled = false\n{}", driver.configuration()));
    let prometheus = Prometheus::start(&programs, agent.address);
    let root = v2_root().expect("a v2 hierarchy");
    let run = |profiles: &str| {
        let (cgroup, id) = Cgroup::container(&root).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_fake-cuda"));
        let mut cuda = FakeCuda::start(program, &driver, &format!("wait {profiles} hold"));
        cuda.waiting();
        cgroup.enter(cuda.pid()).unwrap();
        cuda.go();
        let truth = cuda.holding();
        (id, truth, cuda, cgroup)
    };
    // The IDs of these two containers begin with the same digits.
    let name = |id: &str| {
        let info = format!("glassbox_container_info{{id=~\".*{id}\"}}");
        let samples = prometheus.wait_for(&info, Duration::from_secs(15), |samples| !samples.is_empty());
        samples[0].labels["container"].clone()
    };
    let (modest_id, ..) = &run("context allocate --bytes 1048576 --count 4");
    let (hungry_id, truth, ..) = &run("context exhaust --bytes 16777216");
    let refused = truth["sums"]["refused"].as_f64().unwrap();
    assert!(refused > 0.0);
    let (modest, hungry) = (&name(modest_id), &name(hungry_id));
    assert_ne!(modest, hungry);

    let by = |container: &str| format!("{{container=\"{container}\", status=\"no_memory\"}}");
    let failures = format!("glassbox_container_nvidia_rm_errors_total{}", by(hungry));
    let samples = prometheus.wait_for(&failures, Duration::from_secs(15), |samples| {
        samples.iter().map(|sample| sample.value).sum::<f64>() >= refused
    });
    assert_eq!(samples.iter().map(|sample| sample.value).sum::<f64>(), refused);
    assert!(samples.iter().all(|sample| sample.labels["command"].starts_with("rm_")), "{samples:?}");
    let value = |query: &str| prometheus.query(query).unwrap().iter().map(|sample| sample.value).sum::<f64>();
    let total = "glassbox_container_gpu_memory_allocation_failures_total{reason=\"no_memory\"";
    assert_eq!(value(&format!("{total},container=\"{hungry}\"}}")), refused);
    assert_eq!(value(&format!("{total},container=\"{modest}\"}}")), 0.0);
    assert!(
        prometheus
            .query(&format!("glassbox_container_nvidia_rm_errors_total{}", by(modest)))
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        value(&format!("glassbox_container_gpu_contexts_created_total{{container=\"{modest}\"}}")),
        1.0
    );
}
