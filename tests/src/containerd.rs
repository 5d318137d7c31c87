//! A containerd for one test, with its Kubernetes plugin. Its data, state and socket are in one directory, its network and
//! mounts in a sandbox. When dropped, its containers, processes and cgroups are removed.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    cgroup::SubtreeControl,
    docker::{
        daemon::{end_leftovers, signal, turn, write_runtime},
        is_root, programs,
    },
    podman::{output_of, remove_cgroups},
    sandbox::Sandbox,
};

/// The image of all its containers. It contains only busybox.
pub const IMAGE: &str = "docker.io/library/glassbox-tests:1";

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The parent cgroup of all its containers.
const CGROUP: &str = "glassbox-test-kubepods";

/// The daemon.
pub struct Containerd {
    directory: tempfile::TempDir,
    process: Option<Child>,
    sandbox: Sandbox,
    _controllers: SubtreeControl,
    /// Only one such test runs at a time, as with Docker. This field must be dropped last.
    _turn: fs::File,
}

impl Containerd {
    /// # Errors
    /// The reason to skip the test.
    pub fn start() -> Result<Self, String> {
        if !is_root() {
            return Err("not root".into());
        }
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let turn = turn()?;
        let sandbox = Sandbox::new(directory.path())?;
        let controllers = SubtreeControl::of_the_host();
        let mut containerd =
            Self { directory, process: None, sandbox, _controllers: controllers, _turn: turn };
        containerd.spawn()?;
        containerd.import_image()?;
        Ok(containerd)
    }

    /// The socket of containerd's own API and of CRI.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// The sandbox with its network and mounts.
    #[must_use]
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The directory with the bundles of its containers.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The parent cgroup for a pod's containers.
    #[must_use]
    pub fn cgroup_parent(pod_uid: &str) -> String {
        format!("/{CGROUP}/besteffort/pod{pod_uid}")
    }

    /// Runs `ctr` in a namespace and returns its output.
    ///
    /// # Errors
    /// The error output of `ctr`.
    pub fn ctr(&self, namespace: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self
            .sandbox
            .command("ctr")
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", namespace])
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        output_of("ctr", &output.map_err(|error| format!("run ctr: {error}"))?)
    }

    /// Runs a container in the background, without Kubernetes.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn run(&self, namespace: &str, id: &str, arguments: &[&str], command: &[&str]) -> Result<(), String> {
        let cgroup = format!("/{CGROUP}/{namespace}/{id}");
        let mut all = vec!["run", "--detach", "--null-io", "--snapshotter", "native", "--cgroup", &cgroup];
        all.extend(arguments);
        all.extend([IMAGE, id]);
        all.extend(command);
        self.ctr(namespace, &all).map(drop)
    }

    /// Kills the daemon with SIGKILL. Its containers continue to run.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts the daemon again after [`kill`](Self::kill).
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.spawn().unwrap_or_else(|reason| panic!("restart containerd: {reason}"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn spawn(&mut self) -> Result<(), String> {
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        let (root, state) = (quoted(self.path("root")), quoted(self.state()));
        let socket = quoted(self.socket());
        let (optional, cni) = (quoted(self.path("opt")), quoted(self.path("cni")));
        // Containers share the host's network, not that of the daemon's sandbox.
        let runtime = quoted(write_runtime(&self.sandbox, self.directory.path())?);
        // The plugin's defaults need CAP_SYS_RESOURCE, hence `restrict_oom_score_adj`.
        let text = format!(
            "version = 2\nroot = {root}\nstate = {state}\n[grpc]\naddress = {socket}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{IMAGE}\"\n\
             restrict_oom_score_adj = true\ndisable_apparmor = true\nstats_collect_period = 1\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
             runtime_type = \"io.containerd.runc.v2\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n\
             BinaryName = {runtime}\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = {cni}\nconf_dir = {cni}\n\
             [plugins.\"io.containerd.internal.v1.opt\"]\npath = {optional}\n"
        );
        let (file, log) = (self.path("config.toml"), self.path("log"));
        fs::write(&file, text).map_err(|error| format!("write {}: {error}", file.display()))?;
        let output = fs::File::create(&log).map_err(|error| format!("make {}: {error}", log.display()))?;
        let mut command = self.sandbox.command("containerd");
        command.arg("--config").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let process = command.spawn().map_err(|error| format!("run containerd: {error}"))?;
        self.process = Some(process);
        let begun = Instant::now();
        while self.ctr("default", &["version"]).is_err() {
            let ended =
                self.process.as_mut().is_none_or(|process| process.try_wait().is_ok_and(|e| e.is_some()));
            if ended || begun.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let last = log.lines().last().unwrap_or("no output").to_owned();
                return Err(format!("containerd does not start here: {last}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Makes an image archive like `docker save` and imports it.
    fn import_image(&self) -> Result<(), String> {
        let run = |command: &mut Command| {
            let name = command.get_program().to_string_lossy().into_owned();
            output_of(&name, &command.output().map_err(|error| format!("run {name}: {error}"))?)
        };
        let root = programs()?;
        let image = self.path("image");
        let write = |name: &str, text: &str| {
            fs::write(image.join(name), text).map_err(|error| format!("write {name}: {error}"))
        };
        fs::create_dir(&image).map_err(|error| format!("make a directory: {error}"))?;
        let layer = image.join("layer.tar");
        run(Command::new("tar").arg("-C").arg(root.path()).arg("-cf").arg(&layer).arg("."))?;
        let sum = run(Command::new("sha256sum").arg(&layer))?;
        let sum = sum.split(' ').next().unwrap_or_default();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let rootfs = format!(r#""rootfs":{{"type":"layers","diff_ids":["sha256:{sum}"]}}"#);
        let command = r#""config":{"Cmd":["/bin/sleep","600"]}"#;
        write(
            "config.json",
            &format!(r#"{{"architecture":"{architecture}","os":"linux",{command},{rootfs}}}"#),
        )?;
        let names = format!(r#""RepoTags":["{IMAGE}"],"Layers":["layer.tar"]"#);
        write("manifest.json", &format!(r#"[{{"Config":"config.json",{names}}}]"#))?;
        let archive = self.path("image.tar");
        let files = ["config.json", "manifest.json", "layer.tar"];
        run(Command::new("tar").arg("-C").arg(&image).arg("-cf").arg(&archive).args(files))?;
        // From 2.0 on, the daemon does the import by default, and does not support this snapshotter.
        let help = self.ctr("default", &["images", "import", "--help"])?;
        let local = help.contains("--local").then_some("--local");
        for namespace in ["k8s.io", "default", "team"] {
            let archive = archive.display().to_string();
            let mut arguments = vec!["images", "import", "--snapshotter", "native"];
            arguments.extend(local);
            arguments.push(&archive);
            self.ctr(namespace, &arguments)?;
        }
        Ok(())
    }

    fn stop(&mut self) {
        let namespaces = self.ctr("default", &["namespaces", "list", "--quiet"]).unwrap_or_default();
        for namespace in namespaces.split_whitespace() {
            let tasks = self.ctr(namespace, &["tasks", "list", "--quiet"]).unwrap_or_default();
            for task in tasks.split_whitespace() {
                let _ = self.ctr(namespace, &["tasks", "delete", "--force", task]);
            }
        }
        if let Some(mut process) = self.process.take() {
            signal(i32::try_from(process.id()).unwrap_or(0), libc::SIGTERM);
            let begun = Instant::now();
            while begun.elapsed() < STOP_TIMEOUT && process.try_wait().is_ok_and(|status| status.is_none()) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.stop();
        end_leftovers(self.directory.path());
        remove_cgroups(CGROUP);
    }
}
