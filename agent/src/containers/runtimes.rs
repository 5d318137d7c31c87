//! Starts the sources of metadata: one watcher per configured socket, with the API of its runtime, and the reader of
//! files. A watcher starts once its socket exists; until then it costs one check every [`SOCKET_CHECK_PERIOD`]. The watcher of
//! Docker's main socket starts at once, so that a missing Docker is shown as disconnected.

use std::{os::unix::fs::FileTypeExt as _, path::Path, time::Duration};

use super::{
    containerd::ContainerdApi,
    cri::{self, CriApi},
    docker::DockerApi,
    files,
    metadata::MetadataStore,
    watcher::{RuntimeClient, RuntimeWatcher, TIMEOUTS, restarted},
};
use crate::config::Config;
use crate::containers::source::Source;
use crate::snapshot::identity::Runtime;

/// The time between two checks whether a socket exists.
const SOCKET_CHECK_PERIOD: Duration = Duration::from_secs(5);

/// Starts all watchers on the current runtime, and the thread that reads files. If `layer_sizes_period` is set, the watchers
/// also request the sizes of writable layers at this interval. Must be called on a thread that may open files.
pub fn start(config: &Config, metadata: &MetadataStore, layer_sizes_period: Option<Duration>) {
    let labels = || config.containers.labels.clone();
    if let Some(socket) = config.docker.socket().map(Path::to_owned) {
        metadata.register(Runtime::Docker);
        let watcher =
            RuntimeWatcher::<DockerApi>::new(Runtime::Docker.into(), socket, labels(), metadata.clone());
        tokio::spawn(watcher.watch());
    }
    // Number 0 is Docker's main socket.
    for (number, socket) in config.docker.extra_sockets().iter().enumerate() {
        let source = Source::socket(Runtime::Docker, number + 1);
        begin(RuntimeWatcher::<DockerApi>::new(source, socket.clone(), labels(), metadata.clone()));
    }
    for (number, socket) in config.podman.sockets.iter().enumerate() {
        let source = Source::socket(Runtime::Podman, number);
        begin(RuntimeWatcher::<DockerApi>::new(source, socket.clone(), labels(), metadata.clone()));
    }
    for (number, socket) in config.containerd.sockets.iter().enumerate() {
        let source = Source::socket(Runtime::Containerd, number);
        begin(RuntimeWatcher::<ContainerdApi>::new(source, socket.clone(), labels(), metadata.clone()));
    }
    // CRI sockets may be containerd's own sockets, so their numbers follow those of containerd.
    let first = config.containerd.sockets.len();
    for (number, socket) in config.cri.sockets.iter().enumerate() {
        let source = Source::socket(cri_runtime(socket), first + number);
        begin(RuntimeWatcher::<CriApi>::new(source, socket.clone(), labels(), metadata.clone()));
        if let Some(period) = layer_sizes_period {
            let (layers, socket) = (metadata.layers().clone(), socket.clone());
            tokio::spawn(async move {
                let watch = || cri::disk::watch(source, socket.clone(), period, layers.clone());
                restarted("the watcher of layer sizes", TIMEOUTS, watch).await
            });
        }
    }
    let reader = files::start(&config.paths, &labels(), metadata);
    let (roots, metadata) = (config.paths.clone(), metadata.clone());
    tokio::spawn(async move {
        let watch = || files::watch(roots.clone(), reader.clone(), metadata.clone());
        restarted("the reader of metadata files", TIMEOUTS, watch).await
    });
}

/// The runtime behind a CRI socket, by the name of the socket: the API reports the runtime only after a connection.
#[must_use]
pub fn cri_runtime(socket: &Path) -> Runtime {
    let crio = socket.file_name().is_some_and(|name| name.to_string_lossy().contains("crio"));
    if crio { Runtime::CriO } else { Runtime::Containerd }
}

