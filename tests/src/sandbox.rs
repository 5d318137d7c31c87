//! A network namespace and a mount namespace for the daemons that tests start.
//!
//! A container runtime changes the host that it runs on: Docker without a bridge deletes any `docker0`, and Docker,
//! containerd and Podman share directories in `/run`, `/etc`, `/var/lib` and `/dev/shm` with the host's own daemons. A
//! sandbox has private ones: an empty network and empty directories. Global kernel settings are read-only. Cgroups and
//! process IDs are those of the host, so that an agent on the host sees the containers.
//!
//! A sandbox is removed with its last process.

mod covers;

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use self::covers::Covers;

/// The namespaces.
pub struct Sandbox {
    /// The process that holds the namespaces. It exits when its standard input is closed, even if the test is killed.
    holder: Child,
    network: Arc<File>,
    mounts: Arc<File>,
    /// The network namespace from which the sandbox was created.
    outside: File,
}

impl Sandbox {
    /// Creates the namespaces. `scratch` is an existing directory for mount points outside of `/run`, `/var/lib`, `/dev/shm`
    /// and `/etc`, which the sandbox covers.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn new(scratch: &Path) -> Result<Self, String> {
        let outside = "/proc/thread-self/ns/net";
        let outside = File::open(outside).map_err(|error| format!("open {outside}: {error}"))?;
        let covers = Covers::new(scratch).map_err(|error| format!("list /etc: {error}"))?;
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: between fork and exec only system calls are made, with strings that were allocated before.
        unsafe {
            command.pre_exec(move || {
                check(libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS))?;
                covers.mount()?;
                loopback_up()
            });
        }
        let holder = command
            .spawn()
            .map_err(|error| format!("make a network and a mount namespace for a test daemon: {error}"))?;
        let open = |name: &str| {
            let path = format!("/proc/{}/ns/{name}", holder.id());
            File::open(&path).map(Arc::new).map_err(|error| format!("open {path}: {error}"))
        };
        let (network, mounts) = (open("net")?, open("mnt")?);
        Ok(Self { holder, network, mounts, outside })
    }

    /// A command that runs in the sandbox.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let (network, mounts) = (Arc::clone(&self.network), Arc::clone(&self.mounts));
        let mut command = Command::new(program);
        // SAFETY: between fork and exec only setns(2) is called, with descriptors that the closure keeps open.
        unsafe {
            command.pre_exec(move || {
                check(libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET))?;
                check(libc::setns(mounts.as_raw_fd(), libc::CLONE_NEWNS))
            });
        }
        command
    }

    /// The path by which processes in the sandbox can enter the host's network namespace, as long as the sandbox exists.
    #[must_use]
    pub fn outside_network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.outside.as_raw_fd()))
    }

    /// Calls `work` on a thread in the sandbox's network namespace. Sockets that it creates stay there. The thread sees the
    /// host's files.
    ///
    /// # Panics
    /// If the namespace cannot be entered, or if `work` panics.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            // SAFETY: no pointers; the descriptor is open. Only this thread changes its namespace.
            check(unsafe { libc::setns(self.network.as_raw_fd(), libc::CLONE_NEWNET) })
        };
        on_a_thread(enter, work)
    }

    /// Calls `work` on a thread in the sandbox's network and mount namespaces, in which the sandbox is in place of the host.
    ///
    /// # Panics
    /// If the namespaces cannot be entered, or if `work` panics.
    pub fn as_the_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            // SAFETY: no pointers; the descriptors are open. The thread first unshares its root, which entering a mount
            // namespace requires, so other threads keep their namespaces.
            unsafe {
                check(libc::unshare(libc::CLONE_FS))?;
                check(libc::setns(self.network.as_raw_fd(), libc::CLONE_NEWNET))?;
                check(libc::setns(self.mounts.as_raw_fd(), libc::CLONE_NEWNS))
            }
        };
        on_a_thread(enter, work)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn on_a_thread<T: Send>(enter: impl FnOnce() -> io::Result<()> + Send, work: impl FnOnce() -> T + Send) -> T {
    let joined = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter().unwrap_or_else(|error| panic!("enter a sandbox: {error}"));
            work()
        });
        thread.join()
    });
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The Kubernetes plugin of containerd listens on 127.0.0.1.
fn loopback_up() -> io::Result<()> {
    // SAFETY: an all-zero ifreq is valid; it and its name outlive the call. The socket is closed.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(socket)?;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        let result = check(libc::ioctl(socket, libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request));
        libc::close(socket);
        result
    }
}
