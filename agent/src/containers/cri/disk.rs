//! Sizes of containers' writable layers, from CRI's `ListContainerStats`: containerd and CRI-O measure them for the
//! kubelet anyway. Requested on the disk collector's slow schedule, each time over a new connection, so that nothing is
//! held in between. The response also contains CPU and memory usage, which the agent ignores. Reading them costs the
//! runtime about a millisecond per Kubernetes container.
//!
//! Docker's API also reports sizes (`size=1`), but the daemon walks every container's files for that, so it is not
//! used.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::sleep;

use super::messages::Nothing;
use crate::containers::{
    grpc::{Client, bounded::List, is_unimplemented},
    layers::Layers,
    metadata::ENTRIES_MAX,
    runtimes::is_there,
    source::Source,
    watcher::{TIMEOUTS, Timeouts},
};

const LIST_CONTAINER_STATS: &str = "/runtime.v1.RuntimeService/ListContainerStats";
/// The time between two checks whether the socket exists.
const SOCKET_CHECK_PERIOD: Duration = Duration::from_secs(5);
/// If the runtime does not support CRI, the request is retried after this many periods.
const NOT_OFFERED_PERIODS: u32 = 10;

pub(super) type ListContainerStatsResponse = List<ContainerStats, 1, ENTRIES_MAX>;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerStats {
    #[prost(message, optional, tag = "1")]
    pub(super) attributes: Option<ContainerAttributes>,
    #[prost(message, optional, tag = "4")]
    pub(super) writable_layer: Option<FilesystemUsage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerAttributes {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FilesystemUsage {
    /// Nanoseconds since 1970; 0 if nothing was measured yet.
    #[prost(int64, tag = "1")]
    pub(super) timestamp: i64,
    #[prost(message, optional, tag = "3")]
    pub(super) used_bytes: Option<UInt64Value>,
}

/// Protobuf's wrapper that distinguishes 0 from unknown.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UInt64Value {
    #[prost(uint64, tag = "1")]
    pub(super) value: u64,
}

/// Requests the sizes from the runtime behind `socket` every `period`, forever.
pub async fn watch(source: Source, socket: PathBuf, period: Duration, layers: Layers) -> Infallible {
    watch_at(TIMEOUTS, source, socket, period, layers).await
}

pub(super) async fn watch_at(
    timeouts: Timeouts,
    source: Source,
    socket: PathBuf,
    period: Duration,
    layers: Layers,
) -> Infallible {
    loop {
        if !is_there(&socket) {
            sleep(SOCKET_CHECK_PERIOD.min(period)).await;
            continue;
        }
        let pause = match ask(timeouts, &socket).await {
            Ok(sizes) => {
                layers.replace(source, sizes);
                period
            }
            Err(error) if is_unimplemented(&error) => period * NOT_OFFERED_PERIODS,
            Err(error) => {
                // The watcher of the same socket warns if the runtime is unreachable.
                tracing::debug!("{}: {error:#}", source.runtime.as_str());
                period
            }
        };
        sleep(pause).await;
    }
}

async fn ask(timeouts: Timeouts, socket: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let (client, _standing) = timeouts.answer(socket, Client::connect(socket)).await?;
    let request = client.ask::<_, ListContainerStatsResponse>(LIST_CONTAINER_STATS, Nothing {});
    let answer = timeouts.answer(socket, request).await.context("list container statistics")?;
    Ok(answer.items.into_iter().filter_map(size).collect())
}

fn size(stats: ContainerStats) -> Option<(String, u64)> {
    let layer = stats.writable_layer.filter(|layer| layer.timestamp > 0)?;
    Some((stats.attributes?.id, layer.used_bytes?.value))
}

#[cfg(test)]
mod tests;
