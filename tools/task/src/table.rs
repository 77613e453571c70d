//! The table at the end of a test run.

use std::fmt::Write;
use std::time::Duration;

/// How a suite ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    /// Killed: it took more than twice its budget.
    TimedOut,
    /// Not run, because something before it failed.
    NotRun,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) suite: &'static str,
    pub(crate) verdict: Verdict,
    /// Tests that passed.
    pub(crate) tests: u32,
    /// Tests that were left out.
    pub(crate) skipped: u32,
    pub(crate) took: Duration,
    pub(crate) budget: Duration,
}

impl Row {
    /// Whether the run as a whole may succeed.
    pub(crate) fn is_good(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    fn result(&self) -> &'static str {
        match self.verdict {
            Verdict::Passed if self.took > self.budget => "ok (slow)",
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::TimedOut => "TIMED OUT",
            Verdict::NotRun => "not run",
        }
    }
}

/// The rows as text with a heading, and a line that sums them up.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    let heading = ["suite", "result", "tests", "skipped", "seconds", "budget"];
    let [a, b, c, d, e, f] = heading;
    writeln!(text, "{a:<8} {b:<10} {c:>6} {d:>8} {e:>8} {f:>8}").expect("a String takes it all");
    for row in rows {
        let (seconds, minutes) = (row.took.as_secs_f64(), row.budget.as_secs_f64() / 60.0);
        let (suite, result, tests, skipped) = (row.suite, row.result(), row.tests, row.skipped);
        writeln!(
            text,
            "{suite:<8} {result:<10} {tests:>6} {skipped:>8} {seconds:>8.1} {minutes:>4.0} min"
        )
        .expect("a String takes it all");
    }
    let total: Duration = rows.iter().map(|row| row.took).sum();
    let bad: Vec<&str> = rows
        .iter()
        .filter(|row| !row.is_good())
        .map(|row| row.suite)
        .collect();
    let skipped: u32 = rows.iter().map(|row| row.skipped).sum();
    let verdict = if bad.is_empty() {
        "passed".to_owned()
    } else {
        format!("FAILED: {}", bad.join(", "))
    };
    let left_out = if skipped == 0 {
        String::new()
    } else {
        format!(", {skipped} tests SKIPPED")
    };
    writeln!(
        text,
        "{verdict}{left_out}, {:.0} s in all",
        total.as_secs_f64()
    )
    .expect("a String takes it all");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(suite: &'static str, verdict: Verdict, seconds: u64, skipped: u32) -> Row {
        Row {
            suite,
            verdict,
            tests: 7,
            skipped,
            took: Duration::from_secs(seconds),
            budget: Duration::from_secs(60),
        }
    }

    #[test]
    fn every_suite_has_a_line_and_the_last_one_tells_it_all() {
        let rows = [
            row("fmt", Verdict::Passed, 1, 0),
            row("unit", Verdict::Passed, 61, 2),
        ];
        let text = render(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("fmt      ok  "), "{text}");
        assert!(lines[2].contains("ok (slow)"), "{text}");
        assert_eq!(lines[3], "passed, 2 tests SKIPPED, 62 s in all");
        assert!(
            lines[1..3].iter().all(|line| line.len() == lines[0].len()),
            "{text}"
        );
    }

    #[test]
    fn what_failed_is_named() {
        let rows = [
            row("a", Verdict::Failed, 1, 0),
            row("b", Verdict::NotRun, 0, 0),
        ];
        assert!(render(&rows).ends_with("FAILED: a, b, 1 s in all\n"));
        assert!(!row("c", Verdict::TimedOut, 1, 0).is_good());
    }
}
