//! What the thread that asks filesystems does: a round every period, and walks in between. A call may hang, as on a server
//! that does not answer or a disk that is broken.

use std::time::{Duration, Instant};

use super::rounds::Rounds;
use crate::collectors::thread::Stop;

/// The first round, when the first tick has found the containers and the runtimes have told of them.
const FIRST: Duration = Duration::from_secs(2);
/// A walk rests after so long,
const SLICE: Duration = Duration::from_millis(10);
/// for so many times as long: it takes two per cent of a core, and of the disk's time.
const REST: u32 = 49;

pub(super) fn run(mut rounds: Rounds, period: Duration, stop: &Stop) {
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
        if stop.comes_within(next.saturating_duration_since(Instant::now())) {
            return;
        }
    }
}
