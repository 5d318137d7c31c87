//! The attach plan of each probe: its attach methods in order of preference, with their programs, hooks and required
//! kernel fields.

use glassbox_ebpf::programs;

use super::attach::{AttachMethod, AttachPlan, Extra};
use crate::config::{NvidiaDriverHook, SchedulerHook};
use crate::kernel::program::{Hook, Program};

/// Name of the scheduler's main attach method, which has a single hook.
pub const SWITCH: &str = "tp_btf sched_switch";
/// Name of the scheduler's fallback attach method.
pub const WAKEUP: &str = "tp_btf sched_wakeup + sched_switch";
/// Name of the probe that reports loads and unloads of the NVIDIA driver's modules.
pub const NVIDIA_MODULES_PROBE: &str = "nvidia_modules";
/// Name of the probe that counts bytes of unix sockets.
pub const UNIX_SOCKETS_PROBE: &str = "sockets_unix";

static SCHEDULER_SWITCH: AttachMethod = AttachMethod {
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
    misses: "",
};

static SCHEDULER_WAKEUP: AttachMethod = AttachMethod {
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
    misses: "",
};

static NVIDIA_MODULES: AttachMethod = AttachMethod {
    name: "tp_btf module_load, module_free",
    programs: &[
        Program { name: programs::NVIDIA_DRIVER_MODULE_LOAD, hook: Hook::BtfTracepoint("module_load") },
        Program { name: programs::NVIDIA_DRIVER_MODULE_FREE, hook: Hook::BtfTracepoint("module_free") },
    ],
    extras: &[],
    needs: &[&["module_name"]],
    misses: "",
};

static CGROUP: AttachMethod = AttachMethod {
    name: "tp_btf cgroup_mkdir, cgroup_rmdir, cgroup_notify_populated",
    programs: &[
        Program { name: programs::CGROUP_MKDIR, hook: Hook::BtfTracepoint("cgroup_mkdir") },
        Program { name: programs::CGROUP_RMDIR, hook: Hook::BtfTracepoint("cgroup_rmdir") },
        Program { name: programs::CGROUP_EMPTIED, hook: Hook::BtfTracepoint("cgroup_notify_populated") },
    ],
    extras: &[],
    needs: &[&["cgroup_root", "cgroup_root_hierarchy_id", "cgroup_parent", "kernfs_node_name"]],
    misses: "",
};

/// Fields that lead from a file to the device that it represents, and to the start time and name of a process.
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
/// Fields that lead from a file descriptor to its file.
const DESCRIPTOR_FIELDS: &[&str] = &["task_files", "files_struct_fdt", "fdtable_fd", "fdtable_max_fds"];
/// Fields that distinguish a wait in poll(2) from other callers of the driver's poll function.
const POLL_FIELDS: &[&str] = &[
    "poll_wqueues_qproc",
    "poll_wqueues_polling_task",
    "poll_wqueues_inline_index",
    "poll_wqueues_inline_entries",
    "poll_table_entry_filp",
    "poll_table_entry_wait_address",
    "task_nvcsw",
];

/// Used if functions of the driver cannot be hooked. The tracepoint exists from 575.51.02 on. See `Hook::Record`.
const XID_TRACEPOINT: Program = Program {
    name: programs::NVIDIA_DRIVER_XID,
    hook: Hook::Record("nvidia", "nvidia_dev_xid", &["error_code", "dev"]),
};

/// The driver's main module, nvidia.ko.
const DRIVER: &str = "nvidia";
const UVM: &str = "nvidia_uvm";
const MODESET: &str = "nvidia_modeset";

/// Programs on the entry and the return of an ioctl function.
macro_rules! ioctl_function {
    ($program:expr, $module:expr, $function:literal) => {
        [
            Program { name: $program, hook: Hook::Function($module, $function) },
            Program { name: programs::NVIDIA_DRIVER_RETURN, hook: Hook::Function($module, $function) },
        ]
    };
}

static UVM_CALLS: [Program; 2] =
    ioctl_function!(programs::NVIDIA_DRIVER_UVM_CALL, UVM, "uvm_unlocked_ioctl_entry");
static TOOLS_CALLS: [Program; 2] =
    ioctl_function!(programs::NVIDIA_DRIVER_TOOLS_CALL, UVM, "uvm_tools_unlocked_ioctl_entry");
static MODESET_CALLS: [Program; 2] =
    ioctl_function!(programs::NVIDIA_DRIVER_MODESET_CALL, MODESET, "nvkms_unlocked_ioctl");
