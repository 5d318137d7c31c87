//! glassbox: a host agent that makes GPU containers as transparent as a glass box.
//!
//! # Layout
//! - [`config`]: the TOML file and the command line, validated.
//! - [`kernel`]: what this kernel offers; loading and attaching the programs of `agent-ebpf`.
//! - [`containers`]: whose cgroup is this.
//! - [`collectors`]: one module per noun, from files and maps to rows.
//! - [`snapshot`]: one tick's picture of the host, immutable once published.
//! - [`gpu_state`]: what a container is doing with its GPUs, from its row.
//! - [`problems`]: what is wrong with a container, from its row and a short history.
//! - [`tick`]: the loop that makes snapshots.
//! - [`exposition`]: from a snapshot to Prometheus text.
//! - [`server`]: the HTTP listener.
//! - [`log_output`]: the log, which never ends or floods anything.
//! - [`check`]: `glassbox check`.
//! - [`run`]: `glassbox run`.
//! - [`version`]: which build this is.
//!
//! Data flows one way, down this list from `kernel` to `server`; see ARCHITECTURE.md.

pub mod check;
pub mod cli;
pub mod collectors;
pub mod config;
pub mod containers;
pub mod exposition;
pub mod gpu_state;
pub mod kernel;
pub mod log_output;
pub mod problems;
pub mod run;
pub mod server;
pub mod snapshot;
pub mod tick;
pub mod version;
