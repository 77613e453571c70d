//! Percentile spectra as text, in the form that wrk2 and HdrHistogram's plotting pages use: four
//! columns, value in milliseconds, then three lines of summary.

use hdrhistogram::Histogram;
use std::fmt::{self, Write};

/// Lines for each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 5;

const NANOS_PER_MILLI: f64 = 1e6;

/// The spectrum of a histogram of nanoseconds.
pub fn spectrum(histogram: &Histogram<u64>) -> String {
    let mut text = String::with_capacity(8 << 10);
    write_lines(&mut text, histogram)
        .and_then(|()| write_trailer(&mut text, histogram))
        .expect("writing to a String cannot fail");
    text
}

fn write_lines(text: &mut String, histogram: &Histogram<u64>) -> fmt::Result {
    writeln!(
        text,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    for value in histogram.iter_quantiles(TICKS_PER_HALF) {
        count += value.count_since_last_iteration();
        let quantile = value.quantile_iterated_to();
        let milliseconds = value.value_iterated_to() as f64 / NANOS_PER_MILLI;
        write!(text, "{milliseconds:>12.6} {quantile:>14.12} {count:>10} ")?;
        match 1.0 / (1.0 - quantile) {
            inverse if inverse.is_finite() => writeln!(text, "{inverse:>14.2}")?,
            _ => writeln!(text, "{:>14}", "inf")?,
        }
    }
    Ok(())
}

fn write_trailer(text: &mut String, histogram: &Histogram<u64>) -> fmt::Result {
    let sub_buckets = (2 * 10u32.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let (mean, deviation) = (histogram.mean(), histogram.stdev());
    let (max, count, buckets) = (histogram.max(), histogram.len(), histogram.buckets());
    let [mean, deviation, max] = [mean, deviation, max as f64].map(|ns| ns / NANOS_PER_MILLI);
    writeln!(
        text,
        "#[Mean    = {mean:>12.6}, StdDeviation   = {deviation:>12.6}]"
    )?;
    writeln!(
        text,
        "#[Max     = {max:>12.6}, Total count    = {count:>12}]"
    )?;
    writeln!(
        text,
        "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousand() -> String {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for micros in 1..=1000 {
            histogram.record(micros * 1000).unwrap();
        }
        spectrum(&histogram)
    }

    #[test]
    fn data_lines_have_four_columns_that_only_grow() {
        let text = thousand();
        let mut last = [0.0; 4];
        let mut rows = 0;
        for line in text.lines().skip(2).filter(|line| !line.starts_with('#')) {
            let fields: Vec<f64> = line
                .split_ascii_whitespace()
                .map(|field| field.parse().unwrap())
                .collect();
            assert_eq!(fields.len(), 4, "{line}");
            assert!(
                fields.iter().zip(&last).all(|(now, before)| now >= before),
                "{line}"
            );
            last.copy_from_slice(&fields);
            rows += 1;
        }
        assert!(rows > 20);
        assert_eq!((last[1], last[2], last[3]), (1.0, 1000.0, f64::INFINITY));
        assert!(
            (last[0] - 1.0).abs() < 0.001,
            "1000 us are 1 ms, got {}",
            last[0]
        );
    }

    #[test]
    fn the_form_is_a_promise() {
        let mut histogram = crate::stats::latencies();
        for (value, count) in [(4_900, 88), (23_000, 11), (1_000_000_000, 1)] {
            histogram.record_n(value, count).unwrap();
        }
        let golden = include_str!("../tests/golden/spectrum.hgrm");
        assert_eq!(spectrum(&histogram), golden);
    }

    #[test]
    fn the_median_line_is_the_median() {
        let text = thousand();
        let median = text
            .lines()
            .find(|line| line.contains(" 0.500000000000 "))
            .unwrap();
        let value: f64 = median
            .split_ascii_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!((value - 0.5).abs() < 0.001, "{median}");
    }

    #[test]
    fn the_trailer_has_the_three_lines() {
        let text = thousand();
        let trailer: Vec<&str> = text.lines().rev().take(3).collect();
        assert!(trailer[2].starts_with("#[Mean    = ") && trailer[2].contains("StdDeviation"));
        assert!(trailer[1].contains("Total count    =         1000]"));
        assert!(trailer[0].starts_with("#[Buckets = ") && trailer[0].ends_with("2048]"));
    }
}
