//! Arguments of `ctr containers create` for the only container of a pod.

use std::path::Path;

use serde_json::Value;

use super::Replacements;

/// The capabilities that containerd gives to a container by default.
const DEFAULT_CAPABILITIES: &str = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW \
                                    SETFCAP SETGID SETPCAP SETUID SYS_CHROOT";

/// The arguments. Panics if a field has no translation.
pub(super) fn of(spec: &Value, configuration: &Path, replaced: Replacements<'_>) -> Vec<String> {
    let container = &spec["containers"][0];
    let mut arguments = Vec::new();
    for (field, value) in fields(spec) {
        match field {
            // These namespaces are set in the configuration.
            "hostPID" => assert!(is(value), "the test gives the pod the host's PID namespace"),
            "hostNetwork" => assert!(!is(value), "the test gives the pod a network other than the host's"),
            // Without an effect on what the agent may do.
            "automountServiceAccountToken"
            | "enableServiceLinks"
            | "dnsPolicy"
            | "containers"
            | "volumes"
            | "terminationGracePeriodSeconds"
            | "nodeSelector"
            | "tolerations" => {}
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
    for (field, value) in fields(context) {
        match field {
            "privileged" if is(value) => arguments.push("--privileged".into()),
            "allowPrivilegeEscalation" => assert!(!is(value), "ctr sets no_new_privs by default"),
            "readOnlyRootFilesystem" if is(value) => arguments.push("--read-only".into()),
            // The user of the container by default.
            "runAsUser" | "runAsGroup" => assert_eq!(value, 0),
            "capabilities" => {
                assert_eq!(value["drop"], serde_json::json!(["ALL"]));
                let dropped = DEFAULT_CAPABILITIES.split(' ').filter(|name| !name.is_empty());
                arguments.extend(dropped.map(|name| format!("--cap-drop=CAP_{name}")));
                let added = value["add"].as_array().into_iter().flatten().filter_map(Value::as_str);
                arguments.extend(added.map(|name| format!("--cap-add=CAP_{name}")));
            }
            "seccompProfile" => assert_eq!(value["type"], "RuntimeDefault", "ctr's --seccomp"),
            // This test does not show what AppArmor forbids: most kernels of test machines have no AppArmor.
            "appArmorProfile" | "privileged" | "runAsNonRoot" => {}
            _ => panic!("a security context with {field}: {value}"),
        }
    }
}

fn volume(spec: &Value, mount: &Value, configuration: &Path, replaced: Replacements<'_>) -> String {
    let mut volumes = spec["volumes"].as_array().into_iter().flatten();
    let volume = volumes.find(|volume| volume["name"] == mount["name"]);
    let volume = volume.unwrap_or_else(|| panic!("no volume for {mount}"));
    let place = mount["mountPath"].as_str().unwrap_or_else(|| panic!("no path in {mount}"));
    let source = match volume["hostPath"]["path"].as_str() {
        None => configuration.display().to_string(),
        Some(path) => {
            let replacement = replaced.iter().find(|(replaced, _)| *replaced == path);
            replacement.map_or_else(|| path.to_owned(), |(_, with)| with.display().to_string())
        }
    };
    let mode = if is(&mount["readOnly"]) { "ro" } else { "rw" };
    format!("--mount=type=bind,src={source},dst={place},options=rbind:{mode}")
}

fn limits(limits: &Value, arguments: &mut Vec<String>) {
    let number = |key: &str, unit: &str| {
        let text = limits[key].as_str().and_then(|text| text.strip_suffix(unit)?.parse::<u64>().ok());
        text.unwrap_or_else(|| panic!("{key} of {limits} is not a number with {unit}"))
    };
    arguments.push(format!("--memory-limit={}", number("memory", "Mi") << 20));
    // In a period of 100 ms.
    arguments.push(format!("--cpu-quota={}", number("cpu", "m") * 100));
    arguments.push("--cpu-period=100000".into());
}

fn is(value: &Value) -> bool {
    value == &Value::Bool(true)
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    map.iter().map(|(name, value)| (name.as_str(), value))
}
