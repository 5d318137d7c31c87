//! Maps of the loaded object: takes them by name, reports their size in memory, and raises the limit on locked memory.

use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{Map, MapData, MapError},
};

use glassbox_ebpf::maps as names;

use crate::snapshot::agent::MapStatus;

/// Takes a map out of the object, as its own type.
pub(super) fn take<M: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> anyhow::Result<M> {
    let map = ebpf
        .take_map(name)
        .with_context(|| format!("the object has no map {name}, or it was already taken"))?;
    M::try_from(map).with_context(|| format!("open map {name}"))
}

/// The status of all maps of the contract. Must be called before any map is taken.
pub(super) fn statuses(ebpf: &Ebpf) -> Vec<MapStatus> {
    names::ALL.into_iter().filter_map(|name| status(name, data(ebpf.map(name)?)?)).collect()
}

fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::Queue(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}

/// Capacity and memory of one map. The kernel reports the memory (`memlock` in fdinfo).
pub(super) fn status(name: &'static str, data: &MapData) -> Option<MapStatus> {
    let capacity = data.info().ok()?.max_entries();
    let fd = data.fd().as_fd().as_raw_fd();
    let fdinfo = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let memory = fdinfo.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse().ok()?;
    Some(MapStatus { name, entries: None, capacity: capacity.into(), memory_bytes: memory })
}

/// Kernels before 5.11 charge maps to RLIMIT_MEMLOCK, and its default of 64 KiB is too small. Raising it needs
/// CAP_SYS_RESOURCE. If that fails, creating the first map fails with a clear error.
pub(crate) fn raise_memlock_limit() {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a valid rlimit, which the call only reads.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
}
