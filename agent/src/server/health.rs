//! Health and readiness: whether new snapshots arrive. Ages are measured with the monotonic clock, so setting the wall
//! clock does not change the result.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// Number of ticks without a snapshot after which the agent is unhealthy.
const STALE_TICKS: u32 = 10;

/// When the last snapshot arrived.
pub(super) struct Health {
    started: Instant,
    patience: Duration,
    /// Milliseconds from `started` to the last snapshot, plus one; 0 before the first.
    last_ms: AtomicU64,
}

impl Health {
    pub(super) fn new(tick: Duration) -> Self {
        Self { started: Instant::now(), patience: tick * STALE_TICKS, last_ms: AtomicU64::new(0) }
    }

    /// Records the arrival of a snapshot.
    fn mark(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last_ms.store(ms + 1, Ordering::Relaxed);
    }

    /// Health: the last snapshot is recent, or the agent has started too recently to have one.
    pub(super) fn alive(&self) -> Result<(), String> {
        match self.age() {
            None if self.started.elapsed() < self.patience => Ok(()),
            _ => self.ready(),
        }
    }

    /// Readiness: the last snapshot is recent.
    pub(super) fn ready(&self) -> Result<(), String> {
        match self.age() {
            None => Err(format!("no snapshot yet, {:.1?} after the agent started", self.started.elapsed())),
            Some(age) if age >= self.patience => {
                Err(format!("the last snapshot is {age:.1?} old; at most {:.1?} is healthy", self.patience))
            }
            Some(_) => Ok(()),
        }
    }

    fn age(&self) -> Option<Duration> {
        let last_ms = self.last_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_millis(last_ms)))
    }
}

/// Records the arrival of every snapshot. Never returns.
pub(super) async fn watch(health: &Arc<Health>, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
    loop {
        if snapshots.borrow_and_update().is_some() {
            health.mark();
        }
        if snapshots.changed().await.is_err() {
            // The tick has ended. The agent becomes unhealthy when the last snapshot is too old.
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_has_just_started_is_healthy_but_not_ready() {
        let health = Health::new(Duration::from_secs(1));
        assert_eq!(health.alive(), Ok(()));
        assert!(health.ready().unwrap_err().starts_with("no snapshot yet"));
    }

    #[test]
    fn an_agent_that_never_gets_a_snapshot_becomes_unhealthy() {
        let health = Health::new(Duration::ZERO);
        assert!(health.alive().unwrap_err().starts_with("no snapshot yet"));
    }

    #[test]
    fn an_agent_is_healthy_until_its_last_snapshot_is_too_old() {
        let health = Health::new(Duration::from_millis(20));
        health.mark();
        assert_eq!(health.ready(), Ok(()));
        std::thread::sleep(Duration::from_millis(250));
        assert!(health.ready().unwrap_err().starts_with("the last snapshot is"));
        assert!(health.alive().is_err());
        health.mark();
        assert_eq!(health.alive(), Ok(()));
    }
}
