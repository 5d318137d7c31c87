//! The thread that asks filesystems. A call may hang for as long as it likes, as on a server that does not answer or a disk
//! that is broken: nobody waits for this thread, neither the tick nor the end of the agent.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::rounds::Rounds;

/// The first round, when the first tick has found the containers and the runtimes have told of them.
const FIRST: Duration = Duration::from_secs(2);
/// How long the end of the agent waits.
const FAREWELL: Duration = Duration::from_millis(250);
/// A walk rests after so long,
const SLICE: Duration = Duration::from_millis(10);
/// for so many times as long: it takes two per cent of a core, and of the disk's time.
const REST: u32 = 49;

/// Ends the thread when dropped, or leaves it behind in a call that hangs.
pub(super) struct Thread {
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
}

impl Thread {
    pub(super) fn start(rounds: Rounds, period: Duration) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name("glassbox-disk".into())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| run(rounds, period, &stopped))).is_err() {
                    tracing::error!("the disk thread panicked; writable layers are not looked at any more");
                }
                drop(ending);
            })
            .context("start the disk thread")?;
        Ok(Self { stop: Some(stop), ended })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop = None;
        // Nothing is ever sent: this waits until the other end is dropped.
        let _ = self.ended.recv_timeout(FAREWELL);
    }
}

/// Waits; true where the thread is to end.
fn stopped_within(stop: &Receiver<()>, wait: Duration) -> bool {
    stop.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
}

fn run(mut rounds: Rounds, period: Duration, stop: &Receiver<()>) {
    let mut due = Instant::now() + FIRST.min(period);
    let mut rested = Instant::now();
    loop {
        let now = Instant::now();
        if now >= due {
            rounds.round();
            due = now + period;
        } else if now >= rested && rounds.walk(SLICE).is_some() {
            rested = Instant::now() + now.elapsed() * REST;
        }
        let next = if rounds.is_walking() { due.min(rested) } else { due };
        if stopped_within(stop, next.saturating_duration_since(Instant::now())) {
            return;
        }
    }
}
