//! Hash maps of the kernel programs with keys that contain a container slot.
//!
//! Cost: some 2 µs per entry to read a whole map, once per tick for all containers.

use aya::{
    Ebpf, Pod,
    maps::{HashMap, MapData},
};
use glassbox_ebpf::counters::SlotKey;

use super::maps;

/// A hash map with the entries of all containers.
pub struct BySlot<K: Pod, V: Pod>(HashMap<MapData, K, V>);

impl<K: SlotKey + Pod, V: Pod> BySlot<K, V> {
    pub(super) fn open(ebpf: &mut Ebpf, name: &'static str) -> anyhow::Result<Self> {
        maps::take(ebpf, name).map(Self)
    }

    /// All entries. The programs may write at the same time; an entry that is removed while it is read is skipped.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.0.iter().flatten()
    }

    /// Removes the entries of a slot, for its next holder.
    pub fn clear(&mut self, slot: u32) {
        let keys: Vec<K> = self.0.keys().flatten().filter(|key| key.slot() == slot).collect();
        for key in keys {
            // An error means that the entry was already removed.
            let _ = self.0.remove(&key);
        }
    }
}
