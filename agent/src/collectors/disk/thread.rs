//! The loop of the disk thread: a round every period, and walks in between. A call may hang, for example on a server
//! that does not respond or on a broken disk.

use std::time::{Duration, Instant};

use super::rounds::Rounds;
use crate::collectors::thread::Stop;

/// Delay of the first round. By then the first tick has found the containers, and the runtimes have reported them.
const FIRST: Duration = Duration::from_secs(2);
/// A walk rests after this time.
const SLICE: Duration = Duration::from_millis(10);
/// A rest takes this many times as long as the walk before it, so walks take two per cent of a core and of the disk's
/// time.
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
        if stop.wait(next.saturating_duration_since(Instant::now())) {
            return;
        }
    }
}
