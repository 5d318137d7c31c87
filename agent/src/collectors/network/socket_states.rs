//! Sockets by state, from `/proc/PID/net/{tcp,tcp6,udp,udp6}`. Off unless configured.
//!
//! The kernel writes a line of 150 bytes per socket. For TCP it scans the hash table of all sockets of the host to find
//! those of one namespace. Therefore namespaces are read one after the other, each at most every [`PERIOD`]. A tick
//! spends at most [`BUDGET`] on them, and the next tick continues where the last one stopped. Files are opened once,
//! like the one with the interfaces. All supported kernels have these files.

mod table;

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use self::table::{Pass, Table};
use crate::{config::Config, snapshot::socket_states::Sockets};

/// From the start of a round over all namespaces to the start of the next.
const PERIOD: Duration = Duration::from_secs(10);
/// Reading time per tick. The read in progress may exceed it by one page.
const BUDGET: Duration = Duration::from_millis(5);

/// The socket tables of all containers that have the series of a namespace.
pub(super) struct SocketTables {
    wanted: Vec<Table>,
    namespaces: HashMap<u64, Namespace>,
    /// Containers that this round has not read yet.
    waiting: VecDeque<u64>,
    under_way: Option<(u64, Sockets, Pass)>,
    round_begun: Option<Instant>,
    buffer: Box<[u8]>,
}

/// The tables of one namespace.
pub(super) struct SocketFiles(Vec<(Table, File)>);

struct Namespace {
    files: SocketFiles,
    counted: Option<Arc<Sockets>>,
    error: Option<anyhow::Error>,
}

impl SocketTables {
    pub(super) fn new(config: &Config) -> Self {
        let wanted = Table::ALL.into_iter().filter(|table| match table {
            Table::Tcp | Table::Tcp6 => config.network.tcp_states,
            Table::Udp | Table::Udp6 => config.network.udp_states,
        });
        let wanted: Vec<_> = wanted.collect();
        let buffer_bytes = if wanted.is_empty() { 0 } else { table::BUFFER_BYTES };
        Self {
            wanted,
            namespaces: HashMap::new(),
            waiting: VecDeque::new(),
            under_way: None,
            round_begun: None,
            buffer: vec![0; buffer_bytes].into_boxed_slice(),
        }
    }

    /// Opens the tables of the namespace of the process in `directory`. A kernel without IPv6 has no tables for it.
    pub(super) fn open(&self, directory: &Path) -> SocketFiles {
        let open = |table: &Table| File::open(directory.join("net").join(table.name())).ok();
        SocketFiles(self.wanted.iter().filter_map(|table| Some((*table, open(table)?))).collect())
    }

    /// Reads these files for the container `key` from the next round on.
    pub(super) fn hold(&mut self, key: u64, files: SocketFiles) {
        if !files.0.is_empty() {
            self.namespaces.insert(key, Namespace { files, counted: None, error: None });
        }
    }

    /// Closes the files of a container.
    pub(super) fn forget(&mut self, key: u64) {
        self.namespaces.remove(&key);
    }

    /// The last count.
    ///
    /// # Errors
    /// Why the last pass failed; returned once.
    pub(super) fn counted(&mut self, key: u64) -> anyhow::Result<Option<Arc<Sockets>>> {
        let Some(namespace) = self.namespaces.get_mut(&key) else { return Ok(None) };
        match namespace.error.take() {
            Some(error) => Err(error),
            None => Ok(namespace.counted.clone()),
        }
    }

    /// Continues reading until the tick's budget is used up or the round is complete.
    pub(super) fn read_on(&mut self) {
        let begun = Instant::now();
        if self.waiting.is_empty()
            && self.under_way.is_none()
            && self.round_begun.is_none_or(|round| round.elapsed() >= PERIOD)
        {
            self.waiting.extend(self.namespaces.keys());
            self.round_begun = Some(begun);
        }
        while begun.elapsed() < BUDGET && self.step() {}
    }

    /// Does one read. Returns false when the round is complete.
    fn step(&mut self) -> bool {
        let Some((key, mut sums, mut pass)) = self.under_way.take() else {
            let Some(key) = self.waiting.pop_front() else { return false };
            self.under_way = Some((key, Sockets::default(), Pass::default()));
            return true;
        };
        let Some(namespace) = self.namespaces.get_mut(&key) else { return true };
        let Some((table, file)) = namespace.files.0.get(pass.file) else {
            namespace.counted = Some(Arc::new(sums));
            return true;
        };
        match pass.read(*table, file, &mut self.buffer, &mut sums) {
            Ok(()) => self.under_way = Some((key, sums, pass)),
            Err(error) => {
                namespace.counted = None;
                let attempted = || format!("count sockets in /proc/PID/net/{}", table.name());
                namespace.error = Err::<(), _>(error).with_context(attempted).err();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
