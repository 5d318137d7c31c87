//! From containers and GPUs with problems to a webhook: the agent, Prometheus with the rules, and Alertmanager with its
//! configuration. Only durations are shorter. Each alert fires and is resolved.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use glassbox_tests::{
    agent::Agent,
    alertmanager::{self, Alertmanager},
    cgroup::{Cgroup, fresh_id, v2_root},
    cpu_inference::CpuInference,
    docker::{Docker, Network},
    prometheus::{Programs, Prometheus},
    repository::in_repository,
    rules::FILES,
    skip,
    webhook::{Notice, Webhook},
};

use super::{
    facefusion,
    gpus::Gpus,
    jobs::Jobs,
    runbooks, shortened,
    workloads::{Deadlocked, Workloads},
};

/// Time until every alert fires. The longest takes a minute and a half: ten jobs of a container that leaks memory.
const FIRED: Duration = Duration::from_secs(180);
/// Time until every alert is resolved. Prometheus looks back for up to a minute.
const RESOLVED: Duration = Duration::from_secs(150);
/// Time between two steps of the staircase of GPU memory.
const STEP: Duration = Duration::from_secs(10);
/// Maximum number of containers of the agent. Other tests that run at the same time also have containers.
const CONTAINERS: usize = 256;

/// An alert, and the label that tells the provoked one from others.
type Expected<'a> = (&'static str, &'static str, &'a str);

fn is(notice: &Notice, (alert, label, value): Expected<'_>, status: &str) -> bool {
    notice.status == status && notice.label("alertname") == alert && notice.label(label) == value
}

