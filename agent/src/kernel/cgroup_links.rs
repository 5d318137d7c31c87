//! Attaches programs to single cgroups instead of hooks that affect the whole host. Needs CAP_NET_ADMIN.

use std::{fs::File, path::Path};

use anyhow::Context as _;
use aya::{
    Ebpf,
    programs::{
        CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, SockOps, cgroup_skb::CgroupSkbLink,
        sock_ops::SockOpsLink,
    },
};

use super::{
    privileges::{self, Privileges},
    program::loaded,
    refusal::with_reason,
};

/// The name of a program that runs for the sockets of a cgroup.
#[derive(Clone, Copy, Debug)]
pub enum CgroupProgram {
    /// Runs for received packets.
    Ingress(&'static str),
    /// Runs for sent packets.
    Egress(&'static str),
    /// Runs for events of TCP connections.
    Operations(&'static str),
}

impl CgroupProgram {
    /// The name, and the kind of the hook.
    pub(super) const fn name_and_hook(&self) -> (&'static str, &'static str) {
        match *self {
            Self::Ingress(name) | Self::Egress(name) => (name, "cgroup_skb"),
            Self::Operations(name) => (name, "sock_ops"),
        }
    }
}

/// Programs on one cgroup. They are detached when this is dropped or when the cgroup is removed.
pub struct CgroupLinks {
    _links: Vec<Link>,
}

#[expect(dead_code, reason = "dropping a link detaches its program")]
enum Link {
    Packets(CgroupSkbLink),
    Operations(SockOpsLink),
}

/// Attaches all of these programs to a v2 cgroup, or none of them. Programs that others have attached stay.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    programs: &[CgroupProgram],
    directory: &Path,
) -> anyhow::Result<CgroupLinks> {
    let cgroup = File::open(directory).with_context(|| format!("open {}", directory.display()))?;
    // A link never replaces another one, regardless of the mode. Kernels reject other modes for links.
    let mode = CgroupAttachMode::Single;
    let mut attach = |program: &CgroupProgram| {
        let (name, direction) = match *program {
            CgroupProgram::Ingress(name) => (name, Some(CgroupSkbAttachType::Ingress)),
            CgroupProgram::Egress(name) => (name, Some(CgroupSkbAttachType::Egress)),
            CgroupProgram::Operations(name) => (name, None),
        };
        let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
        let link = match direction {
            Some(direction) => {
                let program: &mut CgroupSkb =
                    program.try_into().with_context(|| format!("take program {name}"))?;
                loaded(name, program.load())?;
                program
                    .attach(&cgroup, direction, mode)
                    .and_then(|id| program.take_link(id))
                    .map(Link::Packets)
            }
            None => {
                let program: &mut SockOps =
                    program.try_into().with_context(|| format!("take program {name}"))?;
                // Unlike the other programs, this one needs CAP_NET_ADMIN for loading, too.
                loaded(name, program.load()).map_err(|error| match missing() {
                    Some(reason) => anyhow::anyhow!("load {name}: {reason}"),
                    None => error,
                })?;
                program.attach(&cgroup, mode).and_then(|id| program.take_link(id)).map(Link::Operations)
            }
        };
        link.map_err(refused).with_context(|| format!("attach {name} to {}", directory.display()))
    };
    let links = programs.iter().map(&mut attach).collect::<anyhow::Result<_>>()?;
    Ok(CgroupLinks { _links: links })
}

/// Adds the missing capability to the error. In addition to those for loading, attaching needs CAP_NET_ADMIN.
fn refused(error: ProgramError) -> anyhow::Error {
    with_reason(&error.into(), missing())
}

fn missing() -> Option<String> {
    Privileges::of_this_process(Path::new("/proc")).lack(&[&privileges::NET_ADMIN])
}
