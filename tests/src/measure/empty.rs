//! Empty programs, which show the cost of any program on a hook. A program is attached until the returned object is dropped.

use std::{fs::File, path::Path};

use anyhow::Context as _;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, KProbe, TracePoint},
};
use glassbox::kernel::tracefs::Tracefs;
use glassbox_ebpf::programs::{
    EMPTY_CALL, EMPTY_EGRESS, EMPTY_INGRESS, EMPTY_IOCTL, EMPTY_RETURN, EMPTY_SWITCH,
};

/// Attaches an empty program at `sched_switch`.
///
/// # Errors
/// If the kernel rejects it.
pub fn attach_empty_program() -> anyhow::Result<Ebpf> {
    let btf = Btf::from_sys_fs().context("read the kernel's type information")?;
    let mut ebpf = Ebpf::load(glassbox::kernel::OBJECT).context("load the kernel programs")?;
    let program: &mut BtfTracePoint =
        ebpf.program_mut(EMPTY_SWITCH).context("find the empty program")?.try_into()?;
    program.load("sched_switch", &btf).context("load the empty program")?;
    program.attach().context("attach the empty program")?;
    Ok(ebpf)
}

/// Attaches empty programs at the entry and exit of ioctl(2).
///
/// # Errors
/// If the kernel rejects them, or tracefs is not mounted.
pub fn attach_empty_ioctl_programs() -> anyhow::Result<Ebpf> {
    let mut ebpf = Ebpf::load(glassbox::kernel::OBJECT).context("load the kernel programs")?;
    let program: &mut TracePoint =
        ebpf.program_mut(EMPTY_IOCTL).context("find the empty program")?.try_into()?;
    program.load().context("load the empty program")?;
    let _tracefs = Tracefs::mounted();
    for hook in ["sys_exit_ioctl", "sys_enter_ioctl"] {
        program.attach("syscalls", hook).with_context(|| format!("attach the empty program to {hook}"))?;
    }
    Ok(ebpf)
}

/// Attaches empty programs at the entry and exit of functions of the kernel or its modules.
///
/// # Errors
/// If the kernel has no kprobes, or lacks one of the functions.
pub fn attach_empty_function_programs(functions: &[&str]) -> anyhow::Result<Ebpf> {
    let mut ebpf = Ebpf::load(glassbox::kernel::OBJECT).context("load the kernel programs")?;
    for name in [EMPTY_CALL, EMPTY_RETURN] {
        let program: &mut KProbe = ebpf.program_mut(name).context("find the empty program")?.try_into()?;
        program.load().context("load the empty program")?;
        for function in functions {
            program.attach(function, 0).with_context(|| format!("attach the empty program to {function}"))?;
        }
    }
    Ok(ebpf)
}

/// Attaches empty programs to the packets that sockets of a cgroup receive and send.
///
/// # Errors
/// If the kernel rejects them.
pub fn attach_empty_packet_programs(cgroup: &Path) -> anyhow::Result<Ebpf> {
    let mut ebpf = Ebpf::load(glassbox::kernel::OBJECT).context("load the kernel programs")?;
    let cgroup = File::open(cgroup).with_context(|| format!("open {}", cgroup.display()))?;
    for (name, direction) in
        [(EMPTY_INGRESS, CgroupSkbAttachType::Ingress), (EMPTY_EGRESS, CgroupSkbAttachType::Egress)]
    {
        let program: &mut CgroupSkb = ebpf.program_mut(name).context("find the empty program")?.try_into()?;
        program.load().context("load the empty program")?;
        program.attach(&cgroup, direction, CgroupAttachMode::Single).context("attach the empty program")?;
    }
    Ok(ebpf)
}
