//! The pod of a rendered DaemonSet, started as the container runtime of a node would start it: containerd makes the OCI
//! configuration, with its own default seccomp profile, mounts and masked paths, and runc runs it. The pod has the network
//! of containerd's sandbox, so it does not share the host's.
//!
//! A field that is unknown here fails the test, so that none is left out.

mod arguments;

use std::{fs, path::Path, process::Stdio};

use serde_json::{Value, json};

use crate::containerd::Containerd;

const ID: &str = "a9e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";
const NAMESPACE: &str = "default";

/// What a host path is replaced with, because the test's runtime has its files elsewhere.
pub type Replacements<'a> = &'a [(&'a str, &'a Path)];

/// The running container of the pod. It is killed and removed when dropped.
pub struct AgentPod<'a> {
    containerd: &'a Containerd,
    directory: tempfile::TempDir,
}

impl<'a> AgentPod<'a> {
    /// Starts the pod with the files of the image in `rootfs` and those of the ConfigMap in `configuration`.
    ///
    /// # Errors
    /// If containerd or runc refuses it.
    ///
    /// # Panics
    /// If a field has no translation.
    pub fn start(
        containerd: &'a Containerd,
        spec: &Value,
        rootfs: &Path,
        configuration: &Path,
        replaced: Replacements<'_>,
    ) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let pod = Self { containerd, directory };
        let mut arguments: Vec<String> =
            ["containers", "create", "--rootfs", "--seccomp"].map(str::to_owned).to_vec();
        arguments.extend(arguments::of(spec, configuration, replaced));
        arguments.extend([rootfs.display().to_string(), ID.to_owned(), "/usr/bin/glassbox".to_owned()]);
        containerd.ctr(NAMESPACE, &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        let info = containerd.ctr(NAMESPACE, &["containers", "info", ID])?;
        let mut info: Value =
            serde_json::from_str(&info).map_err(|error| format!("parse {info}: {error}"))?;
        let mut config = info["Spec"].take();
        adapt(&mut config, spec["containers"][0]["securityContext"]["privileged"] == true);
        config["root"]["path"] = json!(rootfs);
        // Not through the command line of `ctr`, which would take --config as its own.
        let mut command = vec![json!("/usr/bin/glassbox")];
        command.extend(spec["containers"][0]["args"].as_array().into_iter().flatten().cloned());
        config["process"]["args"] = Value::from(command);
        let file = pod.directory.path().join("config.json");
        fs::write(&file, config.to_string()).map_err(|error| format!("write {}: {error}", file.display()))?;
        pod.runc(&["run", "--detach", "--pid-file", &pod.path("pid"), "--bundle", &pod.path(""), ID])?;
        Ok(pod)
    }

    /// The process ID of the agent.
    ///
    /// # Panics
    /// If runc has written none.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.path("pid")).unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("not a process ID: {text}"))
    }

    /// Its standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn runc(&self, arguments: &[&str]) -> Result<(), String> {
        let log = fs::File::options().create(true).append(true).open(self.path("log"));
        let log = log.map_err(|error| format!("open a log: {error}"))?;
        let mut command = self.containerd.sandbox().command("runc");
        command.args(["--root", &self.path("state")]).args(arguments);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).status();
        let status = status.map_err(|error| format!("run runc: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("runc {}: {}", arguments.join(" "), self.log())) }
    }
}

impl Drop for AgentPod<'_> {
    fn drop(&mut self) {
        let _ = self.runc(&["delete", "--force", ID]);
        let _ = self.containerd.ctr(NAMESPACE, &["containers", "rm", ID]);
    }
}

/// What `ctr` cannot express.
fn adapt(config: &mut Value, privileged: bool) {
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        // The host's PID namespace (hostPID), and the network of the sandbox, in which runc is started.
        let left_out = ["pid", "network", "cgroup"];
        namespaces.retain(|namespace| left_out.iter().all(|kind| namespace["type"] != *kind));
        // On nodes with cgroup v2, CRI gives each container a cgroup namespace of its own, except privileged ones.
        if !privileged {
            namespaces.push(json!({"type": "cgroup"}));
        }
    }
    config["linux"]["cgroupsPath"] = json!(format!("{}/{ID}", Containerd::cgroup_parent("agent")));
}
