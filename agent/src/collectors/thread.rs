//! A thread separate from the tick, for calls into NVML or a filesystem, which may hang indefinitely. Neither the tick
//! nor the agent's shutdown waits for such a call.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::Duration,
};

use anyhow::Context as _;

/// How long the agent's shutdown waits for the thread to end.
const JOIN_TIMEOUT: Duration = Duration::from_millis(250);

/// Ends the thread when dropped. A thread in a hanging call is left running.
pub(super) struct Thread {
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
}

/// Signals to the thread that it has to end.
pub(super) struct Stop(Receiver<()>);

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
        let (stop, stopped) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| work(&Stop(stopped)))).is_err() {
                    tracing::error!("a thread panicked; {lost} from now on");
                }
                drop(ending);
            })
            .with_context(|| format!("start the thread {name}"))?;
        Ok(Self { stop: Some(stop), ended })
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
    /// Waits for up to this time. Returns true as soon as the thread has to end.
    pub(super) fn wait(&self, wait: Duration) -> bool {
        self.0.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

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

        let begun = Instant::now();
        drop(Thread::start("panicking", "nothing", |_| panic!("a bug")).unwrap());
        let (never, hung) = mpsc::channel::<()>();
        let hang = move |_: &Stop| assert!(hung.recv().is_err());
        drop(Thread::start("hanging", "nothing", hang).unwrap());
        assert!(begun.elapsed() < Duration::from_secs(20));
        drop(never);
    }
}
