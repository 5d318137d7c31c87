//! A containerd of the test's own, with its Kubernetes plugin: its data, its state and its socket in one directory, its
//! network and its mounts in a sandbox. When dropped, its containers, processes and cgroups are removed.

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
    podman::{remove_cgroups, told},
    sandbox::Sandbox,
};

/// The image of all its containers: busybox alone.
pub const IMAGE: &str = "docker.io/library/glassbox-tests:1";

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The cgroup above all its containers.
const CGROUP: &str = "glassbox-test-kubepods";

/// The daemon.
pub struct Containerd {
    directory: tempfile::TempDir,
    process: Option<Child>,
    sandbox: Sandbox,
    _controllers: SubtreeControl,
    /// One such test at a time, as with Docker; the last to be dropped.
    _turn: fs::File,
}

impl Containerd {
    /// # Errors
    /// Why there can be none: a reason to skip.
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

    /// Its socket: its own services' and Kubernetes'.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// Where it keeps what it hands to its runtime.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The cgroup to put a pod's containers under.
    #[must_use]
    pub fn cgroup_parent(pod_uid: &str) -> String {
        format!("/{CGROUP}/besteffort/pod{pod_uid}")
    }

    /// Runs the `ctr` command in a namespace, and returns what it printed.
    ///
    /// # Errors
    /// What it said when it failed.
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
        told("ctr", &output.map_err(|error| format!("run ctr: {error}"))?)
    }

    /// Runs a container in the background, without Kubernetes.
    ///
    /// # Errors
    /// Why this host cannot: a reason to skip.
    pub fn run(&self, namespace: &str, id: &str, arguments: &[&str], command: &[&str]) -> Result<(), String> {
        let cgroup = format!("/{CGROUP}/{namespace}/{id}");
        let mut all = vec!["run", "--detach", "--null-io", "--snapshotter", "native", "--cgroup", &cgroup];
        all.extend(arguments);
        all.extend([IMAGE, id]);
        all.extend(command);
        self.ctr(namespace, &all).map(drop)
    }

    /// Kills the daemon as a crash would. Its containers run on.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again after [`kill`](Self::kill).
    ///
    /// # Panics
    /// When it does not start.
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
        // Pods of tests are in the host's network, not in the daemon's.
        let runtime = quoted(write_runtime(&self.sandbox, self.directory.path())?);
        // Without CAP_SYS_RESOURCE nobody may ask for what the plugin does by default.
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
                let last = log.lines().last().unwrap_or("it said nothing").to_owned();
                return Err(format!("containerd does not start here: {last}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Makes an archive as `docker save` does, and imports it.
    fn import_image(&self) -> Result<(), String> {
        let run = |command: &mut Command| {
            let name = command.get_program().to_string_lossy().into_owned();
            told(&name, &command.output().map_err(|error| format!("run {name}: {error}"))?)
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
        // From 2.0 on, the daemon imports unless told otherwise, and not for this snapshotter.
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
