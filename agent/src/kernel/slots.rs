//! Assigns slots to containers: the user-space side of the tables described in [`glassbox_ebpf::containers`].

use std::collections::HashMap;

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{Array, MapData, Queue},
};
use glassbox_ebpf::{
    containers::{BUCKET_ENTRIES, CgroupBucket, Charge, OWNER, SHARED_SLOT},
    maps,
};

/// Sizes of the tables for a maximum number of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Slots, without the shared one.
    pub slots: u32,
    /// Buckets in each cgroup table, a power of two.
    pub buckets: u32,
    /// Maximum number of slots for containers inside one container.
    pub slots_per_container: u32,
    /// Maximum number of entries in each cgroup table for cgroups nested in one container.
    pub nested_per_container: u32,
}

impl Sizes {
    /// One bucket of four entries per container, so containers alone fill a quarter of the table. The rest is for
    /// nested cgroups and keeps full buckets rare. The containers inside one container take at most half of the slots,
    /// and its nested cgroups at most a quarter of each table.
    #[must_use]
    pub fn for_containers(max: u32) -> Self {
        let buckets = max.next_power_of_two().max(64);
        Self { slots: max, buckets, slots_per_container: max.div_ceil(2), nested_per_container: buckets }
    }
}

/// Why a cgroup was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No slot is free.
    NoFreeSlot,
    /// The container around the cgroup has used its share.
    ContainerLimit,
    /// The cgroup's bucket in the table is full, or the kernel refused the write.
    NoRoom,
}

/// A container that holds a slot.
#[derive(Clone, Copy, Debug)]
struct Holder {
    cgroup_id: u64,
    /// The slot of the outermost container around it; its own slot if there is none.
    outermost: u32,
    /// True if user space claimed the slot, false if the kernel did.
    claimed: bool,
}

/// The free slots and the table of found cgroups.
pub struct Slots {
    sizes: Sizes,
    free: Queue<MapData, u32>,
    created: Array<MapData, CgroupBucket>,
    found: Array<MapData, CgroupBucket>,
    charges: Array<MapData, Charge>,
    claims: Array<MapData, u32>,
    /// A copy of the contents of `found`. User space is its only writer.
    mirror: Vec<CgroupBucket>,
    /// By slot.
    holders: HashMap<u32, Holder>,
    /// Number of slots that user space claimed for containers inside another one, by the slot of the outermost
    /// container.
    claimed: HashMap<u32, u32>,
    /// Number of nested cgroups in `found`, by the slot of the outermost container.
    nested: HashMap<u32, u32>,
}

impl Slots {
    /// Takes the maps and puts all slots into the queue.
    pub(super) fn new(ebpf: &mut Ebpf, sizes: &Sizes) -> anyhow::Result<Self> {
        let mut free: Queue<MapData, u32> = super::maps::take(ebpf, maps::CGROUP_SLOTS)?;
        for slot in SHARED_SLOT + 1..=sizes.slots {
            free.push(slot, 0).context("fill the queue of free slots")?;
        }
        Ok(Self {
            sizes: *sizes,
            free,
            created: super::maps::take(ebpf, maps::CGROUPS_BORN)?,
            found: super::maps::take(ebpf, maps::CGROUPS_FOUND)?,
            charges: super::maps::take(ebpf, maps::CGROUP_CHARGES)?,
            claims: super::maps::take(ebpf, maps::CGROUP_CLAIMS)?,
            mirror: vec![CgroupBucket::EMPTY; sizes.buckets as usize],
            holders: HashMap::new(),
            claimed: HashMap::new(),
            nested: HashMap::new(),
        })
    }

    /// The slot that the kernel has claimed for a cgroup. The event of the cgroup may still be in the ring buffer.
    #[must_use]
    pub fn created(&self, cgroup_id: u64) -> Option<u32> {
        self.born_entry(cgroup_id).map(|(slot, _)| slot)
    }

    /// The slot of a cgroup in the born table, and the slot of its outermost container.
    fn born_entry(&self, cgroup_id: u64) -> Option<(u32, u32)> {
        let bucket = self.created.get(&self.index(cgroup_id)?, 0).ok()?;
        let entry = bucket.ids.iter().position(|&id| id == cgroup_id)?;
        Some((bucket.slots[entry] & !OWNER, bucket.outermost[entry]))
    }

    /// Marks the slot that the kernel has claimed for a cgroup as held, before the event of the cgroup was read.
    /// Returns the slot.
    pub fn adopt_created(&mut self, cgroup_id: u64) -> Option<u32> {
        let slot = self.created(cgroup_id)?;
        self.adopt(slot, cgroup_id);
        Some(slot)
    }

    /// Marks a slot that the kernel has claimed for a cgroup as held.
    pub fn adopt(&mut self, slot: u32, cgroup_id: u64) {
        let outermost = self.born_entry(cgroup_id).map_or(slot, |(_, outermost)| outermost);
        self.holders.insert(slot, Holder { cgroup_id, outermost, claimed: false });
    }

