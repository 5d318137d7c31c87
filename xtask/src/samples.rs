//! Statistics of a few dozen measurements: median, quantiles and the confidence interval of the median.

use serde_json::Value;

/// Bootstrap resamples for the confidence interval.
const DRAWS: usize = 2000;

/// Measurements in ascending order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The numbers of a JSON array; empty if the array is missing.
    pub(crate) fn of(array: &Value) -> Self {
        Self::new(array.as_array().into_iter().flatten().filter_map(Value::as_f64))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The quantile `share`; NaN without samples.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        self.0.get(at.min(last)).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        (self.quantile(0.5) + self.0.get(self.0.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN))
            / 2.0
    }

    /// The 95 % bootstrap confidence interval of the median. Deterministic for the same samples.
    pub(crate) fn interval(&self) -> (f64, f64) {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let medians = (0..DRAWS).map(|_| {
            let drawn = (0..self.0.len()).map(|_| self.0[draw() % self.0.len()]);
            Self::new(drawn.collect::<Vec<_>>()).median()
        });
        let medians = Self::new(medians.collect::<Vec<_>>());
        (medians.quantile(0.025), medians.quantile(0.975))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_depend_on_the_order() {
        assert_eq!(Samples::new([3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Samples::new([4.0, 1.0, 3.0, 2.0]).median(), 2.5);
        assert!(Samples::new([]).median().is_nan());
        assert_eq!(Samples::new([f64::NAN, 7.0]).median(), 7.0);
    }

    #[test]
    fn quantiles_are_measured_values() {
        let samples = Samples::new((1..=100).map(f64::from));
        assert_eq!(samples.quantile(0.99), 99.0);
        assert_eq!((samples.quantile(0.0), samples.quantile(1.0)), (1.0, 100.0));
    }

    #[test]
    fn the_interval_contains_the_median_and_narrows_with_more_samples() {
        let few = Samples::new((0..8).map(|i| f64::from(i % 4)));
        let many = Samples::new((0..400).map(|i| f64::from(i % 4)));
        let width = |samples: &Samples| samples.interval().1 - samples.interval().0;
        assert!(few.interval().0 <= few.median() && few.median() <= few.interval().1);
        assert!(width(&many) < width(&few));
    }

    #[test]
    fn a_missing_array_has_no_samples() {
        let report = serde_json::json!({ "start_s": [0.2, 0.1] });
        assert_eq!(Samples::of(&report["start_s"]).median(), 0.15000000000000002);
        assert_eq!(Samples::of(&report["nothing"]).len(), 0);
    }
}
