//! Offsets, in the running kernel, of the fields that the kernel programs read. User space resolves them from BTF and
//! freezes them before verification. The verifier therefore sees constants and prunes code for absent fields.

/// The offset of a field that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident: $root:literal $path:literal $(or $other:literal)*,)*) => {
        /// Byte offsets of members of kernel structures; [`ABSENT`] if the kernel has no such member.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets { $($(#[$doc])* pub $field: u32,)* }

        impl Offsets {
            /// Every field absent.
            pub const UNRESOLVED: Self = Self { $($field: ABSENT,)* };

            /// Calls `find(structure, paths)` for each field. `paths` are alternatives, newest first; dots in a path
            /// lead into embedded structures.
            pub fn resolve(mut find: impl FnMut(&str, &[&str]) -> u32) -> Self {
                Self { $($field: find($root, &[$path $(, $other)*]),)* }
            }

            /// Calls `report` with the name and offset of each field.
            pub fn each(&self, mut report: impl FnMut(&'static str, u32)) {
                $(report(stringify!($field), self.$field);)*
            }
        }
    };
}

offsets! {
    /// `pid_t`: the thread ID in the initial PID namespace; 0 for the idle task of a CPU.
    task_pid: "task_struct" "pid",
    /// `pid_t`: the process ID in the initial PID namespace.
    task_tgid: "task_struct" "tgid",
    /// 0 while the task is runnable. `__state` (u32) from 5.14 on, `state` (long) before.
    task_state: "task_struct" "__state" or "state",
    /// Pointer to `css_set`.
    task_cgroups: "task_struct" "cgroups",
    /// u64: rq clock in ns when the task was queued; 0 when it is not queued. Needs CONFIG_SCHED_INFO.
    task_last_queued: "task_struct" "sched_info.last_queued",
    /// u64: time in ns that the task has waited in run queues, as far as the kernel has added it up.
    task_run_delay: "task_struct" "sched_info.run_delay",
    /// u64: rq clock in ns when the task last got a CPU.
    task_last_arrival: "task_struct" "sched_info.last_arrival",
    /// Pointer to the first thread of the process.
    task_group_leader: "task_struct" "group_leader",
    /// u64: start time of the task, in ns of CLOCK_MONOTONIC.
    task_start_time: "task_struct" "start_time",
    /// 16 bytes: the task's name, which the task can set.
    task_comm: "task_struct" "comm",
    /// Pointer to the `signal_struct` that all threads of the process share.
    task_signal: "task_struct" "signal",
    /// int: the status that the thread passed to exit(2), or that killed it.
    task_exit_code: "task_struct" "exit_code",
    /// int: number of threads that have not begun to exit.
    signal_live: "signal_struct" "live",
    /// u32: `SIGNAL_*` flags.
    signal_flags: "signal_struct" "flags",
    /// int: the status of the process if all its threads exit together.
    signal_group_exit_code: "signal_struct" "group_exit_code",
    /// u64: number of voluntary context switches.
    task_nvcsw: "task_struct" "nvcsw",
    /// Pointer to `files_struct`.
    task_files: "task_struct" "files",
    /// Pointer to `fdtable`.
    files_struct_fdt: "files_struct" "fdt",
    /// Pointer to an array of pointers to `file`.
    fdtable_fd: "fdtable" "fd",
    /// u32: length of that array.
    fdtable_max_fds: "fdtable" "max_fds",
    /// Pointer to `inode`.
    file_f_inode: "file" "f_inode",
    /// u16: type and permissions.
    inode_i_mode: "inode" "i_mode",
    /// u32: the device that the inode represents, `major << 20 | minor`.
    inode_i_rdev: "inode" "i_rdev",
    /// u64: the inode's number within its filesystem.
    inode_i_ino: "inode" "i_ino",
    /// Pointer to `super_block`.
    inode_i_sb: "inode" "i_sb",
    /// u32: the device of a filesystem, as in `i_rdev`.
    super_block_s_dev: "super_block" "s_dev",
    /// Pointer to the function that registers a waiter; `NULL` if no waiter is to be registered. In the `poll_table` at
    /// the head of the `poll_wqueues` of poll(2) and select(2).
    poll_wqueues_qproc: "poll_wqueues" "pt._qproc",
    /// Pointer to `task_struct`: the waiting task.
    poll_wqueues_polling_task: "poll_wqueues" "polling_task",
    /// int: number of wait queues that the task is registered with so far, among those that fit into the structure
    /// itself.
    poll_wqueues_inline_index: "poll_wqueues" "inline_index",
    /// `poll_table_entry[]`: the wait queues that the task is registered with.
    poll_wqueues_inline_entries: "poll_wqueues" "inline_entries",
    /// Pointer to `file`: the file that the wait queue belongs to.
    poll_table_entry_filp: "poll_table_entry" "filp",
    /// Pointer to the wait queue, the last member.
    poll_table_entry_wait_address: "poll_table_entry" "wait_address",
    /// Pointer to the address of a PCI device, as text.
    pci_dev_name: "pci_dev" "dev.kobj.name",
    /// `char[]`: the module's name, NUL-terminated. Needs CONFIG_MODULES.
    module_name: "module" "name",
    /// Pointer to `cfs_rq`. Needs CONFIG_FAIR_GROUP_SCHED.
    task_cfs_rq: "task_struct" "se.cfs_rq",
    /// Pointer to `task_group`. Needs CONFIG_CGROUP_SCHED.
    task_sched_task_group: "task_struct" "sched_task_group",
    /// Pointer to `rq`.
    cfs_rq_rq: "cfs_rq" "rq",
    /// u64: the run queue's clock in ns, current while a switch is traced.
    rq_clock: "rq" "clock",
    /// Pointer to the v2 `cgroup`.
    css_set_dfl_cgrp: "css_set" "dfl_cgrp",
    /// Pointer to `cgroup`, from the `css` at the head of a `task_group`.
    task_group_cgroup: "task_group" "css.cgroup",
    /// Pointer to `kernfs_node`.
    cgroup_kn: "cgroup" "kn",
    /// Pointer to the v2 `cgroup` in which the socket was created (5.15).
    sock_cgroup: "sock" "sk_cgrp_data.cgroup",
    /// u64: the same before 5.15, unless one of the two low bits is set.
    sock_cgroup_value: "sock" "sk_cgrp_data.val",
    /// u16: address family.
    sock_family: "sock" "__sk_common.skc_family",
    /// u8: TCP state.
    sock_state: "sock" "__sk_common.skc_state",
    /// int: the error of the socket, such as `ETIMEDOUT`; 0 if there is none.
    sock_err: "sock" "sk_err",
    /// u32: connections of a listening socket that wait to be accepted.
    sock_ack_backlog: "sock" "sk_ack_backlog",
    /// u32: the limit of that number.
    sock_max_ack_backlog: "sock" "sk_max_ack_backlog",
    /// Pointer to `cgroup_root`.
    cgroup_root: "cgroup" "root",
    /// Pointer to the `cgroup_subsys_state` of the parent cgroup.
    cgroup_parent: "cgroup" "self.parent",
    /// Pointer back to the `cgroup`.
    css_cgroup: "cgroup_subsys_state" "cgroup",
    /// int: 0 for the v2 hierarchy, else the number in /proc/cgroups.
    cgroup_root_hierarchy_id: "cgroup_root" "hierarchy_id",
    /// u64: the cgroup's ID, which is the inode number of its directory.
    kernfs_node_id: "kernfs_node" "id",
    /// Pointer to the directory's name.
    kernfs_node_name: "kernfs_node" "name",
}

// SAFETY: `repr(C)`, u32 members only, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Offsets {}