static POLLS: [Program; 1] =
    [Program { name: programs::NVIDIA_DRIVER_POLL, hook: Hook::Function(DRIVER, "nvidia_poll") }];
/// In all releases, all errors that the driver's tracepoint reports go through this function. The function is preferred
/// because the driver cannot be unloaded while a program is attached to the tracepoint.
static REPORTS: [Program; 1] =
    [Program { name: programs::NVIDIA_DRIVER_REPORT, hook: Hook::Function(DRIVER, "nv_report_error") }];

/// For releases from 545.23.06 on. The same function serves 32-bit callers.
static NVIDIA_DRIVER_FUNCTIONS: AttachMethod = AttachMethod {
    name: "kprobe nvidia_unlocked_ioctl, uvm_unlocked_ioctl_entry",
    programs: &ioctl_function!(programs::NVIDIA_DRIVER_CALL, DRIVER, "nvidia_unlocked_ioctl"),
    extras: &[
        Extra { programs: &UVM_CALLS, needs: &[] },
        Extra { programs: &TOOLS_CALLS, needs: &[] },
        Extra { programs: &MODESET_CALLS, needs: &[] },
        Extra { programs: &POLLS, needs: POLL_FIELDS },
        Extra { programs: &REPORTS, needs: &["pci_dev_name"] },
    ],
    needs: &[CALL_FIELDS],
    misses: "",
};

/// For releases before 545.23.06. Calls on /dev/nvidia-modeset go through these functions, too.
static NVIDIA_DRIVER_FRONTEND: AttachMethod = AttachMethod {
    name: "kprobe nvidia_frontend_unlocked_ioctl, uvm_unlocked_ioctl_entry",
    programs: &[
        Program {
            name: programs::NVIDIA_DRIVER_CALL,
            hook: Hook::Function(DRIVER, "nvidia_frontend_unlocked_ioctl"),
        },
        Program {
            name: programs::NVIDIA_DRIVER_RETURN,
            hook: Hook::Function(DRIVER, "nvidia_frontend_unlocked_ioctl"),
        },
        Program {
            name: programs::NVIDIA_DRIVER_CALL,
            hook: Hook::Function(DRIVER, "nvidia_frontend_compat_ioctl"),
        },
        Program {
            name: programs::NVIDIA_DRIVER_RETURN,
            hook: Hook::Function(DRIVER, "nvidia_frontend_compat_ioctl"),
        },
    ],
    extras: &[
        Extra { programs: &UVM_CALLS, needs: &[] },
        Extra { programs: &TOOLS_CALLS, needs: &[] },
        Extra { programs: &POLLS, needs: POLL_FIELDS },
        Extra { programs: &REPORTS, needs: &["pci_dev_name"] },
    ],
    needs: &[CALL_FIELDS],
    misses: "",
};

static NVIDIA_DRIVER_SYSCALLS: AttachMethod = AttachMethod {
    name: "tracepoint sys_enter_ioctl + sys_exit_ioctl",
    programs: &[
        Program { name: programs::NVIDIA_DRIVER_EXIT, hook: Hook::Tracepoint("syscalls", "sys_exit_ioctl") },
        Program {
            name: programs::NVIDIA_DRIVER_ENTER,
            hook: Hook::Tracepoint("syscalls", "sys_enter_ioctl"),
        },
    ],
    extras: &[Extra { programs: &[XID_TRACEPOINT], needs: &[] }],
    needs: &[CALL_FIELDS, DESCRIPTOR_FIELDS],
    misses: "32-bit callers, requests unknown to the driver, waits in poll(2), and Xid errors of drivers before \
             575.51.02",
};

static OOM: AttachMethod = AttachMethod {
    name: "tp_btf signal_generate + raw_tp mark_victim",
    programs: &[
        Program { name: programs::OOM_SIGNAL, hook: Hook::BtfTracepoint("signal_generate") },
        Program { name: programs::OOM_VICTIM, hook: Hook::RawTracepoint("mark_victim") },
    ],
    extras: &[],
    needs: &[&["task_pid"]],
    misses: "",
};

/// The exit is attached first, so that no process whose start is counted ends unseen.
static PROGRAMS: AttachMethod = AttachMethod {
    name: "tp_btf sched_process_exec, sched_process_exit",
    programs: &[
        Program { name: programs::PROGRAMS_EXIT, hook: Hook::BtfTracepoint("sched_process_exit") },
        Program { name: programs::PROGRAMS_EXEC, hook: Hook::BtfTracepoint("sched_process_exec") },
    ],
    extras: &[],
    needs: &[&[
        "task_tgid",
        "task_comm",
        "task_group_leader",
        "task_exit_code",
        "task_signal",
        "signal_live",
        "signal_flags",
        "signal_group_exit_code",
    ]],
    misses: "",
};

