//! Durations in buckets that are at most 1.6 % wide, whatever their size; the longest exactly.

use std::time::Duration;

/// Buckets for each power of two, as a power of two.
const DETAIL_BITS: u32 = 6;
const DETAIL: usize = 1 << DETAIL_BITS;

/// How often which duration occurred.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    /// As long as its largest entry needs.
    counts: Vec<u64>,
    count: u64,
    longest_ns: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = bucket(ns);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.count += 1;
        self.longest_ns = self.longest_ns.max(ns);
    }

    pub(crate) fn add(&mut self, other: &Histogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, part)| *sum += part);
        self.count += other.count;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The duration, in microseconds, that `share` of all durations do not exceed; 0 where there is none.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        at.map_or(0.0, |at| middle_ns(at).min(self.longest_ns) as f64 / 1000.0)
    }

    pub(crate) fn longest_us(&self) -> f64 {
        self.longest_ns as f64 / 1000.0
    }
}

fn bucket(ns: u64) -> usize {
    let shift = (63 - (ns | 1).leading_zeros()).saturating_sub(DETAIL_BITS);
    // Below 2^58 buckets of 64 each: it fits any usize.
    shift as usize * DETAIL + (ns >> shift) as usize
}

fn middle_ns(bucket: usize) -> u64 {
    let shift = (bucket / DETAIL).saturating_sub(1);
    let top = (bucket - shift * DETAIL) as u64;
    (top << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_narrow_and_holds_its_own_middle() {
        for ns in (0..64).flat_map(|power| [1_u64 << power, (1 << power) + (1 << power) / 3]) {
            let middle = middle_ns(bucket(ns));
            assert_eq!(bucket(middle), bucket(ns), "{ns}");
            assert!(middle.abs_diff(ns) as f64 <= 0.016 * ns as f64, "{ns} {middle}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let (mut low, mut high) = (Histogram::default(), Histogram::default());
        (1..=500).for_each(|us| low.record(Duration::from_micros(us)));
        (501..=1000).for_each(|us| high.record(Duration::from_micros(us)));
        low.add(&high);
        assert!((low.quantile_us(0.5) - 500.0).abs() < 8.0);
        assert!((low.quantile_us(0.99) - 990.0).abs() < 16.0);
        assert!((low.longest_us() - 1000.0).abs() < f64::EPSILON);
    }

    #[test]
    fn nothing_recorded_is_zero() {
        assert!(Histogram::default().quantile_us(0.5).abs() < f64::EPSILON);
    }
}
