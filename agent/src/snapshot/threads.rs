//! What the threads of a container do, at one look.

/// What one thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadActivity {
    /// It runs, or waits for a CPU.
    Runs,
    /// A signal or a debugger has stopped it, or its cgroup is frozen.
    Stopped,
    /// It waits for a file: in an uninterruptible sleep, or in a system call on a file.
    File,
    /// It waits in futex(2): for a lock, a condition variable or another thread.
    Lock,
    /// It waits for data or buffer space of a socket, or for a connection to be established.
    Socket,
    /// It waits for events or connections, as an event loop does: epoll_wait(2), poll(2), select(2), accept(2).
    Events,
    /// It sleeps, or waits for something else.
    Other,
}

impl ThreadActivity {
    const COUNT: usize = 7;
}

/// Threads of a container by activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threads([u32; ThreadActivity::COUNT]);

impl Threads {
    /// Adds a thread.
    pub const fn add(&mut self, activity: ThreadActivity) {
        self.0[activity as usize] += 1;
    }

    /// The number of threads that do this.
    #[must_use]
    pub const fn count(&self, activity: ThreadActivity) -> u32 {
        self.0[activity as usize]
    }

    /// The number of threads.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }
}
