//! The buckets of histograms in text format.

use glassbox_ebpf::histogram::{MAX_EXPONENT, MIN_EXPONENT};

use crate::{
    exposition::sample::Resolution,
    snapshot::{gpu::RATIO_BUCKETS, uploads::SIZE_BUCKETS},
};

/// The powers of two from 2^-20 to 2^12, in seconds: shortest exact decimals, in the notation of Prometheus' own
/// libraries.
pub const LE: [&str; 33] = [
    "9.5367431640625e-07",
    "1.9073486328125e-06",
    "3.814697265625e-06",
    "7.62939453125e-06",
    "1.52587890625e-05",
    "3.0517578125e-05",
    "6.103515625e-05",
    "0.0001220703125",
    "0.000244140625",
    "0.00048828125",
    "0.0009765625",
    "0.001953125",
    "0.00390625",
    "0.0078125",
    "0.015625",
    "0.03125",
    "0.0625",
    "0.125",
    "0.25",
    "0.5",
    "1",
    "2",
    "4",
    "8",
    "16",
    "32",
    "64",
    "128",
    "256",
    "512",
    "1024",
    "2048",
    "4096",
];

/// The `le` of sizes: powers of two from 2^18, which are 512 × 512 pixels.
pub const SIZE_LE: [&str; SIZE_BUCKETS] = [
    "262144", "524288", "1048576", "2097152", "4194304", "8388608", "16777216", "33554432", "67108864",
    "+Inf",
];

/// The `le` of ratios: twentieths.
pub const RATIO_LE: [&str; RATIO_BUCKETS] = [
    "0.05", "0.1", "0.15", "0.2", "0.25", "0.3", "0.35", "0.4", "0.45", "0.5", "0.55", "0.6", "0.65", "0.7",
    "0.75", "0.8", "0.85", "0.9", "0.95", "1",
];

// The first `le` is the upper bound of the kernel's first bucket.
const _: () = assert!(MIN_EXPONENT == -20);
// The last `le` is the upper bound of the last finite bucket.
const _: () = assert!(MIN_EXPONENT + LE.len() as i32 - 1 == MAX_EXPONENT);

impl Resolution {
    /// The finite `le`, as indices of [`LE`].
    #[must_use]
    pub const fn bounds(self) -> &'static [usize] {
        match self {
            Self::Fine => &[2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22],
            Self::Coarse => &[2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 23],
            Self::Requests => &[8, 10, 12, 14, 16, 17, 18, 19, 20, 21, 23, 26],
            Self::Long => &[20, 21, 22, 23, 24, 26, 28, 30, 32],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_le_is_exactly_its_power_of_two() {
        for (octave, le) in LE.iter().enumerate() {
            let exponent = MIN_EXPONENT + i32::try_from(octave).unwrap();
            assert_eq!(le.parse::<f64>().unwrap(), 2f64.powi(exponent), "{le}");
        }
    }
}