/// Resets and dropped datagrams. The programs on cgroups are attached by the collector.
static SOCKETS: AttachMethod = AttachMethod {
    name: "tp_btf tcp_send_reset, tcp_receive_reset",
    programs: &[
        Program { name: programs::SOCKETS_RESET_SENT, hook: Hook::BtfTracepoint("tcp_send_reset") },
        Program { name: programs::SOCKETS_RESET_RECEIVED, hook: Hook::BtfTracepoint("tcp_receive_reset") },
    ],
    extras: &[Extra {
        programs: &[Program {
            name: programs::SOCKETS_UDP_DROP,
            hook: Hook::BtfTracepoint("udp_fail_queue_rcv_skb"),
        }],
        needs: &[],
    }],
    needs: &[&["sock_state"]],
    misses: "",
};

static SOCKETS_UNIX: AttachMethod = AttachMethod {
    name: "tp_btf sock_send_length, sock_recv_length",
    programs: &[
        Program { name: programs::SOCKETS_SEND, hook: Hook::BtfTracepoint("sock_send_length") },
        Program { name: programs::SOCKETS_RECEIVE, hook: Hook::BtfTracepoint("sock_recv_length") },
    ],
    extras: &[],
    needs: &[&["sock_family"]],
    misses: "",
};

/// Which programs are attached that serve one collector and cost other processes something.
#[derive(Clone, Copy, Debug)]
pub struct OptionalProbes {
    /// Those on each exec and exit.
    pub programs: bool,
    /// Those on resets and dropped datagrams.
    pub socket_events: bool,
    /// Those on each socket call.
    pub unix_sockets: bool,
}

/// All attach plans, in the order in which they are tried. The probe `containers` is first, because the others need
/// the container of a cgroup.
#[must_use]
pub fn plans(
    scheduler: SchedulerHook,
    nvidia_driver: NvidiaDriverHook,
    optional: OptionalProbes,
) -> Vec<AttachPlan> {
    let (scheduler_methods, scheduler_forced): (Vec<&AttachMethod>, _) = match scheduler {
        SchedulerHook::Auto => (vec![&SCHEDULER_SWITCH, &SCHEDULER_WAKEUP], None),
        SchedulerHook::Switch => (vec![&SCHEDULER_SWITCH], Some("kernel.scheduler_hook = \"switch\"")),
        SchedulerHook::Wakeup => (vec![&SCHEDULER_WAKEUP], Some("kernel.scheduler_hook = \"wakeup\"")),
    };
    let functions = [&NVIDIA_DRIVER_FUNCTIONS, &NVIDIA_DRIVER_FRONTEND];
    let (nvidia_driver_methods, nvidia_driver_forced): (Vec<&AttachMethod>, _) = match nvidia_driver {
        NvidiaDriverHook::Auto => (functions.into_iter().chain([&NVIDIA_DRIVER_SYSCALLS]).collect(), None),
        NvidiaDriverHook::Functions => (functions.into(), Some("nvidia_driver.hook = \"functions\"")),
        NvidiaDriverHook::Syscalls => {
            (vec![&NVIDIA_DRIVER_SYSCALLS], Some("nvidia_driver.hook = \"syscalls\""))
        }
    };
    let plan = |probe, methods| AttachPlan { probe, collector: probe, methods, at_start: true, forced: None };
    vec![
        plan("containers", vec![&CGROUP]),
        AttachPlan { forced: scheduler_forced, ..plan("scheduler", scheduler_methods) },
        plan("oom", vec![&OOM]),
        AttachPlan { at_start: optional.programs, ..plan("programs", vec![&PROGRAMS]) },
        AttachPlan { at_start: optional.socket_events, ..plan("sockets", vec![&SOCKETS]) },
        AttachPlan {
            at_start: optional.unix_sockets,
            collector: "sockets",
            ..plan(UNIX_SOCKETS_PROBE, vec![&SOCKETS_UNIX])
        },
        AttachPlan { collector: "nvidia_driver", ..plan(NVIDIA_MODULES_PROBE, vec![&NVIDIA_MODULES]) },
        AttachPlan {
            at_start: false,
            forced: nvidia_driver_forced,
            ..plan("nvidia_driver", nvidia_driver_methods)
        },
    ]
}
