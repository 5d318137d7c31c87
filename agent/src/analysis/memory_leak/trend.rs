//! The trend of floors, and whether it is a suspected leak. The parent module has the definition in words.
//!
//! Costs one pass over all pairs of at most 32 floors: 496 differences and four medians, once per job.

use std::time::Duration;

use crate::snapshot::memory_leak::Trend;

/// Maximum number of floors; the oldest are dropped.
pub(super) const FLOORS_MAX: usize = 32;

/// The least memory between two busy periods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Floor {
    /// When it was first measured, since the agent first saw the container.
    pub(super) at: Duration,
    /// Jobs of the container that ended before.
    pub(super) jobs: u64,
    /// Memory.
    pub(super) bytes: u64,
}

/// Number of floors without which nothing is said.
pub(super) const FLOORS_MIN: usize = 8;
/// Minimum growth that counts, in bytes.
pub(super) const GROWTH_MIN_BYTES: f64 = (64 << 20) as f64;
/// Minimum growth that counts, as a share of the first floor.
const GROWTH_MIN_SHARE: f64 = 0.02;
/// Minimum step that counts as growth, in bytes.
pub(super) const STEP_MIN_BYTES: f64 = (1 << 20) as f64;
/// Minimum significance of the order of the floors, in standard deviations of Mann and Kendall's S for random order.
const ORDER_MIN_SIGMA: f64 = 3.3;
/// Minimum ratio of the growth to the noise: the median distance of the floors from the line.
const NOISE_RATIO: f64 = 8.0;
/// Maximum share of the growth that may have come back in between.
const FALL_MAX_SHARE: f64 = 0.2;
/// Minimum slope of the later half, as a share of the whole slope: memory that fills up to a level is no leak.
const LATE_MIN_SHARE: f64 = 0.6;

/// The trend, and whether it is a suspected leak. `None` with fewer than [`FLOORS_MIN`] floors.
pub(super) fn of(floors: &[Floor]) -> Option<(Trend, bool)> {
    if floors.len() < FLOORS_MIN {
        return None;
    }
    let by_job = slope_by(floors, |floor| floor.jobs as f64)?;
    let by_second = slope_by(floors, |floor| floor.at.as_secs_f64())?;
    let trend = Trend { bytes_per_job: by_job, bytes_per_hour: by_second * 3600.0 };
    Some((trend, is_leak(floors)))
}

fn is_leak(floors: &[Floor]) -> bool {
    let levels: Vec<f64> = floors.iter().map(|floor| floor.bytes as f64).collect();
    let (steps, slope) = ((levels.len() - 1) as f64, per_step(&levels));
    let growth = slope * steps;
    let rises = levels.windows(2).filter(|pair| pair[1] - pair[0] >= STEP_MIN_BYTES).count() as f64;
    growth >= GROWTH_MIN_BYTES.max(levels[0] * GROWTH_MIN_SHARE)
        && 2.0 * rises > steps
        && order_sigma(&levels) >= ORDER_MIN_SIGMA
        && growth >= NOISE_RATIO * noise(&levels, slope)
        && largest_fall(&levels) <= FALL_MAX_SHARE * growth
        && per_step(&levels[levels.len() / 2..]) >= LATE_MIN_SHARE * slope
}

/// Theil and Sen's slope: the median of the slopes of all pairs. `None` if no pair has different positions.
fn slope_by(floors: &[Floor], position: fn(&Floor) -> f64) -> Option<f64> {
    let pairs = floors.iter().enumerate().flat_map(|(index, one)| {
        floors[index + 1..].iter().filter_map(move |other| {
            let distance = position(other) - position(one);
            (distance > 0.0).then(|| (other.bytes as f64 - one.bytes as f64) / distance)
        })
    });
    median(pairs.collect())
}

/// Theil and Sen's slope per floor, in bytes.
fn per_step(levels: &[f64]) -> f64 {
    let pairs = levels.iter().enumerate().flat_map(|(index, one)| {
        levels[index + 1..]
            .iter()
            .zip(1_u32..)
            .map(move |(other, distance)| (other - one) / f64::from(distance))
    });
    median(pairs.collect()).unwrap_or(0.0)
}

/// How far the order of the levels is from a random one, in standard deviations; positive if they grow.
fn order_sigma(levels: &[f64]) -> f64 {
    let later = |index: usize| levels[index + 1..].iter();
    let sign = |one: f64, other: f64| f64::from(i8::from(other > one) - i8::from(other < one));
    let sum: f64 = levels
        .iter()
        .enumerate()
        .flat_map(|(index, one)| later(index).map(move |other| sign(*one, *other)))
        .sum();
    let count = levels.len() as f64;
    sum / (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt()
}

/// The median distance from the line with this slope, in bytes (MAD).
fn noise(levels: &[f64], per_step: f64) -> f64 {
    let above: Vec<f64> =
        levels.iter().zip(0_u32..).map(|(level, index)| level - per_step * f64::from(index)).collect();
    let line = median(above.clone()).unwrap_or(0.0);
    median(above.into_iter().map(|level| (level - line).abs()).collect()).unwrap_or(0.0)
}

/// The most that came back: the largest difference between a level and a lower one after it, in bytes.
fn largest_fall(levels: &[f64]) -> f64 {
    let mut highest = f64::NEG_INFINITY;
    levels.iter().fold(0.0, |fall, level| {
        highest = level.max(highest);
        f64::max(fall, highest - level)
    })
}

/// The upper median.
fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests;
