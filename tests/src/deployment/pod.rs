//! Starts the pod of a rendered DaemonSet with Docker, which has the options of a pod's security context: the same
//! capabilities, seccomp profile, namespaces and mounts as the container runtime of a node would give it.
//!
//! A field that is unknown here fails the test, so that none is left out.

use std::{net::SocketAddr, path::Path};

use serde_json::Value;

use crate::docker::Docker;

/// What a host path is replaced with, because the test's runtime has its files elsewhere.
pub type Replacements<'a> = &'a [(&'a str, &'a Path)];

/// Arguments of `docker run` for the only container of a pod, without image and command.
///
/// # Panics
/// If a field has no translation.
#[must_use]
pub fn docker_arguments(spec: &Value, configuration: &Path, replaced: Replacements<'_>) -> Vec<String> {
    let container = &spec["containers"][0];
    let mut arguments = Vec::new();
    for (field, value) in fields(spec) {
        match field {
            "hostPID" if is(value) => arguments.push("--pid=host".to_owned()),
            "hostNetwork" if is(value) => arguments.push("--network=host".to_owned()),
            // Without an effect on what the agent may do.
            "hostPID"
            | "hostNetwork"
            | "automountServiceAccountToken"
            | "enableServiceLinks"
            | "dnsPolicy"
            | "terminationGracePeriodSeconds"
            | "nodeSelector"
            | "tolerations"
            | "volumes"
            | "containers" => {}
            _ => panic!("a pod with {field}: {value}"),
        }
    }
    for (field, value) in fields(container) {
        match field {
            "securityContext" => security(value, &mut arguments),
            "volumeMounts" => {
                let mounts = value.as_array().into_iter().flatten();
                mounts.for_each(|mount| arguments.push(volume(spec, mount, configuration, replaced)));
            }
            "resources" => limits(&value["limits"], &mut arguments),
            "name" | "image" | "imagePullPolicy" | "args" | "ports" | "startupProbe" | "livenessProbe"
            | "readinessProbe" => {}
            _ => panic!("a container with {field}: {value}"),
        }
    }
    arguments
}

fn security(context: &Value, arguments: &mut Vec<String>) {
    let privileged = is(&context["privileged"]);
    // On nodes with cgroup v2, container runtimes give each container a cgroup namespace of its own, except privileged ones.
    arguments.push(format!("--cgroupns={}", if privileged { "host" } else { "private" }));
    for (field, value) in fields(context) {
        match (field, value.as_str()) {
            ("privileged", _) if is(value) => arguments.push("--privileged".into()),
            ("runAsUser", _) => {
                arguments.push(format!("--user={}:{}", value, context["runAsGroup"]));
            }
            ("readOnlyRootFilesystem", _) if is(value) => arguments.push("--read-only".into()),
            ("allowPrivilegeEscalation", _) if !is(value) => {
                arguments.push("--security-opt=no-new-privileges".into());
            }
            ("capabilities", _) => {
                for (option, key) in [("--cap-drop", "drop"), ("--cap-add", "add")] {
                    let names = value[key].as_array().into_iter().flatten().filter_map(Value::as_str);
                    arguments.extend(names.map(|name| format!("{option}={name}")));
                }
            }
            // Docker's default profile, which containerd's and CRI-O's are copies of.
            ("seccompProfile", None) => assert_eq!(value["type"], "RuntimeDefault"),
            ("appArmorProfile", None) => match value["type"].as_str() {
                Some("RuntimeDefault") => {}
                Some("Unconfined") => arguments.push("--security-opt=apparmor=unconfined".into()),
                other => panic!("an AppArmor profile of type {other:?}"),
            },
            ("privileged" | "runAsGroup" | "runAsNonRoot", _) => {}
            _ => panic!("a security context with {field}: {value}"),
        }
    }
}

/// One mount, in the form of `--volume`.
fn volume(spec: &Value, mount: &Value, configuration: &Path, replaced: Replacements<'_>) -> String {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let mut volumes = volumes.filter(|volume| volume["name"] == mount["name"]);
    let volume = volumes.next().unwrap_or_else(|| panic!("no volume for {mount}"));
    let place = mount["mountPath"].as_str().unwrap_or_else(|| panic!("no path in {mount}"));
    let source = match volume["hostPath"]["path"].as_str() {
        None => configuration.display().to_string(),
        Some(path) => {
            let replacement = replaced.iter().find(|(replaced, _)| *replaced == path);
            replacement.map_or_else(|| path.to_owned(), |(_, with)| with.display().to_string())
        }
    };
    format!("--volume={source}:{place}{}", if is(&mount["readOnly"]) { ":ro" } else { "" })
}

fn limits(limits: &Value, arguments: &mut Vec<String>) {
    let text = |key: &str| limits[key].as_str().unwrap_or_else(|| panic!("no limit of {key}: {limits}"));
    let memory = text("memory").strip_suffix("Mi").unwrap_or_else(|| panic!("memory in {limits} without Mi"));
    let cpu = text("cpu").strip_suffix('m').and_then(|milli| milli.parse::<f64>().ok());
    let cpu = cpu.unwrap_or_else(|| panic!("cpu in {limits} without m"));
    arguments.push(format!("--memory={memory}m"));
    arguments.push(format!("--cpus={}", cpu / 1000.0));
}

/// The address at which the sandbox of a daemon reaches the container's port `metrics`.
///
/// # Panics
/// If the container has no network.
#[must_use]
pub fn address(docker: &Docker, id: &str, spec: &Value) -> SocketAddr {
    let port = &spec["containers"][0]["ports"][0]["containerPort"];
    let ip = docker.run(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", id]);
    let address = format!("{ip}:{port}");
    address.parse().unwrap_or_else(|_| panic!("{address} is not an address"))
}

fn is(value: &Value) -> bool {
    value == &Value::Bool(true)
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    map.iter().map(|(name, value)| (name.as_str(), value))
}
