//! Compares the kernel programs with the kernel's own counters. Needs root and a kernel with BTF. Runs on this host and,
//! with the same binary, in guests with other kernels (`cargo xtask vm`).
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod kernel {
    mod block_io;
    mod cgroup;
    mod degraded;
    mod disk;
    mod host_network;
    mod identity;
    mod lent;
    mod nvidia_driver;
    mod oom;
    mod probe;
    mod programs;
    mod requests;
    mod sandbox;
    mod scheduler;
    mod slots;
    mod sockets;
    mod starts;
    mod verifier;
}
