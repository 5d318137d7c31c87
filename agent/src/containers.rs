//! Maps cgroups to containers. A cgroup is a container if its path contains a container ID; if several directories of a
//! path do, the deepest one is the container.
//!
//! ```text
//! kernel events ─┐                            runtimes ──▶ MetadataStore (ID → metadata)
//! tree walks ────┴─▶ Tracker (cgroup → container) ◀────────────┘
//! ```
//!
//! Containers are discovered by their cgroups; runtimes only add metadata. A container is never hidden because its
//! runtime is missing, hangs or does not report the container's ID.

pub mod cgroup;
pub mod containerd;
pub mod cri;
pub mod directory;
pub mod docker;
mod early_events;
pub mod files;
pub mod grpc;
pub mod layers;
pub mod lifecycle;
pub mod listening;
pub mod metadata;
mod moment;
pub mod naming;
mod peer_trust;
pub mod process;
mod recheck;
pub mod runtimes;
pub mod source;
pub mod tracker;
pub mod watcher;

pub use self::moment::Moment;
