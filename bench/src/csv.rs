//! A row for each run, for spreadsheets and scripts. Units are in the names of the columns; a field
//! is empty where there is no value. The form is that of RFC 4180 with line feeds.

use crate::openloop::OpenLoop;
use crate::result::{CpuPerRequest, ResultFile, Run};

/// A column: its name, and what stands in it.
type Column = (&'static str, fn(&Row<'_>) -> String);

/// What a row is made from.
struct Row<'a> {
    file: &'a ResultFile,
    run: &'a Run,
}

const COLUMNS: [Column; 48] = [
    ("scenario", |row| row.run.scenario.name().to_owned()),
    ("target", |row| row.run.target.name().to_owned()),
    ("generator", |row| row.run.generator.name().to_owned()),
    ("connections", |row| row.run.connections.to_string()),
    ("rate_asked_per_s", |row| {
        let rate = row.run.rate_asked_per_s;
        rate.map(|rate| rate.to_string()).unwrap_or_default()
    }),
    ("arrivals", |row| {
        let arrivals = row.file.parameters.arrivals;
        arrivals
            .map(|arrivals| arrivals.name().to_owned())
            .unwrap_or_default()
    }),
    ("think_us", |row| row.file.parameters.think_us.to_string()),
    ("pipeline", |row| row.file.parameters.pipeline.to_string()),
    ("size_octets", |row| row.file.parameters.size.to_string()),
    ("valid", |row| row.run.valid.to_string()),
    ("rounds", |row| row.run.rounds.len().to_string()),
    ("requests", |row| requests(row.run).to_string()),
    ("rate_per_s", |row| row.run.rate_per_s.to_string()),
    ("goodput_bit_per_s", |row| {
        row.run.goodput_bit_per_s.to_string()
    }),
    ("latency_p50_us", |row| row.run.latency_us.p50.to_string()),
    ("latency_p90_us", |row| row.run.latency_us.p90.to_string()),
    ("latency_p99_us", |row| row.run.latency_us.p99.to_string()),
    ("latency_p999_us", |row| row.run.latency_us.p999.to_string()),
    ("latency_max_us", |row| row.run.latency_us.max.to_string()),
    ("latency_drowned", |row| row.run.drowned.join(" ")),
    ("service_p50_us", |row| {
        open(row, |open| open.service_us.p50)
    }),
    ("service_p99_us", |row| {
        open(row, |open| open.service_us.p99)
    }),
    ("lag_p99_us", |row| open(row, |open| open.lag_us.p99)),
    ("server_cpu_us_per_request", |row| {
        server(row, |cpu| cpu.total)
    }),
    ("server_user_us_per_request", |row| {
        server(row, |cpu| cpu.user)
    }),
    ("server_system_us_per_request", |row| {
        server(row, |cpu| cpu.system)
    }),
    ("server_softirq_us_per_request", |row| {
        server(row, |cpu| cpu.softirq)
    }),
    ("server_irq_us_per_request", |row| {
        server(row, |cpu| cpu.irq)
    }),
    ("server_busy_share", |row| server(row, |cpu| cpu.busy_share)),
    ("generator_cpu_us_per_request", |row| {
        row.run.generator_cpu.total.to_string()
    }),
    ("generator_user_us_per_request", |row| {
        row.run.generator_cpu.user.to_string()
    }),
    ("generator_system_us_per_request", |row| {
        row.run.generator_cpu.system.to_string()
    }),
    ("generator_softirq_us_per_request", |row| {
        row.run.generator_cpu.softirq.to_string()
    }),
    ("generator_irq_us_per_request", |row| {
        row.run.generator_cpu.irq.to_string()
    }),
    ("generator_busy_share", |row| {
        row.run.generator_cpu.busy_share.to_string()
    }),
    ("generator_work_share", |row| {
        row.run.generator_work_share.to_string()
    }),
    ("other_cpu_share", |row| optional(row.run.other_cpu_share)),
    ("errors_not_opened", |row| {
        row.run.errors.not_opened.to_string()
    }),
    ("errors_closed", |row| row.run.errors.closed.to_string()),
    ("errors_mismatched", |row| {
        row.run.errors.mismatched.to_string()
    }),
    ("errors_stalled", |row| row.run.errors.stalled.to_string()),
    ("failure", |row| {
        row.run.failure().unwrap_or_default().to_owned()
    }),
    ("target_xdp_mode", |row| {
        row.run.target_xdp_mode.clone().unwrap_or_default()
    }),
    ("generator_xdp_mode", |row| {
        row.run.generator_xdp_mode.clone().unwrap_or_default()
    }),
    ("started_unix_s", |row| {
        row.file.environment.started_unix_s.to_string()
    }),
    ("byway_version", |row| {
        row.file.environment.byway_version.clone()
    }),
    ("kernel", |row| row.file.environment.kernel.clone()),
    ("cpu_model", |row| row.file.environment.cpu_model.clone()),
];

