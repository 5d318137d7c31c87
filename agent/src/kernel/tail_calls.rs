//! Programs that other programs continue with (`bpf_tail_call`). They are entries of program arrays; a program continues
//! only if the entry is set.

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{MapData, ProgramArray},
    programs::CgroupSkb,
};

use super::{maps, program::loaded};

/// Entries of program arrays. The kernel clears an array when it is dropped.
pub struct TailCalls {
    _arrays: Vec<ProgramArray<MapData>>,
}

/// Loads programs for packets and enters each into the first place of an array. `pairs` are names of arrays and of
/// programs.
pub(super) fn enter(ebpf: &mut Ebpf, pairs: &[(&'static str, &'static str)]) -> anyhow::Result<TailCalls> {
    let mut arrays = Vec::new();
    for &(array, name) in pairs {
        let mut entries: ProgramArray<MapData> = maps::take(ebpf, array)?;
        let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
        let program: &mut CgroupSkb = program.try_into().with_context(|| format!("take program {name}"))?;
        loaded(name, program.load())?;
        let descriptor = program.fd().with_context(|| format!("take the descriptor of {name}"))?;
        entries.set(0, descriptor, 0).with_context(|| format!("enter {name} into {array}"))?;
        arrays.push(entries);
    }
    Ok(TailCalls { _arrays: arrays })
}
