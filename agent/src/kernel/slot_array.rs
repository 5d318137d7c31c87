//! Arrays of the kernel programs with one element per container slot.
//!
//! Cost: one lookup per container and tick. For a per-CPU array, it copies the elements of all CPUs: some 1 KiB per CPU
//! for the scheduler.

use anyhow::Context as _;
use aya::{
    Ebpf, Pod,
    maps::{Array, MapData, PerCpuArray, PerCpuValues},
};
use glassbox_ebpf::counters::{Counters, PerSlot};

use super::maps;

/// A per-CPU array of counters.
pub struct SlotArray<T: Pod> {
    name: &'static str,
    map: PerCpuArray<MapData, T>,
    cpus: usize,
}

impl<T: Counters + Pod> SlotArray<T> {
    pub(super) fn open(ebpf: &mut Ebpf, name: &'static str) -> anyhow::Result<Self> {
        let cpus = aya::util::nr_cpus().map_err(|(path, error)| {
            anyhow::Error::new(error).context(format!("count the CPUs from {path}"))
        })?;
        Ok(Self { name, map: maps::take(ebpf, name)?, cpus })
    }

    /// The counters of a slot since it was cleared, summed over CPUs.
    ///
    /// # Errors
    /// If the kernel has no such slot.
    pub fn sum(&self, slot: u32) -> anyhow::Result<T> {
        let cpus =
            self.map.get(&slot, 0).with_context(|| format!("read slot {slot} of map {}", self.name))?;
        let mut sum = T::EMPTY;
        cpus.iter().for_each(|cpu| sum.add(cpu));
        Ok(sum)
    }

    /// Clears a slot for its next holder. A failure is logged, because the next container then starts with old counts.
    pub fn clear(&mut self, slot: u32) {
        let cleared = PerCpuValues::try_from(vec![T::EMPTY; self.cpus])
            .context("create the empty values")
            .and_then(|empty| self.map.set(slot, empty, 0).context("write the empty values"));
        log_failure(self.name, slot, cleared);
    }
}

/// An array that all CPUs share.
pub struct SharedSlotArray<T: Pod> {
    name: &'static str,
    map: Array<MapData, T>,
}

impl<T: PerSlot + Pod> SharedSlotArray<T> {
    pub(super) fn open(ebpf: &mut Ebpf, name: &'static str) -> anyhow::Result<Self> {
        Ok(Self { name, map: maps::take(ebpf, name)? })
    }

    /// The element of a slot.
    ///
    /// # Errors
    /// If the kernel has no such slot.
    pub fn get(&self, slot: u32) -> anyhow::Result<T> {
        self.map.get(&slot, 0).with_context(|| format!("read slot {slot} of map {}", self.name))
    }

    /// Writes the element of a slot.
    ///
    /// # Errors
    /// If the kernel has no such slot.
    pub fn set(&mut self, slot: u32, value: T) -> anyhow::Result<()> {
        self.map.set(slot, value, 0).with_context(|| format!("write slot {slot} of map {}", self.name))
    }

    /// Clears a slot for its next holder. A failure is logged, because the next container then starts with old data.
    pub fn clear(&mut self, slot: u32) {
        log_failure(self.name, slot, self.map.set(slot, T::EMPTY, 0).map_err(anyhow::Error::new));
    }
}

fn log_failure(name: &str, slot: u32, cleared: anyhow::Result<()>) {
    if let Err(error) = cleared {
        tracing::warn!(
            "cannot clear slot {slot} of map {name}, so its next container starts with old values: {error:#}"
        );
    }
}