/// True if the socket exists, even if no process listens on it.
#[must_use]
pub fn is_there(socket: &Path) -> bool {
    std::fs::metadata(socket).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn begin<Api: 'static>(watcher: RuntimeWatcher<Api>)
where
    RuntimeWatcher<Api>: RuntimeClient,
{
    if is_there(&watcher.socket) {
        // The first snapshot waits for registered runtimes.
        watcher.metadata.register(watcher.source);
    }
    tokio::spawn(async move {
        while !is_there(&watcher.socket) {
            tokio::time::sleep(SOCKET_CHECK_PERIOD).await;
        }
        // Boxed, because this future is much larger than the waiting one.
        Box::pin(watcher.watch()).await
    });
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        config,
        containers::grpc::test_server::{Answer, Peer, UNIMPLEMENTED},
    };

    #[test]
    fn the_cri_o_socket_is_recognized_by_its_name() {
        assert_eq!(cri_runtime(Path::new("/run/crio/crio.sock")), Runtime::CriO);
        assert_eq!(cri_runtime(Path::new("/run/containerd/containerd.sock")), Runtime::Containerd);
    }

    #[test]
    fn a_runtime_without_a_socket_is_neither_queried_nor_shown_as_disconnected() {
        let nowhere = |name: &str| vec![PathBuf::from(format!("/nowhere/{name}.sock"))];
        let config = Config {
            docker: config::Docker { extra_sockets: nowhere("docker"), ..config::Docker::off() },
            podman: config::Podman { sockets: nowhere("podman") },
            containerd: config::Containerd { sockets: nowhere("containerd") },
            cri: config::Cri { sockets: nowhere("crio") },
            ..Config::default()
        };
        let metadata = MetadataStore::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            start(&config, &metadata, None);
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        assert_eq!(metadata.runtimes(), []);
        assert!(metadata.first_listing_done());
    }

    #[test]
    fn the_watcher_of_layer_sizes_is_restarted_after_a_panic() {
        // If sizes are unsupported, the retry pause is a multiple of the period. With this period it overflows and
        // panics.
        let period = Duration::MAX;
        let peer = Peer::new(|_, _| Answer::Refusal(UNIMPLEMENTED));
        let config = Config {
            docker: config::Docker::off(),
            podman: config::Podman { sockets: Vec::new() },
            containerd: config::Containerd { sockets: Vec::new() },
            cri: config::Cri { sockets: vec![peer.socket()] },
            ..Config::default()
        };
        let metadata = MetadataStore::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            start(&config, &metadata, Some(period));
            let requested_again = async {
                while peer.calls("ListContainerStats") < 2 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            assert!(tokio::time::timeout(Duration::from_secs(10), requested_again).await.is_ok());
        });
    }

    /// Not every task can be made to panic, so this test reads the source code.
    #[test]
    fn every_task_is_a_watcher_or_is_restarted_after_a_panic() {
        let code = include_str!("runtimes.rs").split("#[cfg(test)]").next().unwrap();
        let tasks: Vec<_> = code.split("tokio::spawn(").skip(1).collect();
        assert_eq!(tasks.len(), 4);
        for task in tasks {
            assert!(task.contains(".watch()") || task.contains("restarted("), "{task}");
        }
    }

    #[test]
    fn two_sockets_of_one_runtime_are_two_sources_and_one_row() {
        let directory = tempfile::tempdir().unwrap();
        let sockets: Vec<_> = ["a.sock", "b.sock"].map(|name| directory.path().join(name)).to_vec();
        // Neither listener accepts connections.
        let _listeners: Vec<_> =
            sockets.iter().map(|socket| std::os::unix::net::UnixListener::bind(socket).unwrap()).collect();
        let config = Config {
            docker: config::Docker::off(),
            podman: config::Podman { sockets },
            containerd: config::Containerd { sockets: Vec::new() },
            cri: config::Cri { sockets: Vec::new() },
            ..Config::default()
        };
        let metadata = MetadataStore::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { start(&config, &metadata, None) });
        assert!(!metadata.first_listing_done());
        assert_eq!(metadata.runtimes().len(), 1);
        metadata.set_connected(Source::socket(Runtime::Podman, 0), Ok(()));
        assert!(metadata.runtimes()[0].1.is_err(), "the other socket does not respond yet");
        metadata.set_connected(Source::socket(Runtime::Podman, 1), Ok(()));
        assert_eq!(metadata.runtimes(), [(Runtime::Podman, Ok(()))]);
    }
}
