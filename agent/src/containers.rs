//! Whose cgroup is this? A container is a cgroup whose path bears a container id; the deepest one wins.
//!
//! ```text
//! kernel events ─┐                            runtimes ──▶ Directory (id → names)
//! tree walks ────┴─▶ Tracker (cgroup → container) ◀────────────┘
//! ```
//!
//! The cgroup alone makes a container known; a runtime only adds names. No runtime, a hanging runtime or a runtime that
//! does not know the id never hides a container.

pub mod cgroup;
pub mod containerd;
pub mod cri;
pub mod directory;
pub mod docker;
mod due;
mod early_events;
pub mod files;
pub mod grpc;
pub mod layers;
pub mod lifecycle;
mod moment;
pub mod naming;
mod peer_trust;
pub mod process;
pub mod runtimes;
pub mod source;
pub mod tracker;
pub mod watcher;

pub use self::moment::Moment;
