//! What a container did recently. Prometheus computes rates itself, so they are only for the page and for problems.

/// Rates over the last half minute, or since the container was first seen. Unknown until it was read twice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// CPU time used per second, in cores.
    pub cpu_cores: Option<f64>,
    /// Time that threads waited for a CPU per second; above 1 if several wait at the same time.
    pub waiting: Option<f64>,
}

impl Rates {
    /// The share of the time that threads were runnable in which they waited for a CPU, 0 to 1. `None` if no thread was
    /// runnable.
    #[must_use]
    pub fn wait_ratio(&self) -> Option<f64> {
        let (waiting, running) = (self.waiting?, self.cpu_cores?);
        let runnable = waiting + running;
        (runnable > 0.0).then(|| waiting / runnable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_waiting_is_unknown_if_no_thread_was_runnable() {
        let of = |cpu_cores, waiting| Rates { cpu_cores, waiting }.wait_ratio();
        assert_eq!(of(Some(0.25), Some(0.75)), Some(0.75));
        assert_eq!(of(Some(0.0), Some(0.0)), None);
        assert_eq!(of(None, Some(1.0)), None);
    }
}
