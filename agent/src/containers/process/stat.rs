//! The state and the start time of a process, from `/proc/PID/stat`.

use std::time::{Duration, SystemTime};

/// A process, as its `stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// True if it has ended, even if its parent has not waited for it.
    pub is_over: bool,
    /// The ID of its parent.
    pub parent: Option<u32>,
    /// When it started, in clock ticks since boot ([`ticks_per_second`]).
    pub started_ticks: Option<u64>,
}

impl Stat {
    /// Parses the line. `None` if it is not one.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        // The name in parentheses may contain anything.
        let name_end = line.iter().rposition(|byte| *byte == b')')?;
        let mut columns = std::str::from_utf8(line.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
        // The columns 3, 4 and 22.
        let state = columns.next()?;
        let parent = columns.next().and_then(|parent| parent.parse().ok());
        let started_ticks = columns.nth(17).and_then(|ticks| ticks.parse().ok());
        Some(Self { is_over: matches!(state, "Z" | "X" | "x"), parent, started_ticks })
    }

    /// When it started.
    #[must_use]
    pub fn started(self) -> Option<SystemTime> {
        let ticks_per_second = ticks_per_second()?;
        let ticks = self.started_ticks?;
        let seconds = ticks.checked_div(ticks_per_second)?;
        let milliseconds = ticks % ticks_per_second * 1000 / ticks_per_second;
        let since_boot = Duration::from_secs(seconds).checked_add(Duration::from_millis(milliseconds))?;
        SystemTime::now().checked_sub(self::since_boot()?.saturating_sub(since_boot))
    }
}

/// The unit of the start times. `None` if the C library does not report it.
#[must_use]
pub fn ticks_per_second() -> Option<u64> {
    // SAFETY: the call takes no pointers.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|ticks| *ticks > 0)
}

/// The time since boot, including the time when the host was suspended. `None` if the kernel does not report it.
#[must_use]
pub fn since_boot() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that is valid during the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) } != 0;
    let seconds = u64::try_from(time.tv_sec).ok().filter(|_| !failed)?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_state_and_the_start_are_read_whatever_the_name_is() {
        let line = b"7 (a) Z (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 2";
        assert_eq!(Stat::of(line), Some(Stat { is_over: false, parent: Some(1), started_ticks: Some(4242) }));
        assert_eq!(
            Stat::of(b"7 (a) Z 1"),
            Some(Stat { is_over: true, parent: Some(1), started_ticks: None })
        );
        assert!(Stat::of(b"7 (a) X 1").unwrap().is_over);
        for line in [&b""[..], b"7 (a", b"7 (a)", b"7 (a) \xff"] {
            assert_eq!(Stat::of(line), None);
        }
        let far = Stat { is_over: false, parent: None, started_ticks: Some(u64::MAX) };
        assert!(far.started().is_some_and(|started| started <= SystemTime::now()));
    }

    #[test]
    fn this_process_has_started_before_now() {
        let started = Stat::of(&fs::read("/proc/self/stat").unwrap()).unwrap().started().unwrap();
        let now = SystemTime::now();
        assert!(started <= now && now < started + Duration::from_secs(24 * 3600), "{started:?}");
    }
}
