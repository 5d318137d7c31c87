//! Where the fields are that the kernel programs read, in the running kernel. User space fills this from BTF and
//! freezes it before the programs are verified: the verifier then sees constants and prunes what is absent.

/// The offset of a field that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident: $root:literal $path:literal $(or $other:literal)*,)*) => {
        /// Byte offsets of kernel structure members, [`ABSENT`] where the kernel has no such member.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets { $($(#[$doc])* pub $field: u32,)* }

        impl Offsets {
            /// Every field absent.
            pub const UNRESOLVED: Self = Self { $($field: ABSENT,)* };

            /// Asks `find(structure, paths)` for each field, where `paths` are alternatives, newest first, that
            /// may walk embedded structures with dots.
            pub fn resolve(mut find: impl FnMut(&str, &[&str]) -> u32) -> Self {
                Self { $($field: find($root, &[$path $(, $other)*]),)* }
            }

            /// Each field's name with its offset, for reports.
            pub fn each(&self, mut report: impl FnMut(&'static str, u32)) {
                $(report(stringify!($field), self.$field);)*
            }
        }
    };
}

offsets! {
    /// `pid_t`: the thread's id in the first pid namespace; 0 is a CPU's idle task.
    task_pid: "task_struct" "pid",
    /// `pid_t`: the process's id in the first pid namespace.
    task_tgid: "task_struct" "tgid",
    /// 0 while the task is runnable. `__state` (u32) since 5.14, `state` (long) before.
    task_state: "task_struct" "__state" or "state",
    /// Pointer to `css_set`.
    task_cgroups: "task_struct" "cgroups",
    /// u64: rq clock in ns when the task was queued; 0 when it is not queued. Needs CONFIG_SCHED_INFO.
    task_last_queued: "task_struct" "sched_info.last_queued",
    /// u64: ns that the task has waited in run queues so far, as far as the kernel has added it up.
    task_run_delay: "task_struct" "sched_info.run_delay",
    /// u64: rq clock in ns when the task last got a CPU.
    task_last_arrival: "task_struct" "sched_info.last_arrival",
    /// Pointer to the process's first thread.
    task_group_leader: "task_struct" "group_leader",
    /// u64: when the task was made, ns of CLOCK_MONOTONIC.
    task_start_time: "task_struct" "start_time",
    /// 16 bytes: its name, which a thread gives itself.
    task_comm: "task_struct" "comm",
    /// u64: how often it has given up its CPU by itself.
    task_nvcsw: "task_struct" "nvcsw",
    /// Pointer to `files_struct`.
    task_files: "task_struct" "files",
    /// Pointer to `fdtable`.
    files_struct_fdt: "files_struct" "fdt",
    /// Pointer to an array of pointers to `file`.
    fdtable_fd: "fdtable" "fd",
    /// u32: its length.
    fdtable_max_fds: "fdtable" "max_fds",
    /// Pointer to `inode`.
    file_f_inode: "file" "f_inode",
    /// u16: type and permissions.
    inode_i_mode: "inode" "i_mode",
    /// u32: the device it stands for, `major << 20 | minor`.
    inode_i_rdev: "inode" "i_rdev",
    /// u64: its number within its file system.
    inode_i_ino: "inode" "i_ino",
    /// Pointer to `super_block`.
    inode_i_sb: "inode" "i_sb",
    /// u32: the device of a file system, as in `i_rdev`.
    super_block_s_dev: "super_block" "s_dev",
    /// Pointer to a function: what registers a waiter, `NULL` where none is to be registered. In the `poll_table` at the
    /// head of poll(2)'s and select(2)'s `poll_wqueues`.
    poll_wqueues_qproc: "poll_wqueues" "pt._qproc",
    /// Pointer to `task_struct`: who waits.
    poll_wqueues_polling_task: "poll_wqueues" "polling_task",
    /// int: how many wait queues it was registered with so far, as long as they fit into the structure itself.
    poll_wqueues_inline_index: "poll_wqueues" "inline_index",
    /// `poll_table_entry[]`: what it was registered with.
    poll_wqueues_inline_entries: "poll_wqueues" "inline_entries",
    /// Pointer to `file`: whose wait queue.
    poll_table_entry_filp: "poll_table_entry" "filp",
    /// Pointer to the wait queue, the last member.
    poll_table_entry_wait_address: "poll_table_entry" "wait_address",
    /// Pointer to a PCI device's address as text.
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
    /// Pointer to `cgroup_root`.
    cgroup_root: "cgroup" "root",
    /// Pointer to the parent's own `cgroup_subsys_state`.
    cgroup_parent: "cgroup" "self.parent",
    /// Pointer back to the `cgroup`.
    css_cgroup: "cgroup_subsys_state" "cgroup",
    /// int: 0 is the v2 hierarchy, else the number in /proc/cgroups.
    cgroup_root_hierarchy_id: "cgroup_root" "hierarchy_id",
    /// u64: the cgroup's id, which is its directory's inode number.
    kernfs_node_id: "kernfs_node" "id",
    /// Pointer to the directory's name.
    kernfs_node_name: "kernfs_node" "name",
}

// SAFETY: `repr(C)`, u32 members only, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Offsets {}
