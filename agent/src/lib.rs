//! glassbox: a host agent that makes GPU containers as transparent as a glass box.
//!
//! # Layout, from the lowest layer to the highest
//! - [`snapshot`]: one tick's picture of the host, plain data, immutable once published.
//! - [`config`]: the TOML file, validated.
//! - [`kernel`]: what this kernel offers; loading and attaching the programs of `agent-ebpf`.
//! - [`containers`]: which cgroup belongs to which container.
//! - [`collectors`]: from files and kernel maps to the rows of a snapshot.
//! - [`analysis`]: what follows from the new snapshot and recent ones: GPU states, problems, Xid errors of two sources joined.
//! - [`exposition`]: from a snapshot to Prometheus text.
//! - [`server`]: the HTTP listener.
//! - [`start`]: kernel programs and collectors, as both subcommands start them.
//! - [`tick`]: the loop that makes snapshots.
//! - [`run`], [`check`]: `glassbox run` and `glassbox check`.
//! - [`cli`]: the command line.
//!
//! Beside them, for every layer: [`log_output`], the log, and [`version`], which build this is.
//!
//! A module imports from lower layers only; the test `layers` holds that. See ARCHITECTURE.md.

pub mod analysis;
pub mod check;
pub mod cli;
pub mod collectors;
pub mod config;
pub mod containers;
pub mod exposition;
pub mod kernel;
pub mod log_output;
pub mod run;
pub mod server;
pub mod snapshot;
pub mod start;
pub mod tick;
pub mod version;