/// Waits until all of them have this status. `work` is called meanwhile.
fn wait_for(
    webhook: &Webhook,
    expected: &[Expected<'_>],
    status: &str,
    limit: Duration,
    mut work: impl FnMut(Duration),
) {
    let begun = Instant::now();
    let mut missing = expected.to_vec();
    while !missing.is_empty() {
        work(begun.elapsed());
        let notices = webhook.notices();
        missing.retain(|expected| {
            let found = notices.iter().find(|notice| is(notice, *expected, status));
            if let Some(notice) = found {
                println!("{status} after {:.0?}: {expected:?}, at {}", notice.at, notice.path);
            }
            found.is_none()
        });
        assert!(begun.elapsed() < limit || missing.is_empty(), "not {status} within {limit:?}: {missing:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Prometheus' configuration: the rules with shorter durations, and Alertmanager.
fn configuration(directory: &std::path::Path, alertmanager: &Alertmanager) -> String {
    let files = FILES.map(|file| {
        let text = fs::read_to_string(in_repository("dashboards").join(file)).unwrap();
        let shorter = directory.join(file);
        fs::write(&shorter, shortened::rules(&text)).unwrap();
        shorter
    });
    let address = alertmanager.address;
    format!(
        "rule_files: {files:?}\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]}}\n"
    )
}

#[test]
fn problems_reach_the_webhook_and_are_resolved() {
    let test = "problems_reach_the_webhook_and_are_resolved";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let Ok(found) = alertmanager::Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let Ok(docker) = Docker::own(Network::Bridge).map_err(|reason| skip(test, &reason)) else { return };
    let Some(root) = v2_root() else { return skip(test, "needs a cgroup v2 hierarchy") };
    let gpus = Gpus::start().unwrap_or_else(|error| panic!("{error:#}"));
    let webhook = Webhook::start();
    let text = fs::read_to_string(in_repository("dashboards/alertmanager.yml")).unwrap();
    let text = shortened::configuration(&text).replace("127.0.0.1:5001", &webhook.address.to_string());
    let alertmanager = Alertmanager::start(&found, &text);
    let agent = Agent::start(&format!(
        "tick_ms = 500\n{}[containers]\nmax = {CONTAINERS}\nkeep_ended_s = 8\n[docker]\nsocket = {:?}\n[podman]\nsockets = []\n\
         [containerd]\nsockets = []\n[cri]\nsockets = []\n",
        gpus.configuration(),
        docker.socket()
    ));
    let directory = tempfile::tempdir().unwrap();
    let prometheus =
        Prometheus::start_with(&programs, agent.address, &configuration(directory.path(), &alertmanager), "");
    let instance = agent.address.to_string();
    // Before anything that takes long, because the agent waits longer after each attempt.
    let degraded = ("AgentDegraded", "collector", "nvml");
    wait_for(&webhook, &[degraded], "firing", FIRED, |_| ());
    gpus.reload();
    // Counters have a first value before they grow.
    prometheus
        .wait_for("glassbox_gpu_ecc_errors_total", Duration::from_secs(80), |samples| !samples.is_empty());
    // In this thread: servers end with the thread that started them.
    let jobs = Jobs::start().map_err(|reason| skip(test, &reason)).ok();
    let player = facefusion::start(&docker).map_err(|reason| skip(test, &reason)).ok();
    let on_cpu = CpuInference::new(true).map(|inference| (inference.run(), inference));
    let on_cpu = on_cpu.map_err(|reason| skip(test, &reason)).ok();

    let (mut hungry, mut hanging) = (gpus.hungry(&root), gpus.hanging(&root));
    let mut spinning = gpus.spinning(&root);
    let deadlocked = Deadlocked::start(&agent).unwrap_or_else(|reason| panic!("{reason}"));
    let mut workloads = Workloads::start(&docker);
    let names = [&hungry, &hanging, &spinning].map(|application| application.name.as_str()).join("|");
    let known = format!("glassbox_container_running{{container=~\"{names}\"}}");
    prometheus.wait_for(&known, Duration::from_secs(20), |samples| samples.len() == 3);
    thread::sleep(Duration::from_secs(3));
    // Both before the hungry one, which keeps the memory.
    spinning.go();
    spinning.holding();
    gpus.refuse(&workloads.refused);
    workloads.end_refused();
    hungry.go();
    hanging.go();
    let (leaky, hung, deadlock) = (hungry.name.clone(), hanging.name.clone(), deadlocked.name.clone());
    let spins = spinning.name.clone();
    let mut expected: Vec<Expected<'_>> = vec![
        ("GpuMemoryExhausted", "container", &leaky),
        ("GpuMemoryHigh", "gpu", "0"),
        ("GpuMemoryStaircase", "container", &leaky),
        ("GpuStuckInDriver", "container", &hung),
        ("GpuSpinning", "container", &spins),
        ("GpuDown", "gpu", "1"),
        ("GpuXidCritical", "xid", "48"),
        ("GpuXidError", "xid", "31"),
        ("GpuEccUncorrected", "gpu", "0"),
        ("GpuThermalThrottling", "gpu", "0"),
        ("GpuPowerThrottling", "gpu", "0"),
        ("ContainerOomKilled", "container", "starved"),
        ("ContainerRestartLoop", "container", "looping"),
        ("ContainerEndedByGpu", "container", "refused"),
        ("ContainerDown", "container", "crashed"),
        ("ContainerMemoryHigh", "container", "full"),
        ("ContainerMemoryLeak", "container", "leaking"),
        ("ContainerStuck", "container", &deadlock),
        ("ReplicaCpuImbalance", "service", "p/cpu"),
        ("ReplicaRequestImbalance", "service", "p/requests"),
        ("ScaleOut", "service", "p/slow"),
        ("ScaleIn", "service", "p/idle"),
    ];
    if let Some(Jobs { container, .. }) = &jobs {
        expected.push(("GradioJobsFail", "container", container));
        expected.push(("GradioQueueStuck", "container", container));
    }
    if player.is_some() {
        expected.extend(facefusion::ALERTS.map(|alert| (alert, "container", facefusion::CONTAINER)));
    }
    let on_cpu_id = on_cpu.as_ref().map(|(_, inference)| inference.container.id.clone());
    if let Some(id) = &on_cpu_id {
        expected.push(("ContainerOnCpuDespiteGpu", "container", &id[..12]));
    }
    let mut step = 0;
    wait_for(&webhook, &expected, "firing", FIRED, |elapsed| {
        if elapsed >= STEP * step {
            step += 1;
            gpus.fail(&hungry, &spinning, step.into());
        }
    });
    // Both are consequences of an alert about the same container.
    let suppressed = [("ContainerStuck", &hung), ("ContainerCpuIdleWithRequests", &deadlock)];
    let deadline = Instant::now() + FIRED;
    for (alert, container) in suppressed {
        while !alertmanager.alerts().unwrap().iter().any(|one| {
            one["labels"]["alertname"] == alert
                && one["labels"]["container"] == container.as_str()
                && one["status"]["state"] == "suppressed"
        }) {
            assert!(Instant::now() < deadline, "{alert} of {container} is not silenced");
            thread::sleep(Duration::from_millis(200));
        }
        println!("silenced: {alert} of {container}");
        let sent = webhook
            .notices()
            .into_iter()
            .find(|notice| is(notice, (alert, "container", container), "firing"));
        assert_eq!(sent, None, "{alert} of {container} was sent");
    }
    // The queries of the runbooks run on a server that has the agent's metrics.
    for (name, query) in runbooks::all_queries() {
        prometheus.query(&query).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }

    gpus.recover();
    workloads.recover();
    deadlocked.release();
    drop((hanging, hungry, spinning));
    drop((player, on_cpu));
    expected.push(degraded);
    wait_for(&webhook, &expected, "resolved", RESOLVED, |_| ());

    let losing = [("AgentLosingData", "source", "cgroup_slots")];
    let mut extra: Vec<Cgroup> = Vec::new();
    wait_for(&webhook, &losing, "firing", FIRED, |elapsed| {
        while extra.len() < CONTAINERS + elapsed.as_secs() as usize {
            extra.push(Cgroup::new(&root, &format!("alerts-extra/{}", fresh_id())).unwrap());
        }
    });
    drop(extra);
    wait_for(&webhook, &losing, "resolved", RESOLVED, |_| ());

    let down = [("AgentDown", "instance", instance.as_str())];
    let signal = |signal| {
        // SAFETY: no pointers; the child is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(agent.pid().cast_signed(), signal) }, 0);
    };
    signal(libc::SIGSTOP);
    wait_for(&webhook, &down, "firing", FIRED, |_| ());
    signal(libc::SIGCONT);
    wait_for(&webhook, &down, "resolved", RESOLVED, |_| ());

    for (path, severity) in [("/on-call", "critical"), ("/team", "warning"), ("/scaling", "info")] {
        let notices = webhook.notices();
        let mut at = notices.iter().filter(|notice| notice.path == path).peekable();
        assert!(at.peek().is_some(), "no message at {path}");
        assert!(at.all(|notice| notice.label("severity") == severity), "{path}");
    }
}
