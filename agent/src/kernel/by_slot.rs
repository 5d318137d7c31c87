//! Hash maps of the kernel programs whose keys name a container slot among other things.
//!
//! Cost: some 2 µs per entry to read them all, once per tick for all containers.

use aya::{
    Ebpf, Pod,
    maps::{HashMap, MapData},
};
use glassbox_ebpf::counters::SlotKey;

use super::maps;

/// Entries of all containers.
pub struct BySlot<K: Pod, V: Pod>(HashMap<MapData, K, V>);

impl<K: SlotKey + Pod, V: Pod> BySlot<K, V> {
    pub(super) fn open(ebpf: &mut Ebpf, name: &'static str) -> anyhow::Result<Self> {
        maps::take(ebpf, name).map(Self)
    }

    /// Every entry. The programs go on writing meanwhile: an entry that is removed while it is read is left out.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.0.iter().flatten()
    }

    /// Removes the entries of a slot, for its next holder.
    pub fn clear(&mut self, slot: u32) {
        let keys: Vec<K> = self.0.keys().flatten().filter(|key| key.slot() == slot).collect();
        for key in keys {
            // An entry that is gone already is as good.
            let _ = self.0.remove(&key);
        }
    }
}
