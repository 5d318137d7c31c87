//! The rungs themselves: for each noun, which programs go where and what they need of the kernel, best first.

use glassbox_ebpf::programs;

use super::attach::{Extra, Hook, Ladder, Program, Rung};
use crate::config::{NvidiaDriverRung, SchedulerRung};

/// Name of the scheduler's single-hook rung.
pub const SWITCH: &str = "tp_btf sched_switch";
/// Name of the scheduler's fallback rung.
pub const WAKEUP: &str = "tp_btf sched_wakeup + sched_switch";
/// Name of the rung for kernels whose tracepoint does not give the victim's task.
pub const OOM_BY_PID: &str = "tracepoint mark_victim + tp_btf signal_generate";

static SCHEDULER_SWITCH: Rung = Rung {
    name: SWITCH,
    programs: &[Program { name: programs::SCHEDULER_SWITCH, hook: Hook::BtfTracepoint("sched_switch") }],
    extras: &[],
    needs: &[&[
        "task_pid",
        "task_tgid",
        "task_state",
        "task_last_queued",
        "task_run_delay",
        "task_last_arrival",
        "task_cfs_rq",
        "cfs_rq_rq",
        "rq_clock",
    ]],
};

static SCHEDULER_WAKEUP: Rung = Rung {
    name: WAKEUP,
    programs: &[
        Program { name: programs::SCHEDULER_FALLBACK_SWITCH, hook: Hook::BtfTracepoint("sched_switch") },
        Program { name: programs::SCHEDULER_FALLBACK_WAKEUP, hook: Hook::BtfTracepoint("sched_wakeup") },
        Program {
            name: programs::SCHEDULER_FALLBACK_WAKEUP_NEW,
            hook: Hook::BtfTracepoint("sched_wakeup_new"),
        },
    ],
    extras: &[],
    needs: &[&["task_pid", "task_tgid", "task_state"]],
};

static CGROUP: Rung = Rung {
    name: "tp_btf cgroup_mkdir, cgroup_rmdir, cgroup_notify_populated",
    programs: &[
        Program { name: programs::CGROUP_MKDIR, hook: Hook::BtfTracepoint("cgroup_mkdir") },
        Program { name: programs::CGROUP_RMDIR, hook: Hook::BtfTracepoint("cgroup_rmdir") },
        Program { name: programs::CGROUP_EMPTIED, hook: Hook::BtfTracepoint("cgroup_notify_populated") },
    ],
    extras: &[],
    needs: &[&["cgroup_root", "cgroup_root_hierarchy_id", "cgroup_parent", "kernfs_node_name"]],
};

/// What leads from a file to the device it stands for, and to a process' start and name.
const CALL_FIELDS: &[&str] = &[
    "file_f_inode",
    "inode_i_mode",
    "inode_i_rdev",
    "inode_i_ino",
    "inode_i_sb",
    "super_block_s_dev",
    "task_group_leader",
    "task_start_time",
    "task_comm",
];
/// What leads from a descriptor to its file.
const DESCRIPTOR_FIELDS: &[&str] = &["task_files", "files_struct_fdt", "fdtable_fd", "fdtable_max_fds"];
/// What tells a wait of poll(2) from everyone else who asks a file whether it is ready.
const POLL_FIELDS: &[&str] = &[
    "poll_wqueues_qproc",
    "poll_wqueues_polling_task",
    "poll_wqueues_inline_index",
    "poll_wqueues_inline_entries",
    "poll_table_entry_filp",
    "poll_table_entry_wait_address",
    "task_nvcsw",
];

/// Where no function of the driver's can be hooked, its tracepoint of 575.51.02 and later; see `Hook::Record`.
const XID_TRACEPOINT: Program = Program {
    name: programs::NVIDIA_DRIVER_XID,
    hook: Hook::Record("nvidia", "nvidia_dev_xid", &["error_code", "dev"]),
};

