//! Attaches programs to single cgroups instead of hooks that affect the whole host. Needs CAP_NET_ADMIN.

use std::{fs::File, path::Path};

use anyhow::Context as _;
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, cgroup_skb::CgroupSkbLink},
};

use super::{
    privileges::{self, Privileges},
    program::loaded,
};

/// The name of a program that runs for packets of a cgroup's sockets.
#[derive(Clone, Copy, Debug)]
pub enum CgroupProgram {
    /// Runs for received packets.
    Ingress(&'static str),
    /// Runs for sent packets.
    Egress(&'static str),
}

/// Programs on one cgroup. They are detached when this is dropped or when the cgroup is removed.
pub struct CgroupLinks {
    _links: Vec<CgroupSkbLink>,
}

/// Attaches all of these programs to a v2 cgroup, or none of them. Programs that others have attached stay.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    programs: &[CgroupProgram],
    directory: &Path,
) -> anyhow::Result<CgroupLinks> {
    let cgroup = File::open(directory).with_context(|| format!("open {}", directory.display()))?;
    let mut attach = |program: &CgroupProgram| {
        let (name, direction) = match *program {
            CgroupProgram::Ingress(name) => (name, CgroupSkbAttachType::Ingress),
            CgroupProgram::Egress(name) => (name, CgroupSkbAttachType::Egress),
        };
        let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
        let program: &mut CgroupSkb = program.try_into().with_context(|| format!("take program {name}"))?;
        loaded(name, program.load())?;
        // A link never replaces another one, regardless of the mode. Kernels reject other modes for links.
        program
            .attach(&cgroup, direction, CgroupAttachMode::Single)
            .and_then(|id| program.take_link(id))
            .map_err(refused)
            .with_context(|| format!("attach {name} to {}", directory.display()))
    };
    let links = programs.iter().map(&mut attach).collect::<anyhow::Result<_>>()?;
    Ok(CgroupLinks { _links: links })
}

/// Adds the missing capability to the error. In addition to those for loading, attaching needs CAP_NET_ADMIN.
fn refused(error: ProgramError) -> anyhow::Error {
    let error = super::without_repetition(&error.into());
    match Privileges::of_this_process(Path::new("/proc")).lack(&[&privileges::NET_ADMIN]) {
        Some(reason) => error.context(reason),
        None => error,
    }
}
