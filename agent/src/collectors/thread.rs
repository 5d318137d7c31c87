//! A thread separate from the tick, for calls into NVML or a filesystem, which may hang indefinitely. Neither the tick
//! nor the agent's shutdown waits for such a call.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// How long the agent's shutdown waits for the thread to end.
const JOIN_TIMEOUT: Duration = Duration::from_millis(250);

/// Ends the thread when dropped. A thread in a hanging call is left running.
pub(super) struct Thread {
    /// Wakes the thread up by a message, and ends it when dropped.
    stop: Option<SyncSender<()>>,
    ended: Receiver<()>,
}

/// Signals to the thread that it has to end, or that there is something new.
pub(super) struct Stop {
    messages: Receiver<()>,
    /// True if [`Thread::wake`] was called during a rest.
    is_woken: Cell<bool>,
}

impl Thread {
    /// Starts `work` on a thread with this name; the kernel shows the first 15 bytes. If the thread panics, the log
    /// names `lost`, the values that are no longer updated.
    ///
    /// # Errors
    /// If the thread could not be started.
    pub(super) fn start(
        name: &str,
        lost: &'static str,
        work: impl FnOnce(&Stop) + Send + 'static,
    ) -> anyhow::Result<Self> {
        // Before the thread has taken one message, further ones are not needed.
        let (stop, messages) = mpsc::sync_channel(1);
        let (ending, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| work(&Stop { messages, is_woken: Cell::new(false) })))
                    .is_err()
                {
                    tracing::error!("a thread panicked; {lost} from now on");
                }
                drop(ending);
            })
            .with_context(|| format!("start the thread {name}"))?;
        Ok(Self { stop: Some(stop), ended })
    }

    /// Ends the current or the next [`Stop::wait`] of the thread.
    pub(super) fn wake(&self) {
        if let Some(stop) = &self.stop {
            // Fails if the thread will wake up anyway, or has ended.
            let _ = stop.try_send(());
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop = None;
        // Nothing is ever sent: this waits until the other end is dropped.
        let _ = self.ended.recv_timeout(JOIN_TIMEOUT);
    }
}

impl Stop {
    /// Waits for this time, even if [`Thread::wake`] is called. Returns true as soon as the thread has to end.
    pub(super) fn rest(&self, rest: Duration) -> bool {
        let until = Instant::now() + rest;
        loop {
            match self.messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(()) => self.is_woken.set(true),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    /// Waits for up to this time, or until [`Thread::wake`] is called, or not at all if that was called during the last rest.
    /// Returns true as soon as the thread has to end.
    pub(super) fn wait(&self, wait: Duration) -> bool {
        let wait = if self.is_woken.take() { Duration::ZERO } else { wait };
        self.messages.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_ends_with_its_owner_and_one_that_hangs_or_panics_does_not_block_it() {
        let (done, ended) = mpsc::channel();
        let thread = Thread::start("orderly", "nothing", move |stop| {
            while !stop.wait(Duration::from_secs(60)) {}
            let _ = done.send(());
        });
        drop(thread.unwrap());
        assert!(ended.try_recv().is_ok(), "drop must wait for the thread's end");

        let (woken, wakes) = mpsc::channel();
        let rest = Duration::from_millis(50);
        let thread = Thread::start("sleeping", "nothing", move |stop| {
            let mut begun = Instant::now();
            while !stop.rest(rest) && !stop.wait(Duration::from_secs(60)) {
                let _ = woken.send(begun.elapsed());
                begun = Instant::now();
            }
        });
        let thread = thread.unwrap();
        for _ in 0..3 {
            let woken = (0..2000).find_map(|_| {
                thread.wake();
                wakes.recv_timeout(Duration::from_millis(10)).ok()
            });
            assert!(
                woken.is_some_and(|after| after >= rest),
                "{woken:?}: wake must end the wait, not the rest"
            );
        }
        let begun = Instant::now();
        drop(thread);
        assert!(begun.elapsed() < Duration::from_secs(20));

        let begun = Instant::now();
        drop(Thread::start("panicking", "nothing", |_| panic!("a bug")).unwrap());
        let (never, hung) = mpsc::channel::<()>();
        let hang = move |_: &Stop| assert!(hung.recv().is_err());
        drop(Thread::start("hanging", "nothing", hang).unwrap());
        assert!(begun.elapsed() < Duration::from_secs(20));
        drop(never);
    }
}
