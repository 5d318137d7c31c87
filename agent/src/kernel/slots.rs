//! Who holds which slot: the user-space side of the tables described in [`glassbox_ebpf::cgroup`].

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{Array, MapData, Queue},
};
use glassbox_ebpf::{
    cgroup::{BUCKET_ENTRIES, CgroupBucket, OWNER, SHARED_SLOT},
    maps,
};

/// How large the tables are for a number of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Slots beside the shared one.
    pub slots: u32,
    /// Buckets in each cgroup table, a power of two.
    pub buckets: u32,
}

impl Sizes {
    /// One bucket of four entries for each container: a quarter full with containers alone, which leaves room for cgroups
    /// nested in them and keeps full buckets rare.
    #[must_use]
    pub fn for_containers(max: u32) -> Self {
        Self { slots: max, buckets: max.next_power_of_two().max(64) }
    }
}

/// The free slots and the table of found cgroups.
pub struct Slots {
    free: Queue<MapData, u32>,
    born: Array<MapData, CgroupBucket>,
    found: Array<MapData, CgroupBucket>,
    /// What `found` holds; user space is its only writer.
    mirror: Vec<CgroupBucket>,
    held: u64,
}

impl Slots {
    /// Takes the maps and puts every slot on the queue.
    pub(super) fn new(ebpf: &mut Ebpf, sizes: &Sizes) -> anyhow::Result<Self> {
        let mut free: Queue<MapData, u32> = super::maps::take(ebpf, maps::CGROUP_SLOTS)?;
        for slot in SHARED_SLOT + 1..=sizes.slots {
            free.push(slot, 0).context("fill the queue of free slots")?;
        }
        Ok(Self {
            free,
            born: super::maps::take(ebpf, maps::CGROUPS_BORN)?,
            found: super::maps::take(ebpf, maps::CGROUPS_FOUND)?,
            mirror: vec![CgroupBucket::EMPTY; sizes.buckets as usize],
            held: 0,
        })
    }

    /// The slot that the kernel itself has claimed for a cgroup. Its event may still be in the ring buffer.
    #[must_use]
    pub fn born(&self, cgroup_id: u64) -> Option<u32> {
        let bucket = self.born.get(&self.index(cgroup_id), 0).ok()?;
        let entry = bucket.ids.iter().position(|&id| id == cgroup_id)?;
        Some(bucket.slots[entry] & !OWNER)
    }

    /// The slot that the kernel has claimed for a cgroup whose event has not been read yet; it counts as held from now
    /// on.
    pub fn adopt_born(&mut self, cgroup_id: u64) -> Option<u32> {
        let slot = self.born(cgroup_id)?;
        self.adopt();
        Some(slot)
    }

    /// Counts a slot that the kernel claimed as held.
    pub fn adopt(&mut self) {
        self.held += 1;
    }

    /// Claims a free slot, if there is one.
    pub fn claim(&mut self) -> Option<u32> {
        let slot = self.free.pop(0).ok()?;
        self.held += 1;
        Some(slot)
    }

    /// Leads a found cgroup to a slot; false where its bucket is full.
    pub fn enter(&mut self, cgroup_id: u64, slot: u32, own: bool) -> bool {
        let index = self.index(cgroup_id);
        let Some(bucket) = self.mirror.get_mut(index as usize) else {
            return false;
        };
        let entry = bucket.ids.iter().position(|&id| id == cgroup_id || id == 0);
        let Some(entry) = entry.filter(|&entry| entry < BUCKET_ENTRIES) else {
            return false;
        };
        bucket.slots[entry] = if own { slot | OWNER } else { slot };
        bucket.ids[entry] = cgroup_id;
        self.found.set(index, *bucket, 0).is_ok()
    }

    /// Forgets a found cgroup.
    pub fn leave(&mut self, cgroup_id: u64) {
        let index = self.index(cgroup_id);
        let Some(bucket) = self.mirror.get_mut(index as usize) else {
            return;
        };
        for entry in 0..BUCKET_ENTRIES {
            if bucket.ids[entry] == cgroup_id {
                bucket.ids[entry] = 0;
                // A failed write leaves a cgroup that no longer exists in the table: harmless.
                let _ = self.found.set(index, *bucket, 0);
            }
        }
    }

    /// Gives a slot back, after its counters were cleared.
    pub fn release(&mut self, slot: u32) {
        if self.free.push(slot, 0).is_ok() {
            self.held = self.held.saturating_sub(1);
        }
    }

    /// Slots held by containers.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Cgroups in the found table.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.mirror.iter().flat_map(|bucket| bucket.ids).filter(|&id| id != 0).count() as u64
    }

    fn index(&self, cgroup_id: u64) -> u32 {
        cgroup_id as u32 & (self.mirror.len() as u32 - 1)
    }
}
