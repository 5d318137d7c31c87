//! What the rendered pod of each profile may do, and what it has for GPUs.

use glassbox_tests::{
    deployment::{Tools, only},
    skip,
};
use serde_json::{Value, json};

/// The specification of the pod, or `None` after printing why the test is skipped.
fn pod(values: &str) -> Option<Value> {
    let test = std::thread::current();
    let tools = Tools::find().map_err(|reason| skip(test.name().unwrap_or_default(), &reason)).ok()?;
    Some(only(&tools.render(values), "DaemonSet")["spec"]["template"]["spec"].clone())
}

fn of_profile(profile: &str) -> Option<Value> {
    pod(&format!(r#"{{"profile": "{profile}", "runtimes": {{"crio": true, "k3s": true, "docker": true}}}}"#))
}

/// Names of mounts that are writable.
fn writable(pod: &Value) -> Vec<String> {
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap().iter();
    let writable = mounts.filter(|mount| mount["readOnly"] != true);
    writable.map(|mount| mount["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn only_tracefs_is_writable_and_not_in_the_restricted_profile() {
    for (profile, wanted) in [("restricted", &[][..]), ("full", &["tracing"]), ("privileged", &["tracing"])] {
        let Some(pod) = of_profile(profile) else { return };
        assert_eq!(writable(&pod), wanted, "{profile}");
        assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true, "{profile}");
        assert_eq!((&pod["hostPID"], &pod["hostNetwork"]), (&json!(true), &json!(false)), "{profile}");
        // Each mount has a volume, and each volume is mounted.
        let names = |list: &Value| {
            let mut names: Vec<_> =
                list.as_array().unwrap().iter().map(|entry| entry["name"].clone()).collect();
            names.sort_by_key(Value::to_string);
            names
        };
        assert_eq!(names(&pod["volumes"]), names(&pod["containers"][0]["volumeMounts"]), "{profile}");
    }
}

#[test]
fn only_the_privileged_profile_is_privileged() {
    for (profile, app_armor) in [("restricted", "RuntimeDefault"), ("full", "Unconfined")] {
        let Some(pod) = of_profile(profile) else { return };
        let context = &pod["containers"][0]["securityContext"];
        assert_eq!(context["privileged"], false, "{profile}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{profile}");
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{profile}");
        let net_admin = context["capabilities"]["add"].as_array().unwrap().contains(&json!("NET_ADMIN"));
        assert_eq!(net_admin, profile == "full");
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{profile}");
        assert_eq!(context["appArmorProfile"]["type"], app_armor, "{profile}");
    }
    let Some(pod) = of_profile("privileged") else { return };
    assert_eq!(pod["containers"][0]["securityContext"]["privileged"], true);
}

#[test]
fn the_default_profile_is_full() {
    let (Some(default), Some(full)) = (pod("{}"), pod(r#"{"profile": "full"}"#)) else { return };
    assert_eq!(default, full);
}

#[test]
fn a_pod_for_gpus_has_nvidias_runtime_but_requests_no_gpu() {
    let Some(gpu) = pod(r#"{"gpu": {"enabled": true}}"#) else { return };
    assert_eq!(gpu["runtimeClassName"], "nvidia");
    assert_eq!(gpu["nodeSelector"]["nvidia.com/gpu.present"], "true");
    let agent = &gpu["containers"][0];
    let variable = |name: &str| {
        let mut variables = agent["env"].as_array().unwrap().iter();
        variables.find(|variable| variable["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(variable("NVIDIA_VISIBLE_DEVICES"), "all");
    assert_eq!(variable("NVIDIA_DRIVER_CAPABILITIES"), "utility");
    assert!(!agent["resources"].to_string().contains("nvidia.com/gpu"));
    let plain = r#"{"gpu": {"enabled": true, "runtimeClassName": "", "nodeSelector": null}}"#;
    let Some(without_class) = pod(plain) else { return };
    assert_eq!(without_class["runtimeClassName"], Value::Null);
    assert_eq!(without_class["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
}
