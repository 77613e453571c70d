//! Logs of interval histograms, in the form that HdrHistogram's log readers and processors use:
//! version 1.3, an interval a round, tagged with its run, V2 with deflate in base64.

use crate::result::{ResultFile, Round};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const VERSION: &str = "[Histogram log format version 1.3]";
const LEGEND: &str = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
                      \"Interval_Compressed_Histogram\"\n";

/// The column for people, `Interval_Max`, is in milliseconds, as HdrHistogram's own logs have it.
const NANOS_PER_MILLI: f64 = 1e6;

/// One interval: a round that was measured.
struct Interval<'a> {
    tag: String,
    /// Since the start of the measurement.
    start: Duration,
    round: &'a Round,
}

/// The log of all rounds that were measured, in the order of time. Values are nanoseconds.
pub fn log(file: &ResultFile) -> String {
    let mut text = Vec::new();
    write_all(&mut text, file);
    String::from_utf8(text).expect("the log is made of ASCII and of text that was UTF-8")
}

fn write_all(text: &mut Vec<u8>, file: &ResultFile) {
    const TO_MEMORY: &str = "writing to memory cannot fail";
    let started = UNIX_EPOCH + Duration::from_secs(file.environment.started_unix_s);
    head(text, file, started);
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(NANOS_PER_MILLI)
        .begin_log_with(text, &mut serializer)
        .expect(TO_MEMORY);
    for interval in intervals(file) {
        let (Some(report), Some(histogram)) = (&interval.round.report, interval.round.histogram())
        else {
            continue;
        };
        let length = Duration::from_nanos(report.elapsed_ns);
        log.write_histogram(&histogram, interval.start, length, Tag::new(&interval.tag))
            .expect(TO_MEMORY);
    }
}

/// What stands before the intervals. The legend is no comment, so that the writer has no way to
/// write it.
fn head(text: &mut Vec<u8>, file: &ResultFile, started: SystemTime) {
    let environment = &file.environment;
    let mut serializer = V2DeflateSerializer::new();
    IntervalLogWriterBuilder::new()
        .add_comment(&format!(
            "[Logged with byway {}: {}]",
            environment.byway_version,
            environment.argv.join(" ")
        ))
        .add_comment(VERSION)
        .add_comment("[Latencies in nanoseconds; Interval_Max in milliseconds]")
        .with_start_time(started)
        .with_base_time(started)
        .begin_log_with(text, &mut serializer)
        .expect("writing to memory cannot fail");
    text.extend_from_slice(LEGEND.as_bytes());
}

fn intervals(file: &ResultFile) -> Vec<Interval<'_>> {
    let started = file.environment.started_unix_s as f64;
    let since_start = |round: &Round| {
        let since = round.began_unix_s.map_or(0.0, |began| began - started);
        Duration::try_from_secs_f64(since).unwrap_or_default()
    };
    let mut intervals: Vec<Interval<'_>> = file
        .runs
        .iter()
        .flat_map(|run| {
            run.rounds.iter().map(move |round| Interval {
                tag: run.file_stem(),
                start: since_start(round),
                round,
            })
        })
        .collect();
    intervals.sort_by_key(|interval| interval.start);
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::sample;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    /// A result whose rounds began 10, 20, ... seconds after the start, as interleaving has it:
    /// round by round and not run by run.
    fn timed() -> ResultFile {
        let mut file = sample();
        file.environment.started_unix_s = 1_795_442_700;
        file.environment.argv = vec!["byway".to_owned(), "bench".to_owned()];
        let runs = file.runs.len();
        for (place, run) in file.runs.iter_mut().enumerate() {
            for (number, round) in run.rounds.iter_mut().enumerate() {
                let seconds = 10 * (1 + place + number * runs) as u32;
                round.began_unix_s = Some(1_795_442_700.0 + f64::from(seconds));
            }
        }
        file
    }

    #[test]
    fn the_crates_own_reader_reads_back_what_was_measured() {
        let file = timed();
        let text = log(&file);
        let entries: Vec<LogEntry<'_>> = IntervalLogIterator::new(text.as_bytes())
            .map(|entry| entry.expect("every line is one"))
            .collect();
        let start = Duration::from_secs(1_795_442_700);
        assert_eq!(entries[0], LogEntry::StartTime(start));
        assert_eq!(entries[1], LogEntry::BaseTime(start));
        let mut seen = Vec::new();
        for (index, entry) in entries[2..].iter().enumerate() {
            let LogEntry::Interval(interval) = entry else {
                panic!("an interval was expected");
            };
            let (run, number) = (&file.runs[index % 6], index / 6);
            assert_eq!(interval.tag().unwrap().as_str(), run.file_stem());
            let begins = Duration::from_secs(10 * (index as u64 + 1));
            assert_eq!(interval.start_timestamp(), begins);
            assert_eq!(interval.duration(), Duration::from_secs(1));
            let histogram = crate::stats::decode(interval.encoded_histogram()).unwrap();
            assert_eq!(Some(&histogram), run.rounds[number].histogram().as_ref());
            let max_ms = histogram.max() as f64 / 1e6;
            assert!((interval.max() - max_ms).abs() < 0.001, "in milliseconds");
            seen.push(histogram);
        }
        assert_eq!(seen.len(), 18);
        assert!(
            seen.iter()
                .all(|histogram: &Histogram<u64>| !histogram.is_empty())
        );
    }

    #[test]
    fn the_head_is_what_other_readers_look_for() {
        let text = log(&timed());
        let lines: Vec<&str> = text.lines().take(7).collect();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            lines[0],
            format!("#[Logged with byway {version}: byway bench]")
        );
        assert_eq!(
            lines[1..],
            [
                "#[Histogram log format version 1.3]",
                "#[Latencies in nanoseconds; Interval_Max in milliseconds]",
                "#[StartTime: 1795442700.000 (seconds since epoch)]",
                "#[BaseTime: 1795442700.000 (seconds since epoch)]",
                "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
                 \"Interval_Compressed_Histogram\"",
                "#[MaxValueDivisor: 1000000.000]",
            ]
        );
        let first = text.lines().find(|line| line.starts_with("Tag=")).unwrap();
        assert!(
            first.starts_with("Tag=rr-1-kernel-client-linux-blocking,10.000,1.000,"),
            "{first}"
        );
        let cookie = first.rsplit(',').next().unwrap();
        assert!(cookie.starts_with("HISTFAAAA"), "V2 with deflate: {cookie}");
    }

    #[test]
    fn a_round_that_failed_has_no_interval() {
        let mut file = timed();
        file.runs[0].rounds[0] = Round::failed(0, "no answer".to_owned());
        let text = log(&file);
        let tags = text.lines().filter(|line| line.starts_with("Tag=")).count();
        assert_eq!(tags, 17);
    }
}
