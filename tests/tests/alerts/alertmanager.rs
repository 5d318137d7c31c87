//! The example configuration of Alertmanager: amtool accepts it, alerts reach the right receivers, and causes silence their
//! consequences.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use glassbox_tests::{
    alertmanager::{Alertmanager, Programs},
    http,
    repository::in_repository,
    skip,
};
use serde_json::{Value, json};

const FILE: &str = "dashboards/alertmanager.yml";

/// Runs amtool, and returns its output if it succeeds.
fn amtool(programs: &Programs, arguments: &[&str]) -> String {
    let run = Command::new(&programs.amtool).args(arguments).output().unwrap();
    let report = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "amtool {arguments:?}: {report}");
    report.into_owned()
}

#[test]
fn amtool_accepts_the_configuration_and_routes_by_severity() {
    let test = "amtool_accepts_the_configuration_and_routes_by_severity";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let file = in_repository(FILE);
    let file = file.to_str().unwrap();
    let report = amtool(&programs, &["check-config", file]);
    for found in ["SUCCESS", "9 inhibit rules", "3 receivers"] {
        assert!(report.contains(found), "{report}");
    }
    for (severity, receiver) in [("critical", "on-call"), ("warning", "team"), ("info", "scaling")] {
        let arguments = ["config", "routes", "test", &format!("--config.file={file}")];
        let labels = ["alertname=X", "instance=a", &format!("severity={severity}")];
        let verified = format!("--verify.receivers={receiver}");
        amtool(&programs, &[&arguments[..], &[verified.as_str()], &labels[..]].concat());
    }
}

/// A cause and a consequence with further labels of each, and whether the first silences the second.
type Case = (&'static str, Value, &'static str, Value, bool);

fn cases() -> Vec<Case> {
    let container = |name: &str| json!({"instance": "a", "container": name});
    let leak = |memory: &str| json!({"instance": "a", "container": "10", "memory": memory});
    let gpu = |number: &str| json!({"instance": "a", "gpu": number, "uuid": number});
    vec![
        ("AgentDown", json!({"instance": "a"}), "ContainerDown", container("1"), true),
        ("AgentDown", json!({"instance": "a"}), "GpuDown", json!({"instance": "b", "gpu": "0"}), false),
        ("AgentDown", json!({"instance": "a"}), "ScaleOut", json!({"image": "x"}), false),
        ("GpuStuckInDriver", container("2"), "ContainerStuck", container("2"), true),
        ("GpuStuckInDriver", container("3"), "ContainerStuck", container("4"), false),
        ("GpuSpinning", container("8"), "GradioQueueStuck", container("8"), true),
        ("GpuSpinning", container("9"), "ContainerMemoryHigh", container("9"), false),
        ("ContainerStuck", container("5"), "ContainerCpuIdleWithRequests", container("5"), true),
        ("ContainerOomKilled", container("6"), "ContainerRestartLoop", container("6"), true),
        ("ContainerOomKilled", container("6"), "ContainerDown", container("6"), false),
        ("ContainerEndedByGpu", container("8"), "ContainerRestartLoop", container("8"), true),
        ("ContainerEndedByGpu", container("9"), "ContainerDown", container("9"), false),
        ("ContainerMemoryLeak", leak("gpu"), "GpuMemoryStaircase", container("10"), true),
        ("ContainerMemoryLeak", leak("host"), "GpuMemoryStaircase", container("10"), false),
        ("GpuMemoryExhausted", container("7"), "GradioJobsFail", container("7"), true),
        ("GpuXidCritical", gpu("0"), "GpuXidError", gpu("0"), true),
        ("GpuXidCritical", gpu("0"), "GpuXidError", gpu("1"), false),
        (
            "ReplicaRequestImbalance",
            json!({"image": "x", "service": "p/s"}),
            "ReplicaCpuImbalance",
            json!({"image": "x", "service": "p/s"}),
            true,
        ),
        (
            "ReplicaRequestImbalance",
            json!({"image": "x"}),
            "ReplicaCpuImbalance",
            json!({"image": "y"}),
            false,
        ),
    ]
}

fn alert(name: &str, labels: &Value, role: String) -> Value {
    let mut labels = labels.clone();
    labels["alertname"] = name.into();
    labels["role"] = role.into();
    json!({ "labels": labels })
}

/// The state of the alert with this role, once Alertmanager has it.
fn state(alertmanager: &Alertmanager, role: &str) -> Option<String> {
    let active = alertmanager.alerts().unwrap();
    let alert = active.iter().find(|alert| alert["labels"]["role"] == role)?;
    Some(alert["status"]["state"].as_str()?.to_owned())
}

#[test]
fn a_cause_silences_its_consequences_and_nothing_else() {
    let test = "a_cause_silences_its_consequences_and_nothing_else";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let alertmanager = Alertmanager::start(&programs, &fs::read_to_string(in_repository(FILE)).unwrap());
    let send = |alerts: Value| {
        let answer = http::post(alertmanager.address, "/api/v2/alerts", &alerts.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let cases = cases();
    for (number, (cause, its, consequence, labels, _)) in cases.iter().enumerate() {
        // Hosts and namespaces of its own for each case.
        let own = |labels: &Value| {
            let mut labels = labels.clone();
            let key = if labels["instance"].is_string() { "instance" } else { "namespace" };
            labels[key] = format!("{}{number}", labels[key].as_str().unwrap_or_default()).into();
            labels.as_object_mut().unwrap().retain(|_, value| value.is_string());
            labels
        };
        send(json!([
            alert(cause, &own(its), format!("cause {number}")),
            alert(consequence, &own(labels), format!("consequence {number}"))
        ]));
    }
    // Alertmanager processes alerts in order, so once it has silenced the last one, it has processed all others.
    let last = json!({ "instance": "last" });
    send(json!([alert("AgentDown", &last, "cause".into()), alert("GpuDown", &last, "last".into())]));
    let deadline = Instant::now() + Duration::from_secs(20);
    while state(&alertmanager, "last").as_deref() != Some("suppressed") {
        assert!(Instant::now() < deadline, "AgentDown does not silence GpuDown");
        thread::sleep(Duration::from_millis(50));
    }
    let breaches: Vec<_> = cases
        .iter()
        .enumerate()
        .filter_map(|(number, (cause, its, consequence, labels, silenced))| {
            let state = state(&alertmanager, &format!("consequence {number}")).unwrap();
            let breach = format!("{cause} {its} and {consequence} {labels}: {state}");
            ((state == "suppressed") != *silenced).then_some(breach)
        })
        .collect();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
