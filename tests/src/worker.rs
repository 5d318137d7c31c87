//! Child processes that burn or yield CPU time until they are dropped.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::cgroup::Cgroup;

/// What a worker does all day.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Never leaves the CPU by itself.
    Spin,
    /// Runs for about 1 ms, sleeps for 1 ms, and so on.
    SpinAndSleep,
    /// Sleeps.
    Sleep,
    /// Writes to so many bytes of new memory, then sleeps.
    Eat(usize),
    /// Sends datagrams to a port of this host, one after the answer to the last, then sleeps.
    Exchange {
        /// Of a socket on loopback that sends back what comes.
        port: u16,
        /// How many.
        datagrams: u32,
        /// Data in each.
        bytes: usize,
    },
    /// Sleeps in a network of its own.
    SleepElsewhere,
    /// Sleeps with the open directory of this descriptor as its root.
    SleepIn(i32),
    /// Writes to a block device and reads from it, then sleeps.
    Transfer {
        /// Its descriptor, by which transfers pass the page cache by.
        device: i32,
        /// How many transfers of [`TRANSFER_BYTES`] are written,
        writes: u32,
        /// and read.
        reads: u32,
    },
}

/// Bytes of one transfer.
pub const TRANSFER_BYTES: usize = 64 * 1024;

/// A child process; killed and reaped when dropped.
pub struct Worker {
    /// Its process id.
    pub pid: i32,
}

impl Worker {
    /// Starts a worker in a cgroup, on one CPU or on all. It is stopped until [`Worker::go`].
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

    /// Lets it work.
    pub fn go(&self) {
        // SAFETY: no pointers; the child is ours.
        unsafe { libc::kill(self.pid, libc::SIGCONT) };
    }

    /// Stops it and waits until it has stopped.
    pub fn stop(&self) {
        // SAFETY: no pointers; the child is ours.
        unsafe { libc::kill(self.pid, libc::SIGSTOP) };
        self.wait_until_stopped();
    }

    /// A task is marked as stopped a little before it leaves its CPU, and may be preempted in between. The kernel tells
    /// the system call of a task only once it is off every run queue, and else that it is running.
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

    /// Waits until it has ended, and tells by which signal.
    #[must_use]
    pub fn killed_by(&self) -> i32 {
        // SAFETY: zeros are a siginfo; the call fills it. The child is ours and stays to be reaped, so that its number
        // is given to nobody else before this is dropped.
        unsafe {
            let mut ended: libc::siginfo_t = std::mem::zeroed();
            let id = self.pid.cast_unsigned();
            let failed = libc::waitid(libc::P_PID, id, &raw mut ended, libc::WEXITED | libc::WNOWAIT);
            assert_eq!(failed, 0, "wait for {}: {}", self.pid, std::io::Error::last_os_error());
            assert_eq!(ended.si_code, libc::CLD_KILLED, "{} ended by itself", self.pid);
            ended.si_status()
        }
    }

    /// Time it has waited in run queues, ns: the kernel's own account.
    #[must_use]
    pub fn run_delay_ns(&self) -> u64 {
        self.schedstat(1)
    }

    /// Time it has run, ns: the kernel's own account.
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

    /// Voluntary and involuntary switches, by the kernel's own account.
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
        // SAFETY: the child is ours and not yet reaped; no status is asked for.
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

/// Only async-signal-safe calls: the process was forked from one of many threads.
fn eat(bytes: usize) {
    const PAGE_BYTES: usize = 4096;
    // SAFETY: new memory of its own, written within its bounds; where there is none, nothing is written.
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

/// The same. Where something is refused, the test sees that it was not counted.
fn transfer(device: i32, writes: u32, reads: u32) {
    // SAFETY: new memory of its own, aligned to pages and of the size that the calls are given.
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

/// The same. What does not come is not sent on.
fn exchange(port: u16, datagrams: u32, bytes: usize) {
    let mut data = [0u8; 4096];
    let bytes = bytes.min(data.len());
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: the address and the data live through the calls, which are given their sizes.
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
        // SAFETY: no pointers. Where it is refused, the test sees it.
        Work::SleepElsewhere => drop(unsafe { libc::unshare(libc::CLONE_NEWNET) }),
        Work::SleepIn(root) => {
            // SAFETY: a constant C string. Where it is refused, the test sees it.
            unsafe {
                libc::fchdir(root);
                libc::chroot(c".".as_ptr());
            }
        }
        Work::Transfer { device, writes, reads } => transfer(device, writes, reads),
        Work::Spin | Work::SpinAndSleep | Work::Sleep => {}
    }
    let idles = !matches!(work, Work::Spin | Work::SpinAndSleep);
    loop {
        let begun = now_ns();
        while !idles && now_ns() - begun < 1_000_000 {
            std::hint::spin_loop();
        }
        if !matches!(work, Work::Spin) {
            let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            // SAFETY: a live timespec; the rest is not asked for.
            unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
        }
    }
}
