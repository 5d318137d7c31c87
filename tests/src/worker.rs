//! Child processes that use CPU time, memory or devices until they are dropped.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::cgroup::Cgroup;

/// What a worker does.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Uses the CPU all the time.
    Spin,
    /// Runs for about 1 ms and sleeps for 1 ms, repeatedly.
    SpinAndSleep,
    /// Sleeps.
    Sleep,
    /// Writes to this many bytes of new memory, then sleeps.
    Eat(usize),
    /// Sends datagrams to a local port, each after the answer to the last, then sleeps.
    Exchange {
        /// The port of a socket on loopback that echoes datagrams.
        port: u16,
        /// Number of datagrams.
        datagrams: u32,
        /// Bytes of data in each.
        bytes: usize,
    },
    /// Sleeps in a new network namespace.
    SleepElsewhere,
    /// Sleeps with the directory of this descriptor as its root.
    SleepIn(i32),
    /// Does what a program does that runs its model on the CPU: maps a library, reads a model, and computes, with a directory
    /// as its root. All are descriptors.
    Infer {
        /// The directory.
        root: i32,
        /// The library.
        library: i32,
        /// The model, of [`MODEL_PIECES`] pieces of [`MODEL_PIECE_BYTES`].
        model: i32,
    },
    /// Writes to a block device and reads from it, then sleeps.
    Transfer {
        /// The descriptor, opened for direct I/O.
        device: i32,
        /// Number of transfers of [`TRANSFER_BYTES`] that are written.
        writes: u32,
        /// Number of transfers that are read.
        reads: u32,
    },
}

/// Bytes of one transfer.
pub const TRANSFER_BYTES: usize = 64 * 1024;
/// Number of pieces of a model. It is read within 3.2 s, five seconds after the start.
pub const MODEL_PIECES: u32 = 64;
/// Bytes of one piece.
pub const MODEL_PIECE_BYTES: usize = 2 << 20;

/// A child process, which is killed and reaped when dropped.
pub struct Worker {
    /// Its process ID.
    pub pid: i32,
}

impl Worker {
    /// Starts a worker in a cgroup, on one CPU or on all. It stops itself until [`Worker::go`].
    #[must_use]
    pub fn start(cgroup: &Cgroup, work: Work, cpu: Option<usize>) -> Self {
        // SAFETY: the child calls only async-signal-safe functions and never returns from here.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            // SAFETY: async-signal-safe calls only; `set` is a plain value.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if let Some(cpu) = cpu {
                    let mut set: libc::cpu_set_t = std::mem::zeroed();
                    libc::CPU_SET(cpu, &mut set);
                    libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
                }
                libc::raise(libc::SIGSTOP);
            }
            toil(work)
        }
        let worker = Self { pid };
        worker.wait_until_stopped();
        cgroup
            .enter(pid)
            .unwrap_or_else(|error| panic!("move {pid} into {}: {error}", cgroup.path().display()));
        worker
    }

    /// Lets it continue.
    pub fn go(&self) {
        // SAFETY: no pointers; the child is ours.
        unsafe { libc::kill(self.pid, libc::SIGCONT) };
    }

    /// Stops it, and waits until it has stopped.
    pub fn stop(&self) {
        // SAFETY: no pointers; the child is ours.
        unsafe { libc::kill(self.pid, libc::SIGSTOP) };
        self.wait_until_stopped();
    }

    /// The kernel marks a task as stopped shortly before the task leaves its CPU, and may preempt it in between.
    /// `/proc/PID/syscall` shows a system call only once the task is off every run queue, and "running" before.
    fn wait_until_stopped(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            let syscall = fs::read_to_string(format!("/proc/{}/syscall", self.pid)).unwrap_or_default();
            if state == Some('T') && !syscall.starts_with("running") {
                return;
            }
            assert!(Instant::now() < deadline, "worker {} is in state {state:?}, not stopped", self.pid);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until it has ended, and returns the signal that ended it.
    #[must_use]
    pub fn killed_by(&self) -> i32 {
        // SAFETY: an all-zero siginfo is valid, and the call fills it. The child is ours and not reaped before this is
        // dropped, so its number is not reused.
        unsafe {
            let mut ended: libc::siginfo_t = std::mem::zeroed();
            let id = self.pid.cast_unsigned();
            let failed = libc::waitid(libc::P_PID, id, &raw mut ended, libc::WEXITED | libc::WNOWAIT);
            assert_eq!(failed, 0, "wait for {}: {}", self.pid, std::io::Error::last_os_error());
            assert_eq!(ended.si_code, libc::CLD_KILLED, "{} exited without a signal", self.pid);
            ended.si_status()
        }
    }

    /// Time in run queues, in ns, as the kernel counts it.
    #[must_use]
    pub fn run_delay_ns(&self) -> u64 {
        self.schedstat(1)
    }

    /// Time on CPU, in ns, as the kernel counts it.
    #[must_use]
    pub fn run_time_ns(&self) -> u64 {
        self.schedstat(0)
    }

    fn schedstat(&self, column: usize) -> u64 {
        let path = format!("/proc/{}/schedstat", self.pid);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
        text.split_whitespace()
            .nth(column)
            .and_then(|field| field.parse().ok())
            .unwrap_or_else(|| panic!("{text}"))
    }

    /// Voluntary and involuntary context switches, as the kernel counts them.
    #[must_use]
    pub fn switches(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.pid);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {path}"))
        };
        (field("voluntary_ctxt_switches:"), field("nonvoluntary_ctxt_switches:"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SAFETY: the child is ours and not yet reaped; its status is not needed.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

fn now_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Makes only async-signal-safe calls, because the process was forked from one of many threads.
fn eat(bytes: usize) {
    const PAGE_BYTES: usize = 4096;
    // SAFETY: new memory of its own, written within its bounds. Nothing is written if there is none.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let memory = libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0);
        if memory != libc::MAP_FAILED {
            for at in (0..bytes).step_by(PAGE_BYTES) {
                memory.cast::<u8>().add(at).write_volatile(1);
            }
        }
    }
}

/// Makes only async-signal-safe calls. If the kernel refuses a transfer, the test notices the missing count.
fn transfer(device: i32, writes: u32, reads: u32) {
    // SAFETY: new memory of its own, page-aligned and of the size that is passed to the calls.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let memory = libc::mmap(std::ptr::null_mut(), TRANSFER_BYTES, protection, flags, -1, 0);
        let at = |transfer: u32| i64::from(transfer) * TRANSFER_BYTES as i64;
        if memory != libc::MAP_FAILED {
            for transfer in 0..writes {
                libc::pwrite(device, memory, TRANSFER_BYTES, at(transfer));
            }
            for transfer in 0..reads {
                libc::pread(device, memory, TRANSFER_BYTES, at(transfer));
            }
        }
    }
}

