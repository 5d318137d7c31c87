//! Programs that are attached to single cgroups rather than to hooks of the whole host.

use std::{fs::File, path::Path};

use anyhow::Context as _;
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, cgroup_skb::CgroupSkbLink},
};
use glassbox_ebpf::programs;

use super::privileges::{self, Privileges};

/// Both programs on one cgroup; they leave it when this is dropped, or when the cgroup is removed.
pub struct HostNetworkLinks {
    _links: [CgroupSkbLink; 2],
}

/// Attaches the programs that count packets to a v2 cgroup. Those of others stay.
pub(super) fn attach(ebpf: &mut Ebpf, directory: &Path) -> anyhow::Result<HostNetworkLinks> {
    let ingress = (programs::HOST_NETWORK_INGRESS, CgroupSkbAttachType::Ingress);
    let egress = (programs::HOST_NETWORK_EGRESS, CgroupSkbAttachType::Egress);
    let cgroup = File::open(directory).with_context(|| format!("open {}", directory.display()))?;
    let mut attach = |(name, direction)| {
        let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
        let program: &mut CgroupSkb = program.try_into().with_context(|| format!("take program {name}"))?;
        match program.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(error) => {
                return Err(
                    super::explain(crate::kernel::program::shortened(error)).context(format!("load {name}"))
                );
            }
        }
        // A link never takes the place of another, whatever the mode says; kernels refuse to be told so.
        let link = program
            .attach(&cgroup, direction, CgroupAttachMode::Single)
            .and_then(|id| program.take_link(id))
            .map_err(refused)
            .with_context(|| format!("attach {name} to {}", directory.display()))?;
        Ok(link)
    };
    Ok(HostNetworkLinks { _links: [attach(ingress)?, attach(egress)?] })
}

/// Attaching takes CAP_NET_ADMIN beside what loading takes.
fn refused(error: ProgramError) -> anyhow::Error {
    let error = super::without_repetition(&error.into());
    match Privileges::of_this_process(Path::new("/proc")).lack(&[&privileges::NET_ADMIN]) {
        Some(reason) => error.context(reason),
        None => error,
    }
}
