//! How large containers' writable layers are, from CRI's `ListContainerStats`: containerd and CRI-O measure them for the
//! kubelet anyway. Asked on the disk collector's slow schedule, each time over a connection of its own, so that nothing is
//! held in between. The answer comes with CPU and memory of each container, which the runtime reads for it and which is
//! skipped here: a millisecond or so of the runtime's time for each of Kubernetes' containers.
//!
//! Docker's API has a question for sizes, too (`size=1`), but the daemon then walks every container's files while it is
//! asked, so it is not asked here.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::sleep;

use super::messages::Nothing;
use crate::containers::{
    directory::ENTRIES_MAX,
    grpc::{Client, bounded::List, is_unimplemented},
    layers::Layers,
    runtimes::is_there,
    source::Source,
    watcher::{PACE, Pace},
};

const LIST_CONTAINER_STATS: &str = "/runtime.v1.RuntimeService/ListContainerStats";
/// Between two looks for a socket that is not there.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// One that does not speak CRI is asked again after so many periods.
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
    /// Nanoseconds since 1970; 0 where nothing was measured yet.
    #[prost(int64, tag = "1")]
    pub(super) timestamp: i64,
    #[prost(message, optional, tag = "3")]
    pub(super) used_bytes: Option<UInt64Value>,
}

/// Protobuf's way to tell 0 from unknown.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UInt64Value {
    #[prost(uint64, tag = "1")]
    pub(super) value: u64,
}

/// Asks the runtime behind `socket` every `period`, for ever.
pub async fn watch(source: Source, socket: PathBuf, period: Duration, layers: Layers) -> Infallible {
    watch_at(PACE, source, socket, period, layers).await
}

pub(super) async fn watch_at(
    pace: Pace,
    source: Source,
    socket: PathBuf,
    period: Duration,
    layers: Layers,
) -> Infallible {
    loop {
        if !is_there(&socket) {
            sleep(LOOK_PERIOD.min(period)).await;
            continue;
        }
        let pause = match ask(pace, &socket).await {
            Ok(sizes) => {
                layers.replace(source, sizes);
                period
            }
            Err(error) if is_unimplemented(&error) => period * NOT_OFFERED_PERIODS,
            Err(error) => {
                // That it does not answer is for the watcher of names to warn of.
                tracing::debug!("{}: {error:#}", source.runtime.as_str());
                period
            }
        };
        sleep(pause).await;
    }
}

async fn ask(pace: Pace, socket: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let (client, _standing) = pace.answer(socket, Client::connect(socket)).await?;
    let question = client.ask::<_, ListContainerStatsResponse>(LIST_CONTAINER_STATS, Nothing {});
    let answer = pace.answer(socket, question).await.context("list container statistics")?;
    Ok(answer.items.into_iter().filter_map(size).collect())
}

fn size(stats: ContainerStats) -> Option<(String, u64)> {
    let layer = stats.writable_layer.filter(|layer| layer.timestamp > 0)?;
    Some((stats.attributes?.id, layer.used_bytes?.value))
}

#[cfg(test)]
mod tests;
