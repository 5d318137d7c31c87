//! The run-queue histogram of one container as SVG: a bar for each power of two of the wait, on a logarithmic scale, because
//! the rare long waits matter.

use std::fmt::Write as _;

use glassbox_ebpf::histogram::{BUCKETS, MAX_EXPONENT, MIN_EXPONENT, OVERFLOW, PER_OCTAVE};

use super::{Language, Request, language::say, quantity::short};
use crate::snapshot::{ContainerRow, scheduler::Histogram};

/// Number of bars if all are needed: the zero bucket, the octaves, and the overflow.
const BARS: usize = (MAX_EXPONENT - MIN_EXPONENT) as usize + 2;
/// Bars that are always drawn: up to 1 s.
const BARS_MIN: usize = (-MIN_EXPONENT) as usize + 1;
/// Size of a bar and of the space for the labels below, in units of the picture.
const WIDTH: usize = 20;
const HEIGHT: f64 = 120.0;
const LABELS: f64 = 20.0;
/// A label below every fifth bar: the bounds are a factor of 32 apart.
const LABEL_EVERY: usize = 5;

/// Writes the picture; nothing if no wait was counted.
pub(super) fn histogram(page: &mut String, row: &ContainerRow, request: &Request) {
    let language = request.language;
    let Some(waits) = row.scheduler.as_ref().map(|it| &it.waits) else { return };
    let Some(summary) = summary(waits, language) else { return };
    let title = language.pick("Run-queue latency", "运行队列延迟");
    let bars = bars(waits);
    let drawn = bars.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1).max(BARS_MIN);
    let highest = bars.iter().copied().max().unwrap_or_default();
    // Writing into a String cannot fail.
    let _ = write!(
        page,
        "<section aria-labelledby=waits><h2 id=waits>{title}</h2>\n<figure><svg role=img aria-labelledby=waited \
         viewBox=\"0 0 {} {}\">",
        drawn * WIDTH,
        HEIGHT + LABELS
    );
    for (place, count) in bars.iter().enumerate().take(drawn) {
        let left = place * WIDTH;
        if *count > 0 {
            let share = (*count as f64 + 1.0).ln() / (highest as f64 + 1.0).ln();
            let height = share * HEIGHT;
            let text = bar_text(place, *count, language);
            let _ = write!(
                page,
                "<rect x={} y={:.1} width={} height={height:.1}><title>{text}</title></rect>",
                left + 1,
                HEIGHT - height,
                WIDTH - 2
            );
        }
        if place % LABEL_EVERY == 0 {
            // The upper bound of a bar is at its right edge.
            let _ = write!(
                page,
                "<text x={} y={}>{}</text>",
                left + WIDTH,
                HEIGHT + LABELS - 5.0,
                short(upper(place))
            );
        }
    }
    let axis = say!(
        language,
        "Number of waits by duration, logarithmic, since the container was first seen.",
        "按时长统计的等待次数（对数坐标），自首次看到该容器起。"
    );
    let _ = writeln!(page, "</svg><figcaption id=waited>{summary} {axis}</figcaption></figure></section>");
}

/// Counts per power of two.
fn bars(waits: &Histogram) -> [u64; BARS] {
    let mut bars = [0_u64; BARS];
    for (bucket, count) in waits.buckets.iter().enumerate() {
        if let Some(bar) = bars.get_mut(bucket.div_ceil(PER_OCTAVE)) {
            *bar = bar.saturating_add(*count);
        }
    }
    bars
}

const _: () = assert!(OVERFLOW.div_ceil(PER_OCTAVE) == BARS - 1 && BUCKETS == OVERFLOW + 1);

/// Upper bound of a bar, in seconds; infinite for the last one.
fn upper(bar: usize) -> f64 {
    if bar + 1 == BARS { f64::INFINITY } else { 2_f64.powi(MIN_EXPONENT + bar as i32) }
}

