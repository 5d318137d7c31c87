//! The time to the first byte of a response, which is kept together with its status: a connection has no room for a word
//! more.

/// The time to the first byte is in the bits between, in units of 2^20 ns.
const WAITED_SHIFT: u32 = 10;
const WAITED_UNIT: u32 = 20;
/// 36 minutes.
const WAITED_MAX: u64 = (1 << (31 - WAITED_SHIFT)) - 1;

/// A status with the time to the first byte of the response.
#[inline(always)]
#[must_use]
pub const fn answered(status: u32, waited_ns: u64) -> u32 {
    let waited = waited_ns >> WAITED_UNIT;
    let waited = if waited < WAITED_MAX { waited } else { WAITED_MAX };
    status | (waited as u32) << WAITED_SHIFT
}

/// The time to the first byte, rounded down to 1.05 ms; `None` if it is longer than can be kept.
#[must_use]
pub const fn waited_ns(status: u32) -> Option<u64> {
    let waited = (status >> WAITED_SHIFT) as u64;
    if waited < WAITED_MAX { Some(waited << WAITED_UNIT) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::connection::STATUS;

    #[test]
    fn a_status_keeps_the_time_to_the_first_byte() {
        let status = answered(200, 1_500_000_000);
        assert_eq!(status & STATUS, 200);
        let waited = waited_ns(status).unwrap();
        assert!(1_500_000_000 - waited < 1 << 20, "{waited}");
        assert_eq!(waited_ns(answered(599, 0)), Some(0));
        let status = answered(599, u64::MAX);
        assert_eq!((status & STATUS, waited_ns(status)), (599, None));
    }
}
