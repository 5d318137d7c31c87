use std::time::Duration;

use proptest::{
    collection::vec,
    prop_assert_eq,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::*;

const MIB: f64 = (1 << 20) as f64;
const GIB: f64 = 1024.0 * MIB;

/// Floors after one job each, a minute apart.
fn floors(levels: &[f64]) -> Vec<Floor> {
    let floor = |(level, index): (&f64, u64)| Floor {
        at: Duration::from_secs(60 * index),
        jobs: 2 + index,
        bytes: *level as u64,
    };
    levels.iter().zip(0..).map(floor).collect()
}

fn is_suspected(levels: &[f64]) -> bool {
    of(&floors(levels)).is_some_and(|(_, is_leak)| is_leak)
}

/// Number of levels after which a leak is first suspected; `None` if never.
fn first_suspected(levels: &[f64]) -> Option<usize> {
    (1..=levels.len()).find(|end| is_suspected(&levels[end.saturating_sub(FLOORS_MAX)..*end]))
}

fn sequence(count: u32, level: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..count).map(|index| level(f64::from(index))).collect()
}

#[test]
fn a_staircase_is_a_leak_from_the_eighth_floor_on() {
    assert_eq!(first_suspected(&sequence(40, |job| GIB + job * 200.0 * MIB)), Some(FLOORS_MIN));
    let (trend, _) = of(&floors(&sequence(9, |job| GIB + job * 200.0 * MIB))).unwrap();
    assert_eq!(trend, Trend { bytes_per_job: 200.0 * MIB, bytes_per_hour: 60.0 * 200.0 * MIB });
}

#[test]
fn small_steps_are_a_leak_once_they_add_up() {
    assert_eq!(first_suspected(&sequence(40, |job| GIB + job * 4.0 * MIB)), Some(17), "64 MiB in 16 steps");
    assert_eq!(first_suspected(&sequence(60, |job| GIB + job * MIB)), None, "31 MiB in 32 floors");
    // 2 % of 20 GiB are 410 MiB.
    assert_eq!(first_suspected(&sequence(40, |job| 20.0 * GIB + job * 20.0 * MIB)), Some(22));
}

#[test]
fn a_staircase_with_noise_is_a_leak() {
    let levels = sequence(32, |job| 2.0 * GIB + job * 40.0 * MIB + 60.0 * MIB * (job * 2.4).sin());
    let (trend, is_leak) = of(&floors(&levels)).unwrap();
    assert!(is_leak);
    assert!((trend.bytes_per_job - 40.0 * MIB).abs() < 4.0 * MIB, "{trend:?}");
}

#[test]
fn memory_that_comes_back_is_no_leak() {
    for period in 2..=7 {
        let levels = sequence(60, |job| GIB + (job % f64::from(period)) * 500.0 * MIB);
        assert_eq!(first_suspected(&levels), None, "a sawtooth of {period} jobs");
    }
    // A longer tooth looks like a leak until it ends.
    let levels = sequence(60, |job| GIB + (job % 20.0) * 500.0 * MIB);
    assert!(is_suspected(&levels[..12]));
    assert!((21..=60_usize).all(|end| !is_suspected(&levels[end.saturating_sub(FLOORS_MAX)..end])));
}

#[test]
fn memory_that_fills_up_to_a_level_is_no_leak() {
    let filling = |ratio: f64| sequence(40, move |job| GIB + 4.0 * GIB * (1.0 - ratio.powf(job)));
    for ratio in [0.3, 0.5, 0.75] {
        assert_eq!(first_suspected(&filling(ratio)), None, "the rest shrinks to {ratio} with each job");
    }
    let loaded_later = sequence(40, |job| if job < 10.0 { GIB } else { 4.0 * GIB });
    assert_eq!(first_suspected(&loaded_later), None, "one step");
    let thrice = sequence(40, |job| GIB * (1.0 + (job / 9.0).floor().min(3.0)));
    assert_eq!(first_suspected(&thrice), None, "three models, loaded one after the other");
}

#[test]
fn constant_and_shrinking_memory_is_no_leak() {
    assert_eq!(first_suspected(&sequence(40, |_| 4.0 * GIB)), None);
    assert_eq!(first_suspected(&sequence(40, |_| 0.0)), None);
    assert_eq!(first_suspected(&sequence(40, |job| 40.0 * GIB - job * GIB)), None);
    let (trend, _) = of(&floors(&sequence(9, |job| GIB - job * MIB))).unwrap();
    assert_eq!(trend.bytes_per_job, -MIB);
}

#[test]
fn slopes_are_per_job_and_per_hour_and_not_per_floor() {
    let mut floors = floors(&sequence(10, |job| GIB + job * 300.0 * MIB));
    for (floor, index) in floors.iter_mut().zip(0..) {
        (floor.jobs, floor.at) = (3 * index, Duration::from_secs(1800 * index));
    }
    let (trend, is_leak) = of(&floors).unwrap();
    assert_eq!((trend.bytes_per_job, trend.bytes_per_hour, is_leak), (100.0 * MIB, 600.0 * MIB, true));
}

#[test]
fn extreme_values_have_finite_slopes() {
    for levels in
        [sequence(32, |job| if job > 16.0 { u64::MAX as f64 } else { 0.0 }), vec![u64::MAX as f64; 9]]
    {
        let (trend, is_leak) = of(&floors(&levels)).unwrap();
        assert!(trend.bytes_per_job.is_finite() && trend.bytes_per_hour.is_finite() && !is_leak);
    }
    let mut at_once = floors(&sequence(9, |job| job * GIB));
    at_once.iter_mut().for_each(|floor| floor.at = Duration::ZERO);
    assert_eq!(of(&at_once), None, "no time has passed");
}

/// Random levels around a constant one. The amplitude is large, because below 64 MiB nothing is ever a leak.
#[test]
fn noise_around_a_level_is_no_leak() {
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let noise = (0.0..64.0 * GIB, 0.0..16.0 * GIB, vec(0.0..1.0, 40));
    let outcome = runner.run(&noise, |(level, amplitude, noise)| {
        let levels: Vec<f64> = noise.iter().map(|part| level + amplitude * part).collect();
        prop_assert_eq!(first_suspected(&levels), None);
        Ok(())
    });
    outcome.unwrap();
}