static NVIDIA_DRIVER_FUNCTIONS: Rung = Rung {
    name: "kprobe nvidia_unlocked_ioctl, uvm_unlocked_ioctl_entry",
    programs: &[
        Program { name: programs::NVIDIA_DRIVER_CALL, hook: Hook::Function("nvidia_unlocked_ioctl") },
        Program { name: programs::NVIDIA_DRIVER_RETURN, hook: Hook::Function("nvidia_unlocked_ioctl") },
        Program { name: programs::NVIDIA_DRIVER_CALL, hook: Hook::Function("uvm_unlocked_ioctl_entry") },
        Program { name: programs::NVIDIA_DRIVER_RETURN, hook: Hook::Function("uvm_unlocked_ioctl_entry") },
    ],
    extras: &[
        Extra {
            program: Program { name: programs::NVIDIA_DRIVER_POLL, hook: Hook::Function("nvidia_poll") },
            needs: POLL_FIELDS,
        },
        // All that its tracepoint tells goes through this function, in every release. The tracepoint would keep the
        // driver from being unloaded for as long as anyone listens.
        Extra {
            program: Program {
                name: programs::NVIDIA_DRIVER_REPORT,
                hook: Hook::Function("nv_report_error"),
            },
            needs: &["pci_dev_name"],
        },
    ],
    needs: &[CALL_FIELDS],
};

static NVIDIA_DRIVER_SYSCALLS: Rung = Rung {
    name: "tracepoint sys_enter_ioctl + sys_exit_ioctl",
    programs: &[
        Program { name: programs::NVIDIA_DRIVER_EXIT, hook: Hook::Tracepoint("syscalls", "sys_exit_ioctl") },
        Program {
            name: programs::NVIDIA_DRIVER_ENTER,
            hook: Hook::Tracepoint("syscalls", "sys_enter_ioctl"),
        },
    ],
    extras: &[Extra { program: XID_TRACEPOINT, needs: &[] }],
    needs: &[CALL_FIELDS, DESCRIPTOR_FIELDS],
};

static OOM_TASK: Rung = Rung {
    name: "tp_btf mark_victim",
    programs: &[Program { name: programs::OOM_VICTIM, hook: Hook::BtfTracepoint("mark_victim") }],
    extras: &[],
    needs: &[&["task_tgid", "task_group_leader", "task_start_time"]],
};

static OOM_PID: Rung = Rung {
    name: OOM_BY_PID,
    programs: &[
        Program { name: programs::OOM_SIGNAL, hook: Hook::BtfTracepoint("signal_generate") },
        Program { name: programs::OOM_VICTIM_PID, hook: Hook::Tracepoint("oom", "mark_victim") },
    ],
    extras: &[],
    needs: &[&["task_pid"]],
};

/// Every ladder, in the order in which they are climbed: who a cgroup is, before what it does.
#[must_use]
pub fn ladders(scheduler: SchedulerRung, nvidia_driver: NvidiaDriverRung) -> Vec<Ladder> {
    let scheduler_rungs = match scheduler {
        SchedulerRung::Auto => vec![&SCHEDULER_SWITCH, &SCHEDULER_WAKEUP],
        SchedulerRung::Switch => vec![&SCHEDULER_SWITCH],
        SchedulerRung::Wakeup => vec![&SCHEDULER_WAKEUP],
    };
    let nvidia_driver_rungs = match nvidia_driver {
        NvidiaDriverRung::Auto => vec![&NVIDIA_DRIVER_FUNCTIONS, &NVIDIA_DRIVER_SYSCALLS],
        NvidiaDriverRung::Functions => vec![&NVIDIA_DRIVER_FUNCTIONS],
        NvidiaDriverRung::Syscalls => vec![&NVIDIA_DRIVER_SYSCALLS],
    };
    vec![
        Ladder { noun: "cgroup", rungs: vec![&CGROUP], at_start: true },
        Ladder { noun: "scheduler", rungs: scheduler_rungs, at_start: true },
        // Where the tracepoint has a number for a task, the verifier refuses the first.
        Ladder { noun: "oom", rungs: vec![&OOM_TASK, &OOM_PID], at_start: true },
        Ladder { noun: "nvidia_driver", rungs: nvidia_driver_rungs, at_start: false },
    ]
}
