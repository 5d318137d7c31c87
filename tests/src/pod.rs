//! A pod, started through CRI as the kubelet does, but in the host's network. Its containers are removed with the daemon.

mod messages;

use std::{collections::HashMap, path::PathBuf};

use glassbox::containers::grpc::Client;

use self::messages::{
    ContainerConfig, ContainerLinux, ContainerMetadata, ContainerSecurityContext, CreateContainerRequest, Id,
    ImageSpec, Linux, NamespaceOption, Nothing, PodSandboxConfig, PodSandboxMetadata, Resources,
    RunPodSandboxRequest, SecurityContext,
};
use crate::containerd::{Containerd, IMAGE};

/// The pod's UID.
pub const UID: &str = "1f2e3d4c-5b6a-7988-1f2e-3d4c5b6a7988";
/// The host's network namespace.
const OF_THE_HOST: NamespaceOption = NamespaceOption { network: 2 };

/// The pod `web-0` of the namespace `prod`.
pub struct Pod {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
    /// The ID of the sandbox container, which holds the namespaces.
    pub sandbox: String,
}

impl Pod {
    /// Runs a pod without containers.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn run(containerd: &Containerd) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("start a runtime: {error}"))?;
        let mut pod = Self { socket: containerd.socket(), runtime, sandbox: String::new() };
        let question = RunPodSandboxRequest { config: Some(config()) };
        let sandbox: Id = pod.ask("/runtime.v1.RuntimeService/RunPodSandbox", question)?;
        pod.sandbox = sandbox.id;
        Ok(pod)
    }

    /// Starts the pod's container `app` and returns its ID. `attempt` is the number of its predecessors. `memory_bytes` is
    /// its limit, 0 for none; an empty `command` means the image's.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn start(&self, attempt: u32, memory_bytes: i64, command: &[&str]) -> Result<String, String> {
        let config_of_container = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "app".into(), attempt }),
            image: Some(ImageSpec { image: IMAGE.into() }),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            labels: HashMap::from([("glassbox.kept".into(), "yes".into())]),
            linux: Some(ContainerLinux {
                resources: Some(Resources { memory_limit_in_bytes: memory_bytes }),
                security_context: Some(ContainerSecurityContext { namespace_options: Some(OF_THE_HOST) }),
            }),
        };
        let question = CreateContainerRequest {
            pod_sandbox_id: self.sandbox.clone(),
            config: Some(config_of_container),
            sandbox_config: Some(config()),
        };
        let container: Id = self.ask("/runtime.v1.RuntimeService/CreateContainer", question)?;
        let _: Nothing = self.ask("/runtime.v1.RuntimeService/StartContainer", container.clone())?;
        Ok(container.id)
    }

    /// Removes a container that has ended.
    ///
    /// # Errors
    /// The error of containerd.
    pub fn remove(&self, id: &str) -> Result<(), String> {
        let container = Id { id: id.to_owned() };
        self.ask::<_, Nothing>("/runtime.v1.RuntimeService/RemoveContainer", container).map(drop)
    }

    fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, String>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let asked = self.runtime.block_on(async {
            let (client, _standing) = Client::connect(&self.socket).await?;
            anyhow::Ok(client.ask(path, question).await?)
        });
        asked.map_err(|error| format!("{path}: {error:#}"))
    }
}

fn config() -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: "web-0".into(),
            uid: UID.into(),
            namespace: "prod".into(),
        }),
        labels: HashMap::from([("io.kubernetes.pod.uid".into(), UID.into())]),
        linux: Some(Linux {
            cgroup_parent: Containerd::cgroup_parent(UID),
            security_context: Some(SecurityContext { namespace_options: Some(OF_THE_HOST) }),
        }),
    }
}
