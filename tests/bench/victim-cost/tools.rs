//! The tools that are measured and compared.

use std::{
    any::Any,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use glassbox::{
    collectors::{Collector, Context, host_network, nvidia_driver, requests, sockets},
    config::{self, Config, ProgramStats},
    containers::cgroup::Layout,
    kernel::{
        Kernel, Options,
        cgroup_links::{CgroupLinks, CgroupProgram},
        tail_calls::TailCalls,
    },
};
use glassbox_ebpf::{maps, requests::service::Service};
use glassbox_tests::{
    cgroup::Cgroup,
    measure::{
        empty::{attach_empty_ioctl_programs, attach_empty_packet_programs, attach_empty_program},
        flag,
    },
    service::free_address,
};

use super::{Process, servers, workloads::PORT};

/// Whether the tool is a separate process.
pub(super) fn is_process(tool: &str) -> bool {
    ["glassbox", "runqlat"].contains(&tool)
}

/// Starts the agent (`glassbox`), its programs without the agent (`programs`), `runqlat`, or an empty program on the same
/// hook (`empty`). It is active until dropped. Each call starts a new one without previous state.
pub(super) fn tool(name: &str, configuration: &Path, cgroup: &Cgroup) -> anyhow::Result<Box<dyn Any>> {
    let mut command = match name {
        "glassbox" => {
            let mut command = Command::new(flag::<String>("--agent")?);
            command.args(["run", "--listen", &free_address().to_string(), "--config"]).arg(configuration);
            command
        }
        "runqlat" => {
            let mut command = Command::new(flag::<String>("--runqlat")?);
            command.arg("3600");
            command
        }
        "empty" => return Ok(Box::new(attach_empty_program()?)),
        "empty_packet" => return Ok(Box::new(attach_empty_packet_programs(cgroup.path())?)),
        "packets" => return Ok(Box::new(attach_packet_programs(cgroup, &host_network::PROGRAMS)?)),
        "sockets" => return Ok(Box::new(attach_packet_programs(cgroup, &sockets::PROGRAMS)?)),
        "requests" => return Ok(Box::new(attach_request_programs(cgroup)?)),
        "programs" => return Ok(Box::new(attach_our_programs(cgroup)?)),
        "empty_ioctl" => return Ok(Box::new(attach_empty_ioctl_programs()?)),
        "driver" => return Ok(Box::new(attach_driver_programs(cgroup)?)),
        _ => bail!("unknown tool {name:?}"),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().with_context(|| format!("start {command:?}"))?;
    Ok(Box::new(Process(child)))
}

/// Attaches the programs as the agent does, and claims a slot as for a container that started before the agent.
fn attach_our_programs(cgroup: &Cgroup) -> anyhow::Result<(Kernel, u32)> {
    let config = Config {
        kernel: config::Kernel { program_stats: ProgramStats::Never, ..config::Kernel::default() },
        ..Config::default()
    };
    let mut kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () })?;
    kernel.method("scheduler")?;
    let claimed = kernel.slots.claim(cgroup.id()?, None);
    let slot = claimed.map_err(|refusal| anyhow::anyhow!("claim a slot: {refusal:?}"))?;
    Ok((kernel, slot))
}

/// The same with programs that count the packets of a container.
fn attach_packet_programs(
    cgroup: &Cgroup,
    programs: &[CgroupProgram],
) -> anyhow::Result<(CgroupLinks, Kernel)> {
    let (mut kernel, _) = attach_our_programs(cgroup)?;
    Ok((kernel.attach_to_cgroup(programs, cgroup.path())?, kernel))
}

/// The same with the programs that follow requests, for the servers of the workloads.
fn attach_request_programs(cgroup: &Cgroup) -> anyhow::Result<(TailCalls, CgroupLinks, Kernel)> {
    let (mut kernel, slot) = attach_our_programs(cgroup)?;
    let programs = kernel.enter_tail_calls(&requests::PROGRAMS)?;
    let mut services = kernel.shared_slot_array::<Service>(maps::REQUEST_SERVICES)?;
    let [nginx, nginx_veth, python] = servers::PORTS;
    services.set(slot, Service::new(&[PORT, nginx, nginx_veth, python]))?;
    Ok((programs, kernel.attach_to_cgroup(&sockets::PROGRAMS, cgroup.path())?, kernel))
}

/// The same with the programs for the NVIDIA driver. The file of [`driver_ioctls`] is the driver's control device.
fn attach_driver_programs(cgroup: &Cgroup) -> anyhow::Result<(Box<dyn Collector>, Kernel)> {
    let nvidia_driver = config::NvidiaDriver {
        extra_ctl_paths: vec![flag::<PathBuf>("--device")?],
        ..config::NvidiaDriver::default()
    };
    let config = Config {
        nvidia_driver,
        kernel: config::Kernel { program_stats: ProgramStats::Never, ..config::Kernel::default() },
        ..Config::default()
    };
    let mut kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () })?;
    let layout = Layout::detect(&config.paths.cgroup)?;
    let mut context = Context {
        config: &config,
        layout: &layout,
        kernel: Some(&mut kernel),
        kernel_error: None,
        layers: Default::default(),
    };
    let collector = (nvidia_driver::SPEC.start)(&mut context)?;
    kernel.method(nvidia_driver::SPEC.name)?;
    let claimed = kernel.slots.claim(cgroup.id()?, None);
    claimed.map_err(|refusal| anyhow::anyhow!("claim a slot: {refusal:?}"))?;
    Ok((collector, kernel))
}
