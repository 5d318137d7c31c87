//! Loses packets of a cgroup's sockets or of a network device, with the programs in agent-ebpf/src/probes/lossy.rs.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::Context as _;
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, SchedClassifier, TcAttachType},
};
use glassbox_ebpf::programs::{LOSSY_EGRESS, LOSSY_INGRESS, LOSSY_LINK};

/// Loses 2 % of the packets in both directions until the returned object is dropped. The agent's programs see the lost
/// packets as well: programs of a cgroup run independently of each other.
///
/// # Errors
/// If the kernel rejects the programs.
pub fn lose_packets(cgroup: &Path) -> anyhow::Result<Ebpf> {
    let mut ebpf = Ebpf::load(glassbox::kernel::OBJECT).context("load the kernel programs")?;
    let cgroup = File::open(cgroup).with_context(|| format!("open {}", cgroup.display()))?;
    for (name, direction) in
        [(LOSSY_INGRESS, CgroupSkbAttachType::Ingress), (LOSSY_EGRESS, CgroupSkbAttachType::Egress)]
    {
        let program: &mut CgroupSkb = ebpf.program_mut(name).context("find the lossy program")?.try_into()?;
        program.load().context("load the lossy program")?;
        program.attach(&cgroup, direction, CgroupAttachMode::Single).context("attach the lossy program")?;
    }
    Ok(ebpf)
}

/// Loses 2 % of the packets of a network device in both directions, until the returned object is dropped. Call it in the
/// device's network namespace.
///
/// # Errors
/// If the kernel rejects the program, or is older than 6.6 and thus has no links of such programs.
pub fn lose_packets_of_link(device: &str) -> anyhow::Result<Ebpf> {
    let mut ebpf = Ebpf::load(glassbox::kernel::OBJECT).context("load the kernel programs")?;
    let program: &mut SchedClassifier =
        ebpf.program_mut(LOSSY_LINK).context("find the lossy program")?.try_into()?;
    program.load().context("load the lossy program")?;
    for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
        program.attach(device, direction).with_context(|| format!("attach the lossy program to {device}"))?;
    }
    Ok(ebpf)
}

/// Segments that were sent again in the network namespace of the calling thread; 0 if the kernel does not report it.
#[must_use]
pub fn retransmissions() -> u64 {
    counter(Path::new("/proc/thread-self/net/snmp"), "Tcp: ", "RetransSegs")
}

/// Segments that arrived before an earlier one in the network namespace of a process; 0 if the kernel does not report it.
#[must_use]
pub fn out_of_order(pid: &str) -> u64 {
    counter(&Path::new("/proc").join(pid).join("net/netstat"), "TcpExt: ", "TCPOFOQueue")
}

/// A value of a file that has a line with names and a line with values for each group.
fn counter(file: &Path, group: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let mut both = names.split(' ').zip(values.split(' '));
    both.find(|(known, _)| *known == name).and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
}
