//! The messages of containerd's own services, with only the fields that are read:
//! <https://github.com/containerd/containerd/tree/main/api>. Fields are identified by number.

use crate::containers::{
    grpc::bounded::{Labels, List},
    metadata::ENTRIES_MAX,
};

pub(super) const LIST_NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
pub(super) const LIST_CONTAINERS: &str = "/containerd.services.containers.v1.Containers/ListStream";
pub(super) const LIST_TASKS: &str = "/containerd.services.tasks.v1.Tasks/List";
pub(super) const SUBSCRIBE: &str = "/containerd.services.events.v1.Events/Subscribe";

/// `Status` of a task.
pub(super) const CREATED: i32 = 1;
pub(super) const RUNNING: i32 = 2;
pub(super) const STOPPED: i32 = 3;
pub(super) const PAUSED: i32 = 4;
pub(super) const PAUSING: i32 = 5;

/// `ListNamespacesRequest` and `ListTasksRequest` without a filter.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Nothing {}

/// `ListContainersRequest` and `SubscribeRequest`: selects everything that matches any of the filters.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Filtered {
    #[prost(string, repeated, tag = "1")]
    pub(super) filters: Vec<String>,
}

pub(super) type ListNamespacesResponse = List<Namespace, 1, 1024>;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Namespace {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListContainerMessage {
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, required, tag = "2")]
    pub(super) labels: Labels,
    #[prost(string, tag = "3")]
    pub(super) image: String,
    /// The configuration of the OCI runtime, as JSON.
    #[prost(message, optional, tag = "5")]
    pub(super) spec: Option<Any>,
    #[prost(message, optional, tag = "8")]
    pub(super) created_at: Option<Timestamp>,
}

pub(super) type ListTasksResponse = List<Process, 1, ENTRIES_MAX>;

/// A container's main process.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Process {
    /// The container ID.
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(int32, tag = "4")]
    pub(super) status: i32,
    #[prost(uint32, tag = "9")]
    pub(super) exit_status: u32,
    #[prost(message, optional, tag = "10")]
    pub(super) exited_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Envelope {
    #[prost(message, optional, tag = "1")]
    pub(super) timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub(super) namespace: String,
    #[prost(string, tag = "3")]
    pub(super) topic: String,
    #[prost(message, optional, tag = "4")]
    pub(super) event: Option<Any>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// The first field of all events about containers and their tasks: `ContainerCreate`, `ContainerUpdate`,
/// `ContainerDelete`, `TaskStart`, `TaskOOM`, `TaskPaused`, `TaskResumed`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct About {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TaskExit {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    /// The process ID in containerd; equal to the container ID for the main process.
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(uint32, tag = "4")]
    pub(super) exit_status: u32,
    #[prost(message, optional, tag = "5")]
    pub(super) exited_at: Option<Timestamp>,
}
