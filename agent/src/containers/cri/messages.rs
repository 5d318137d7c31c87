//! The messages of Kubernetes' container runtime interface (CRI), version 1, with only the fields that are read:
//! `runtime.v1` in <https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto>. Fields are
//! identified by number.

use crate::containers::{
    grpc::bounded::{Labels, List},
    metadata::ENTRIES_MAX,
};

pub(super) const VERSION: &str = "/runtime.v1.RuntimeService/Version";
pub(super) const LIST_POD_SANDBOX: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
pub(super) const LIST_CONTAINERS: &str = "/runtime.v1.RuntimeService/ListContainers";
pub(super) const CONTAINER_STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
pub(super) const GET_CONTAINER_EVENTS: &str = "/runtime.v1.RuntimeService/GetContainerEvents";

/// `ContainerState`.
pub(super) const CREATED: i32 = 0;
pub(super) const RUNNING: i32 = 1;
pub(super) const EXITED: i32 = 2;
/// The reason of a container that the kernel killed because it was out of memory.
pub(super) const OOM_KILLED: &str = "OOMKilled";
/// `PodSandboxState`.
pub(super) const READY: i32 = 0;
/// `ContainerEventType`.
pub(super) const DELETED: i32 = 3;

/// An empty request: `ListPodSandboxRequest` or `ListContainersRequest` without filters, or `GetEventsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct VersionRequest {
    #[prost(string, tag = "1")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct VersionResponse {
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
}

pub(super) type ListPodSandboxResponse = List<PodSandbox, 1, ENTRIES_MAX>;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PodSandbox {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(message, required, tag = "5")]
    pub(super) labels: Labels,
}

/// The same fields as [`PodSandbox`], except that the labels have a different field number.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PodSandboxStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(message, required, tag = "7")]
    pub(super) labels: Labels,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) uid: String,
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
    #[prost(uint32, tag = "4")]
    pub(super) attempt: u32,
}

pub(super) type ListContainersResponse = List<Container, 1, ENTRIES_MAX>;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<ImageSpec>,
    #[prost(int32, tag = "6")]
    pub(super) state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "7")]
    pub(super) created_at: i64,
    #[prost(message, required, tag = "8")]
    pub(super) labels: Labels,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, tag = "2")]
    pub(super) attempt: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub(super) image: String,
    #[prost(string, tag = "18")]
    pub(super) user_specified_image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerStatusRequest {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<ContainerStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    /// Nanoseconds since 1970; 0 before the start.
    #[prost(int64, tag = "5")]
    pub(super) started_at: i64,
    /// Nanoseconds since 1970; 0 before the exit.
    #[prost(int64, tag = "6")]
    pub(super) finished_at: i64,
    #[prost(int32, tag = "7")]
    pub(super) exit_code: i32,
    #[prost(message, optional, tag = "8")]
    pub(super) image: Option<ImageSpec>,
    #[prost(string, tag = "10")]
    pub(super) reason: String,
    #[prost(message, required, tag = "12")]
    pub(super) labels: Labels,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerEventResponse {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(int32, tag = "2")]
    pub(super) container_event_type: i32,
    #[prost(message, optional, tag = "4")]
    pub(super) pod_sandbox_status: Option<PodSandboxStatus>,
    /// [`ContainerStatus`] of each container of the pod, not decoded because only one is used.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub(super) containers_statuses: Vec<Vec<u8>>,
}
