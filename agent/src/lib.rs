//! glassbox: a host agent that makes GPU containers as transparent as a glass box.
//!
//! # Layout, from the lowest layer to the highest
//! - [`snapshot`]: the result of one tick: plain data, immutable once published.
//! - [`config`]: the configuration file, validated.
//! - [`kernel`]: detects the features of this kernel; loads and attaches the programs of `agent-ebpf`.
//! - [`containers`]: maps cgroups to containers.
//! - [`collectors`]: read files and kernel maps into the rows of a snapshot.
//! - [`analysis`]: derivations from the new snapshot and recent ones: GPU state, problems, Xid errors joined with GPUs.
//! - [`exposition`]: encodes a snapshot as Prometheus text.
//! - [`server`]: the HTTP listener.
//! - [`start`]: starts kernel programs and collectors, for both `run` and `check`.
//! - [`sandbox`]: gives up capabilities and system calls that the agent does not need, for both `run` and `check`.
//! - [`tick`]: the loop that produces snapshots.
//! - [`run`], [`check`], [`health`]: `glassbox run`, `glassbox check` and `glassbox health`.
//! - [`cli`]: the command line.
//!
//! Used by all layers: [`log_output`], the log, [`version`], the version and commit of this build, and [`deadline`], the timeout
//! of a connection.
//!
//! A module imports from lower layers only; the test `layers` enforces this. See ARCHITECTURE.md.

pub mod analysis;
pub mod check;
pub mod cli;
pub mod collectors;
pub mod config;
pub mod containers;
pub mod deadline;
pub mod exposition;
pub mod health;
pub mod kernel;
pub mod log_output;
pub mod run;
pub mod sandbox;
pub mod server;
pub mod snapshot;
pub mod start;
pub mod tick;
pub mod version;