    /// Claims a free slot for a container's cgroup and enters the cgroup. `around` is the slot of the outermost
    /// container that the cgroup is in.
    ///
    /// # Errors
    /// If the cgroup cannot get a slot now.
    pub fn claim(&mut self, cgroup_id: u64, around: Option<u32>) -> Result<u32, Refusal> {
        if let Some(outermost) = around {
            let charged = self.charges.get(&outermost, 0).map_or(0, |charge| charge.slots);
            if charged + self.claimed.get(&outermost).copied().unwrap_or(0) >= self.sizes.slots_per_container
            {
                return Err(Refusal::ContainerLimit);
            }
        }
        if !self.has_room(cgroup_id) {
            return Err(Refusal::NoRoom);
        }
        let slot = self.free.pop(0).map_err(|_| Refusal::NoFreeSlot)?;
        let outermost = around.unwrap_or(slot);
        if !self.enter(cgroup_id, slot | OWNER, outermost) {
            // Cannot fail: the queue has room for all slots.
            let _ = self.free.push(slot, 0);
            return Err(Refusal::NoRoom);
        }
        self.holders.insert(slot, Holder { cgroup_id, outermost, claimed: true });
        if outermost != slot {
            *self.claimed.entry(outermost).or_default() += 1;
            self.write_claims(outermost);
        }
        Ok(slot)
    }

    /// Enters a found cgroup that is nested in a container, with the container's slot.
    ///
    /// # Errors
    /// If the cgroup cannot be entered.
    pub fn enter_nested(&mut self, cgroup_id: u64, slot: u32) -> Result<(), Refusal> {
        let outermost = self.holders.get(&slot).map_or(slot, |holder| holder.outermost);
        if self.nested.get(&outermost).copied().unwrap_or(0) >= self.sizes.nested_per_container {
            return Err(Refusal::ContainerLimit);
        }
        if !self.enter(cgroup_id, slot, outermost) {
            return Err(Refusal::NoRoom);
        }
        *self.nested.entry(outermost).or_default() += 1;
        Ok(())
    }

    fn has_room(&self, cgroup_id: u64) -> bool {
        let bucket = self.index(cgroup_id).and_then(|index| self.mirror.get(index as usize));
        bucket.is_some_and(|bucket| bucket.ids.iter().any(|&id| id == cgroup_id || id == 0))
    }

    fn enter(&mut self, cgroup_id: u64, slot: u32, outermost: u32) -> bool {
        let Some(index) = self.index(cgroup_id) else {
            return false;
        };
        let Some(bucket) = self.mirror.get_mut(index as usize) else {
            return false;
        };
        let Some(entry) = bucket.ids.iter().position(|&id| id == cgroup_id || id == 0) else {
            return false;
        };
        bucket.slots[entry] = slot;
        bucket.outermost[entry] = outermost;
        bucket.ids[entry] = cgroup_id;
        self.found.set(index, *bucket, 0).is_ok()
    }

    /// Removes a found cgroup from the table.
    pub fn leave(&mut self, cgroup_id: u64) {
        let Some(index) = self.index(cgroup_id) else {
            return;
        };
        let Some(bucket) = self.mirror.get_mut(index as usize) else {
            return;
        };
        for entry in 0..BUCKET_ENTRIES {
            if bucket.ids[entry] == cgroup_id {
                bucket.ids[entry] = 0;
                if bucket.slots[entry] & OWNER == 0 {
                    decrease(&mut self.nested, bucket.outermost[entry]);
                }
                // If the write fails, the entry of a cgroup that no longer exists stays in the table, which is
                // harmless.
                let _ = self.found.set(index, *bucket, 0);
            }
        }
    }

    /// True if this container holds the slot.
    #[must_use]
    pub fn is_holder(&self, slot: u32, cgroup_id: u64) -> bool {
        self.holders.get(&slot).is_some_and(|holder| holder.cgroup_id == cgroup_id)
    }

    /// Returns a slot to the queue, after its counters were cleared. Does nothing unless this container holds the slot.
    pub fn release(&mut self, slot: u32, cgroup_id: u64) {
        if !self.is_holder(slot, cgroup_id) {
            return;
        }
        if self.free.push(slot, 0).is_ok()
            && let Some(holder) = self.holders.remove(&slot)
            && holder.claimed
            && holder.outermost != slot
        {
            decrease(&mut self.claimed, holder.outermost);
            self.write_claims(holder.outermost);
        }
    }

    /// Writes the number of slots that user space has claimed inside an outermost container to the kernel's map.
    fn write_claims(&mut self, outermost: u32) {
        let claimed = self.claimed.get(&outermost).copied().unwrap_or(0);
        // If the write fails, the kernel lets the container claim more slots, until user space refuses.
        let _ = self.claims.set(outermost, claimed, 0);
    }

    /// Slots held by containers.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.holders.len() as u64
    }

    /// Cgroups in the found table.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.mirror.iter().flat_map(|bucket| bucket.ids).filter(|&id| id != 0).count() as u64
    }

    /// The bucket of a cgroup. `None` for a container without a v2 cgroup: it has the ID 0, and so has a free entry.
    fn index(&self, cgroup_id: u64) -> Option<u32> {
        (cgroup_id != 0).then(|| cgroup_id as u32 & (self.mirror.len() as u32 - 1))
    }
}

fn decrease(counts: &mut HashMap<u32, u32>, key: u32) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
