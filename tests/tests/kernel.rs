//! The kernel programs against the kernel's own accounts. Needs root and a kernel with BTF; runs on this host and, as the
//! same binary, in guests with other kernels (`cargo xtask vm`).
#![expect(clippy::panic, clippy::unwrap_used, reason = "what these functions do for tests, tests may do")]

mod kernel {
    mod block_io;
    mod cgroup;
    mod degraded;
    mod disk;
    mod host_network;
    mod identity;
    mod nvidia_driver;
    mod oom;
    mod probe;
    mod scheduler;
    mod slots;
    mod starts;
    mod verifier;
}