fn bar_text(bar: usize, count: u64, language: Language) -> String {
    let (lower, upper) = (short(upper(bar.saturating_sub(1))), short(upper(bar)));
    match bar {
        0 => say!(language, "at most {upper}: {count}", "不超过 {upper}：{count}"),
        _ if bar + 1 == BARS => say!(language, "more than {lower}: {count}", "超过 {lower}：{count}"),
        _ => say!(language, "{lower} to {upper}: {count}", "{lower} 至 {upper}：{count}"),
    }
}

fn summary(waits: &Histogram, language: Language) -> Option<String> {
    let count = waits.count();
    let [half, most, all] = [0.5, 0.99, 1.0].map(|share| quantile(waits, share).map(short));
    let (half, most, all) = (half?, most?, all?);
    Some(say!(
        language,
        "Of {count} waits for a CPU, half took at most {half}, 99 % at most {most}, the longest at most {all}.",
        "{count} 次 CPU 等待中，一半不超过 {half}，99 % 不超过 {most}，最长不超过 {all}。"
    ))
}

/// The upper bound of the bucket that contains this share of the waits, in seconds. `None` without waits.
pub(super) fn quantile(waits: &Histogram, share: f64) -> Option<f64> {
    let count = waits.count();
    let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
    let mut sum = 0_u64;
    let bucket = waits.buckets.iter().position(|count| {
        sum = sum.saturating_add(*count);
        sum >= rank
    })?;
    let exponent = f64::from(MIN_EXPONENT) + bucket as f64 / PER_OCTAVE as f64;
    // The last bucket has no bound; the picture ends there.
    Some(2_f64.powf(exponent.min(f64::from(MAX_EXPONENT))))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use glassbox_ebpf::histogram::bucket;

    use super::*;
    use crate::snapshot::{identity::Identity, scheduler::SchedulerCounters};

    fn waits(durations_ns: &[(u64, u64)]) -> Histogram {
        let mut waits = Histogram::default();
        for (duration_ns, count) in durations_ns {
            waits.buckets[bucket(*duration_ns)] += count;
        }
        waits
    }

    fn picture(waits: Histogram) -> String {
        let mut row = ContainerRow::new(Arc::new(Identity::default()), SystemTime::UNIX_EPOCH);
        row.scheduler = Some(Box::new(SchedulerCounters { waits, ..SchedulerCounters::default() }));
        let mut page = String::new();
        histogram(&mut page, &row, &Request::default());
        page
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let waits = waits(&[(1_000, 98), (3_000_000, 1), (900_000_000, 1)]);
        let of = |share| short(quantile(&waits, share).unwrap());
        assert_eq!([of(0.5), of(0.99), of(1.0)], ["1.1 µs", "3.3 ms", "1.0 s"]);
        assert_eq!(quantile(&Histogram::default(), 0.5), None);
    }

    #[test]
    fn a_bar_is_drawn_for_each_power_of_two_with_waits() {
        let page = picture(waits(&[(500, 1), (1_000, 1_000), (1_900, 1), (40_000_000_000, 3)]));
        let titles: Vec<_> =
            page.split("<title>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
        assert_eq!(titles, ["at most 1.0 µs: 1", "1.0 µs to 1.9 µs: 1001", "32 s to 64 s: 3"]);
        assert!(page.contains("<text x=20 y=135>1.0 µs</text>"), "{page}");
        assert!(
            page.contains(
                "Of 1005 waits for a CPU, half took at most 1.1 µs, 99 % at most 1.1 µs, the longest"
            ),
            "{page}"
        );
        // The highest bar has the full height, and no bar leaves the picture.
        assert!(page.contains("y=0.0 width=18 height=120.0"), "{page}");
        let width: usize =
            page.split("viewBox=\"0 0 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(width, (6 - MIN_EXPONENT) as usize * WIDTH + WIDTH);
    }

    #[test]
    fn the_longest_waits_and_huge_counts_are_drawn_too() {
        let mut waits = Histogram::default();
        waits.buckets[OVERFLOW] = u64::MAX / 2;
        waits.buckets[OVERFLOW - 1] = u64::MAX / 2;
        let page = picture(waits);
        assert!(
            page.contains("more than 4096 s") && !page.contains("inf") && !page.contains("NaN"),
            "{page}"
        );
        assert_eq!(picture(Histogram::default()), "");
    }
}