/// The names of the columns, and a row for each run.
pub fn rows(file: &ResultFile) -> String {
    let mut text = line(COLUMNS.iter().map(|(name, _)| (*name).to_owned()));
    for run in &file.runs {
        let row = Row { file, run };
        text.push_str(&line(COLUMNS.iter().map(|(_, value)| value(&row))));
    }
    text
}

fn line(fields: impl Iterator<Item = String>) -> String {
    let fields: Vec<String> = fields.map(|field| quoted(&field)).collect();
    fields.join(",") + "\n"
}

fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

fn requests(run: &Run) -> u64 {
    let reports = run.rounds.iter().filter_map(|round| round.report.as_ref());
    reports.map(|report| report.requests).sum()
}

fn server(row: &Row<'_>, pick: fn(&CpuPerRequest) -> f64) -> String {
    optional(row.run.server_cpu.as_ref().map(pick))
}

fn open(row: &Row<'_>, pick: fn(&OpenLoop) -> f64) -> String {
    optional(row.run.open_loop.as_ref().map(pick))
}

fn optional(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Round;
    use crate::result::tests::sample;

    #[test]
    fn the_form_is_a_promise() {
        let mut file = sample();
        file.environment.started_unix_s = 1_795_442_700;
        file.environment.byway_version = "1.2.3".to_owned();
        file.environment.kernel = "6.18.1".to_owned();
        file.environment.cpu_model = "Processor, \"fast\"".to_owned();
        file.runs[2].target_xdp_mode = Some("native".to_owned());
        file.runs[2].drowned = vec!["p999".to_owned(), "max".to_owned()];
        file.runs[3].server_cpu = None;
        file.runs[3].other_cpu_share = None;
        file.runs[4].rounds[1] = Round::failed(1, "no answer\nat all".to_owned());
        assert_eq!(rows(&file), include_str!("../tests/golden/runs.csv"));
    }

    #[test]
    fn an_open_loop_has_its_columns() {
        let file = crate::curve::tests::sweep();
        let text = rows(&file);
        let mut lines = text
            .lines()
            .map(|line| line.split(',').collect::<Vec<&str>>());
        let names = lines.next().unwrap();
        let at = |row: &[&str], name: &str| -> String {
            let column = names.iter().position(|other| *other == name).unwrap();
            row[column].to_owned()
        };
        let first = lines.next().unwrap();
        let run = &file.runs[0];
        let open = run.open_loop.as_ref().unwrap();
        for (name, value) in [
            (
                "rate_asked_per_s",
                run.rate_asked_per_s.unwrap().to_string(),
            ),
            ("arrivals", "poisson".to_owned()),
            ("service_p50_us", open.service_us.p50.to_string()),
            ("lag_p99_us", open.lag_us.p99.to_string()),
        ] {
            assert_eq!(at(&first, name), value, "{name}");
        }
    }

    #[test]
    fn every_row_has_every_column_and_names_are_unique() {
        let file = sample();
        let text = rows(&file);
        let names: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        assert_eq!(names.len(), COLUMNS.len());
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        assert_eq!(text.lines().count(), 1 + file.runs.len());
    }
}
