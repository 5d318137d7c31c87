//! The histogram buckets of all durations that the kernel programs count.
//!
//! A duration is scaled to units of 2^-30 s, so that quarter-octave boundaries match those of a Prometheus native
//! histogram of schema 2 exactly (upper bounds 2^(i/4) s, inclusive). Every fourth boundary is a power of two and is
//! used as a classic `le`. Both forms are therefore derived from the same counts without error.
//!
//! Bucket 0 counts durations of at most 2^-20 s (0.95 µs): the zero bucket of the native histogram. Buckets 1 to 128
//! are the quarter octaves up to 2^12 s (68 min). Bucket 129 counts longer durations.

use crate::counters::counters;

counters! {
    /// A distribution of durations.
    pub struct Histogram {
        /// Sum of all durations, ns.
        pub sum_ns: u64,
        /// Durations by [`bucket`].
        pub buckets: [u64; BUCKETS],
    }
}

impl Histogram {
    /// Number of durations counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Number of buckets in a histogram.
pub const BUCKETS: usize = 130;
/// Buckets per octave.
pub const PER_OCTAVE: usize = 4;
/// Exponent of the zero bucket's upper bound: 2^-20 s.
pub const MIN_EXPONENT: i32 = -20;
/// Exponent of the last finite upper bound: 2^12 s.
pub const MAX_EXPONENT: i32 = 12;
/// The bucket of durations above the last finite upper bound.
pub const OVERFLOW: usize = BUCKETS - 1;

/// 2^30 / 10^9, scaled by 2^20. The product with a duration below 2^43 ns fits in 64 bits, and the error is 9 parts in
/// 10^8.
const UNITS_PER_NS: u64 = 1_125_900;
const UNITS_SHIFT: u32 = 20;
/// Longer durations are clamped before scaling. 2^43 ns are 147 min.
const LONGEST_NS: u64 = (1 << 43) - 1;

/// log2 of one unit, in seconds.
const UNIT_EXPONENT: i32 = -30;

/// 2^(63 + k/4) for k = 1, 2, 3, rounded down.
const QUARTERS: [u64; 3] = [0x9837_F051_8DB8_A96F, 0xB504_F333_F9DE_6484, 0xD744_FCCA_D69D_6AF4];

/// The bucket that counts a duration of `duration_ns`.
#[inline(always)]
#[must_use]
pub fn bucket(duration_ns: u64) -> usize {
    let clamped_ns = if duration_ns > LONGEST_NS { LONGEST_NS } else { duration_ns };
    let units = (clamped_ns * UNITS_PER_NS) >> UNITS_SHIFT;
    if units <= 1 << (MIN_EXPONENT - UNIT_EXPONENT) {
        return 0;
    }
    // The BPF instruction set cannot count leading zeros, so this is a binary search. Six steps suffice: units < 2^44.
    let mut exponent: u32 = 0;
    let mut rest = units;
    if rest >= 1 << 32 {
        rest >>= 32;
        exponent += 32;
    }
    if rest >= 1 << 16 {
        rest >>= 16;
        exponent += 16;
    }
    if rest >= 1 << 8 {
        rest >>= 8;
        exponent += 8;
    }
    if rest >= 1 << 4 {
        rest >>= 4;
        exponent += 4;
    }
    if rest >= 1 << 2 {
        rest >>= 2;
        exponent += 2;
    }
    if rest >= 1 << 1 {
        exponent += 1;
    }
    let mantissa = units << ((63 - exponent) & 63);
    let mut quarter = 0;
    if mantissa > 1 << 63 {
        quarter += 1;
    }
    if mantissa > QUARTERS[0] {
        quarter += 1;
    }
    if mantissa > QUARTERS[1] {
        quarter += 1;
    }
    if mantissa > QUARTERS[2] {
        quarter += 1;
    }
    let octaves = exponent as usize - (MIN_EXPONENT - UNIT_EXPONENT) as usize;
    let bucket = octaves * PER_OCTAVE + quarter;
    if bucket < OVERFLOW { bucket } else { OVERFLOW }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    /// The upper bound of a finite bucket, in units.
    fn bound_units(bucket: usize) -> f64 {
        2f64.powf(bucket as f64 / 4.0 + f64::from(MIN_EXPONENT - UNIT_EXPONENT))
    }

    fn ns(units: f64) -> u64 {
        (units * 1e9 / 2f64.powi(30)).round() as u64
    }

    #[test]
    fn the_quarters_are_the_fourth_roots_of_two() {
        for (k, &quarter) in QUARTERS.iter().enumerate() {
            let exact = 2f64.powf(63.0 + (k as f64 + 1.0) / 4.0);
            assert!((quarter as f64 - exact).abs() <= 2048.0, "{k}: {quarter} {exact}");
        }
    }

    #[test]
    fn a_duration_is_within_the_bounds_of_its_bucket() {
        let mut duration_ns = 1u64;
        while duration_ns < 10_000_000_000_000 {
            let units = duration_ns as f64 * 2f64.powi(30) / 1e9;
            let bucket = bucket(duration_ns);
            // Tolerate one unit, because scaling rounds down to whole units.
            assert!(
                bucket == OVERFLOW || units <= bound_units(bucket) * 1.000_001 + 1.0,
                "{duration_ns} in {bucket}"
            );
            assert!(bucket == 0 || units > bound_units(bucket - 1) * 0.999_999, "{duration_ns} in {bucket}");
            duration_ns += duration_ns / 97 + 1;
        }
    }

    #[test]
    fn a_longer_duration_never_has_a_lower_bucket() {
        let mut last = 0;
        let mut duration_ns = 0u64;
        while duration_ns < 1 << 45 {
            let now = bucket(duration_ns);
            assert!(now >= last && now < BUCKETS);
            last = now;
            duration_ns += duration_ns / 50 + 1;
        }
    }

    #[test]
    fn powers_of_two_are_inclusive_upper_bounds() {
        for octave in 1..32 {
            let bound = bound_units(octave * PER_OCTAVE);
            assert_eq!(bucket(ns(bound * 0.999)), octave * PER_OCTAVE);
            assert_eq!(bucket(ns(bound * 1.001)), octave * PER_OCTAVE + 1);
        }
    }

    #[test]
    fn the_shortest_and_longest_durations_have_buckets() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(953), 0);
        assert_eq!(bucket(956), 1);
        assert!(bucket(u64::MAX) < BUCKETS);
        assert_eq!(bucket(u64::MAX), bucket(LONGEST_NS));
        let last_ns = ns(bound_units(OVERFLOW - 1));
        assert!(last_ns < LONGEST_NS);
        assert_eq!((bucket(last_ns - last_ns / 1000), bucket(u64::MAX)), (OVERFLOW - 1, OVERFLOW));
    }

    #[test]
    fn every_bucket_has_an_upper_bound_or_is_the_last() {
        assert_eq!(BUCKETS, (MAX_EXPONENT - MIN_EXPONENT) as usize * PER_OCTAVE + 2);
    }
}