/// Makes only async-signal-safe calls. If the kernel refuses one, the test notices.
fn infer(root: i32, library: i32, model: i32) {
    // SAFETY: new mappings, of which the second has room for all pieces; constant C strings and live times. If it could not be
    // made, read(2) fails.
    unsafe {
        let (null, read) = (std::ptr::null_mut(), libc::PROT_READ);
        libc::mmap(null, TRANSFER_BYTES, read | libc::PROT_EXEC, libc::MAP_PRIVATE, library, 0);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let bytes = MODEL_PIECE_BYTES * MODEL_PIECES as usize;
        let memory = libc::mmap(null, bytes, read | libc::PROT_WRITE, flags, -1, 0);
        libc::fchdir(root);
        libc::chroot(c".".as_ptr());
        let imports = libc::timespec { tv_sec: 5, tv_nsec: 0 };
        libc::nanosleep(&raw const imports, std::ptr::null_mut());
        let piece = libc::timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        for piece_number in 0..MODEL_PIECES as usize {
            let to = memory.cast::<u8>().wrapping_add(piece_number * MODEL_PIECE_BYTES);
            libc::read(model, to.cast(), MODEL_PIECE_BYTES);
            libc::nanosleep(&raw const piece, std::ptr::null_mut());
        }
    }
}

/// Makes only async-signal-safe calls. Sends no further datagram if an answer is missing.
fn exchange(port: u16, datagrams: u32, bytes: usize) {
    let mut data = [0u8; 4096];
    let bytes = bytes.min(data.len());
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: the address and the data outlive the calls, and their sizes are passed.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        if libc::connect(socket, (&raw const address).cast(), size) == 0 {
            for _ in 0..datagrams {
                libc::send(socket, data.as_ptr().cast(), bytes, 0);
                libc::recv(socket, data.as_mut_ptr().cast(), bytes, 0);
            }
        }
    }
}

fn toil(work: Work) -> ! {
    match work {
        Work::Eat(bytes) => eat(bytes),
        Work::Exchange { port, datagrams, bytes } => exchange(port, datagrams, bytes),
        // SAFETY: no pointers. If the kernel refuses, the test notices.
        Work::SleepElsewhere => drop(unsafe { libc::unshare(libc::CLONE_NEWNET) }),
        Work::SleepIn(root) => {
            // SAFETY: a constant C string. If the kernel refuses, the test notices.
            unsafe {
                libc::fchdir(root);
                libc::chroot(c".".as_ptr());
            }
        }
        Work::Transfer { device, writes, reads } => transfer(device, writes, reads),
        Work::Infer { root, library, model } => infer(root, library, model),
        Work::Spin | Work::SpinAndSleep | Work::Sleep => {}
    }
    let idles = !matches!(work, Work::Spin | Work::SpinAndSleep | Work::Infer { .. });
    loop {
        let begun = now_ns();
        while !idles && now_ns() - begun < 1_000_000 {
            std::hint::spin_loop();
        }
        if !matches!(work, Work::Spin | Work::Infer { .. }) {
            let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            // SAFETY: a live timespec; the remaining time is not needed.
            unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
        }
    }
}
