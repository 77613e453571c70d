//! The report: one HTML file that needs nothing else, no network, no script.

mod bars;
mod curve;
mod latency;
mod rows;
mod svg;

use crate::curve::curves as open_loops;
use crate::environment::{Environment, utc};
use crate::noise::Noise;
use crate::openloop::describe;
use crate::result::{Comparison, Outcome, Parameters, ResultFile, Run};
use crate::scenario::{Generator, Target};
use crate::stats::Ratio;
use crate::table::{connections, grouped};
use crate::verdict::{times, verdicts};
use crate::warnings::{disturbed, partial};
use std::fmt::{self, Write};
use svg::escape;

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn html(file: &ResultFile) -> String {
    let mut page = String::with_capacity(128 << 10);
    write_page(&mut page, file).expect("writing to a String cannot fail");
    page
}

fn write_page(page: &mut String, file: &ResultFile) -> fmt::Result {
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>",
        escape(&headline(file))
    )?;
    header(page, file)?;
    rates(page, file)?;
    curves(page, file)?;
    latencies(page, file)?;
    processors(page, file)?;
    rows::section(page, file)?;
    notes(page, file)?;
    environment(page, file)?;
    data(page, file)?;
    writeln!(page, "</body>\n</html>")
}

/// The first verdict, or what was measured where nothing was compared.
fn headline(file: &ResultFile) -> String {
    match verdicts(file).into_iter().next() {
        Some(verdict) => verdict.sentence,
        None => match file.runs.first() {
            Some(run) if run.open_loop.is_some() => open_headline(file, run),
            Some(run) => format!(
                "{} answers {} requests a second with {}.",
                run.target.title(),
                grouped(run.rate_per_s),
                connections(run.connections)
            ),
            None => "Nothing was measured.".to_owned(),
        },
    }
}

/// What was asked for in an open loop, and how much of it counts.
fn open_headline(file: &ResultFile, first: &Run) -> String {
    let rates = || file.runs.iter().filter_map(|run| run.rate_asked_per_s);
    let (low, high) = (rates().min().unwrap_or(0), rates().max().unwrap_or(0));
    let asked = match low == high {
        true => grouped(low as f64),
        false => format!("{} to {}", grouped(low as f64), grouped(high as f64)),
    };
    let valid = file.runs.iter().filter(|run| run.valid).count();
    let count = match valid == file.runs.len() {
        true => String::new(),
        false => format!(" {valid} of {} runs count.", file.runs.len()),
    };
    format!(
        "Latency at {asked} requests a second with {}.{count}",
        connections(first.connections)
    )
}

fn header(page: &mut String, file: &ResultFile) -> fmt::Result {
    let environment = &file.environment;
    writeln!(
        page,
        "<header>\n<p class=\"kicker\">Byway {} &middot; request/response of {} octets, {} &middot; \
         {}</p>\n<h1>{}</h1>",
        escape(&environment.byway_version),
        file.parameters.size,
        escape(&describe(&file.parameters)),
        utc(environment.started_unix_s),
        escape(&headline(file))
    )?;
    for warning in [partial(file), disturbed(file)].into_iter().flatten() {
        writeln!(page, "<p class=\"alarm\">{}</p>", escape(&warning))?;
    }
    tiles(page, file)?;
    let rest: Vec<_> = verdicts(file).into_iter().skip(1).collect();
    if !rest.is_empty() {
        writeln!(page, "<ul>")?;
        for verdict in rest {
            writeln!(page, "<li>{}</li>", escape(&verdict.sentence))?;
        }
        writeln!(page, "</ul>")?;
    }
    writeln!(page, "</header>")
}

/// A tile for each group: the ratios of rate to both Linux targets, large.
fn tiles(page: &mut String, file: &ResultFile) -> fmt::Result {
    let mut tiles = String::new();
    for group in file.groups() {
        let Some(byway) = group.iter().find(|run| run.target == Target::Byway) else {
            continue;
        };
        let ratios: String = [
            (Target::LinuxBlocking, "blocking"),
            (Target::LinuxSpinning, "spinning"),
        ]
        .iter()
        .filter_map(|(linux, name)| {
            Some(tile_ratio(
                file.comparison("rate_per_s", byway, *linux)?,
                name,
            ))
        })
        .collect();
        if !ratios.is_empty() {
            writeln!(
                tiles,
                "<div class=\"tile\"><h3>{} <small>{}</small></h3><div>{ratios}</div></div>",
                connections(byway.connections),
                asker(byway.generator)
            )?;
        }
    }
    if tiles.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<p class=\"over\">Rate of Byway divided by that of Linux, blocking and spinning</p>\n\
         <div class=\"tiles\">\n{tiles}</div>"
    )
}

fn tile_ratio(comparison: &Comparison, name: &str) -> String {
    let Ratio { ratio, low, high } = comparison.ratio;
    let (class, large) = match comparison.outcome {
        Outcome::OfBetter => ("win", format!("{}&thinsp;&times;", times(ratio))),
        Outcome::AgainstBetter => ("loss", format!("{}&thinsp;&times;", times(ratio))),
        Outcome::NoDifference => ("none", "no diff.".to_owned()),
        Outcome::TooFewRounds => ("none", "?".to_owned()),
    };
    let wins = if comparison.outcome == Outcome::AgainstBetter {
        "Linux wins"
    } else {
        name
    };
    format!(
        "<p class=\"{class}\"><b>{large}</b><span>{wins}</span><span>{} to {}</span></p>",
        times(low),
        times(high)
    )
}

fn asker(generator: Generator) -> &'static str {
    match generator {
        Generator::Lean | Generator::Byway => "AF_XDP clients",
        Generator::Kernel => "kernel-socket clients",
    }
}

/// A picture for each group that has one.
fn figures(
    page: &mut String,
    file: &ResultFile,
    draw: impl Fn(&[&Run]) -> Option<String>,
) -> fmt::Result {
    writeln!(page, "<div class=\"grid\">")?;
    for group in file.groups() {
        if let (Some(picture), Some(first)) = (draw(&group), group.first()) {
            writeln!(
                page,
                "<figure><h3>{}{} <small>{}</small></h3>\n{picture}</figure>",
                connections(first.connections),
                at_rate(first),
                asker(first.generator)
            )?;
        }
    }
    writeln!(page, "</div>")
}

/// The rate of an open loop, after the connections.
fn at_rate(run: &Run) -> String {
    match run.rate_asked_per_s {
        Some(rate) => format!(" at {} a second", grouped(rate as f64)),
        None => String::new(),
    }
}

/// What open loops found: the curve of latency over throughput, and its figures.
fn curves(page: &mut String, file: &ResultFile) -> fmt::Result {
    let curves = open_loops(file);
    if curves.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<h2>Latency over throughput</h2>\n<p class=\"lead\">An open loop: requests leave at their \
         time, whether the server keeps up or not. Response times count from when a request was to \
         leave, service times from when it did. Lag is how much later than intended the generator \
         looked at a request. A hollow dot is a run that does not count, because the rate was not \
         reached or the generator was late.</p>"
    )?;
    for curve in curves {
        let (Some(picture), Some(first)) = (curve::chart(&curve), curve.first()) else {
            continue;
        };
        writeln!(
            page,
            "<figure class=\"single\"><h3>{} <small>{}</small></h3>\n{picture}</figure>",
            connections(first.connections),
            asker(first.generator)
        )?;
        curve::table(page, &curve)?;
    }
    Ok(())
}

fn rates(page: &mut String, file: &ResultFile) -> fmt::Result {
    if !file.runs.is_empty() && file.runs.iter().all(|run| run.open_loop.is_some()) {
        // They are what was asked for.
        return Ok(());
    }
    writeln!(
        page,
        "<h2>Requests a second</h2>\n<p class=\"lead\">Medians of {} rounds; the thin lines reach \
         from the slowest round to the fastest. Longer is better; all bars have one scale.</p>",
        file.parameters.rounds
    )?;
    let longest = bars::longest_rate(&file.runs);
    figures(page, file, |group| bars::rates(group, longest))
}

fn latencies(page: &mut String, file: &ResultFile) -> fmt::Result {
    let from = match file.parameters.arrivals {
        None => "the time a request is handed to the client's stack",
        Some(_) => "the time a request was to leave",
    };
    writeln!(
        page,
        "<h2>Latency</h2>\n<p class=\"lead\">How long the fastest share of the requests took, from \
         {from} until its whole response is back and verified. Lower is better. Each nine of the share takes as much room as the one before. \
         Lines are medians over the rounds, shades reach from the best round to the worst; a curve \
         ends where fewer than ten requests of a round lie beyond.</p>"
    )?;
    figures(page, file, latency::chart)
}

fn processors(page: &mut String, file: &ResultFile) -> fmt::Result {
    writeln!(
        page,
        "<h2>Processor time a request</h2>\n<p class=\"lead\">All that the processor of each side \
         did in the measured interval, idle time excepted, divided by the requests. A loop that \
         spins is never idle: its bar is the interval divided by the requests.</p>\n{}",
        bars::cpu_legend()
    )?;
    figures(page, file, bars::cpu)
}

fn notes(page: &mut String, file: &ResultFile) -> fmt::Result {
    if file.warnings.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<h2>Before you use these figures</h2>\n<ul class=\"notes\">"
    )?;
    for warning in &file.warnings {
        writeln!(page, "<li>{}</li>", escape(warning))?;
    }
    writeln!(page, "</ul>")
}

fn environment(page: &mut String, file: &ResultFile) -> fmt::Result {
    writeln!(page, "<h2>Where this was measured</h2>\n<dl>")?;
    for (name, value) in facts(file) {
        writeln!(
            page,
            "<dt>{}</dt><dd>{}</dd>",
            escape(&name),
            escape(&value)
        )?;
    }
    writeln!(
        page,
        "</dl>\n<h2>Measure it again</h2>\n<pre>{}</pre>",
        escape(&command_line(&file.environment))
    )
}

/// The environment and the parameters as names and values.
fn facts(file: &ResultFile) -> Vec<(String, String)> {
    let parameters = &file.parameters;
    let mut facts = machine(&file.environment);
    facts.extend([
        (
            "Method".to_owned(),
            format!(
                "{} rounds, interleaved and in alternating order; each {} s after {} s of warm-up, \
                 with a fresh server and a fresh client",
                parameters.rounds, parameters.duration_s, parameters.warmup_s
            ),
        ),
        ("Placement".to_owned(), placement(parameters)),
    ]);
    facts.extend(xdp_modes(file).map(|modes| ("XDP mode".to_owned(), modes)));
    facts.push(("Offloads".to_owned(), offloads(file)));
    for interface in &file.environment.interfaces {
        let mtu = interface
            .mtu
            .map_or("unknown".to_owned(), |mtu| mtu.to_string());
        facts.push((
            format!("Interface of the {}", interface.role),
            format!(
                "{}, MTU {mtu}; at the start: {}",
                interface.name,
                interface.offloads_line()
            ),
        ));
    }
    for end in file.runs.first().map_or(&[][..], |run| &run.interfaces) {
        facts.extend(seen_offloads(file, &end.role));
    }
    for tcp in &file.environment.tcp {
        facts.push((format!("TCP of the {}'s kernel", tcp.role), tcp.line()));
    }
    facts.extend(kernel_facts(&file.environment));
    let noise = file.environment.noise.as_ref();
    facts.extend(
        noise
            .and_then(Noise::sentence)
            .map(|text| ("Noise".to_owned(), text)),
    );
    facts
}

/// What it ran on, and what built it.
fn machine(environment: &Environment) -> Vec<(String, String)> {
    let Environment {
        kernel,
        cpu_model,
        cpus,
        ..
    } = environment;
    let unknown = || "unknown".to_owned();
    let cores = environment
        .cores
        .map_or_else(unknown, |cores| cores.to_string());
    let below = match environment.virtual_machine {
        Some(true) => "virtual machine",
        Some(false) => "no hypervisor",
        None => "with or without a hypervisor",
    };
    let version = environment.kernel_version.clone().unwrap_or_default();
    let rustc = environment.rustc_version.clone().unwrap_or_else(unknown);
    vec![
        (
            "Program".to_owned(),
            format!("Byway {}, built by {rustc}", environment.byway_version),
        ),
        ("Kernel".to_owned(), format!("Linux {kernel} {version}")),
        (
            "Processor".to_owned(),
            format!("{cpu_model}, {cpus} usable, cores: {cores}, {below}"),
        ),
    ]
}

/// The offloads that one end had while runs went on, a line for each way they were set.
fn seen_offloads(file: &ResultFile, role: &str) -> Option<(String, String)> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for run in &file.runs {
        let Some(end) = run.interfaces.iter().find(|end| end.role == role) else {
            continue;
        };
        let (line, name) = (end.offloads_line(), run.target.name());
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => lines.push((line, vec![name])),
        }
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|(line, names)| format!("{line} ({})", names.join(", ")))
        .collect();
    (!lines.is_empty()).then(|| (format!("During the runs, {role}"), lines.join("; ")))
}

/// Where the two sides ran.
fn placement(parameters: &Parameters) -> String {
    let pinned = |cpu: Option<usize>| match cpu {
        Some(cpu) => format!("processor {cpu}"),
        None => "not on this machine".to_owned(),
    };
    let (server, client) = (
        pinned(parameters.server_cpu),
        pinned(parameters.generator_cpu),
    );
    format!("server: {server}; client: {client}")
}

/// The XDP modes that were in use, if any.
fn xdp_modes(file: &ResultFile) -> Option<String> {
    let mut modes: Vec<&str> = file
        .runs
        .iter()
        .flat_map(|run| {
            [
                run.target_xdp_mode.as_deref(),
                run.generator_xdp_mode.as_deref(),
            ]
        })
        .flatten()
        .collect();
    modes.sort_unstable();
    modes.dedup();
    (!modes.is_empty()).then(|| modes.join(", "))
}

fn kernel_facts(environment: &Environment) -> Vec<(String, String)> {
    let unknown = || "unknown".to_owned();
    let mitigations: Vec<String> = environment
        .mitigations
        .iter()
        .map(|(name, state)| format!("{}: {state}", name.replace('_', " ")))
        .collect();
    vec![
        (
            "Clock source".to_owned(),
            environment.clocksource.clone().unwrap_or_else(unknown),
        ),
        (
            "Frequency governor".to_owned(),
            environment
                .governor
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
        ),
        (
            "Transparent huge pages".to_owned(),
            environment
                .transparent_huge_pages
                .clone()
                .unwrap_or_else(unknown),
        ),
        ("Mitigations".to_owned(), mitigations.join("; ")),
    ]
}

/// How checksum and segmentation offloads were set for each kind of run.
fn offloads(file: &ResultFile) -> String {
    let mut lines: Vec<String> = Vec::new();
    for run in &file.runs {
        let Some(offloads) = &run.offloads else {
            continue;
        };
        let line = format!(
            "{} asked by {}: client {}, server {}",
            if run.target.is_linux() {
                "Linux"
            } else {
                run.target.title()
            },
            asker(run.generator),
            offloads.client,
            offloads.server
        );
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    match lines.is_empty() {
        true => "not ours to set".to_owned(),
        false => lines.join("; "),
    }
}

/// The command line, quoted for a shell.
fn command_line(environment: &Environment) -> String {
    let plain = |word: &&str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./:,=%+@".contains(c))
    };
    let words: Vec<String> = environment
        .argv
        .iter()
        .map(|word| match Some(word.as_str()).filter(plain) {
            Some(word) => word.to_owned(),
            None => format!("'{}'", word.replace('\'', "'\\''")),
        })
        .collect();
    words.join(" ")
}

/// The result within the page, for programs, without the histograms, which are the bulk of it.
fn data(page: &mut String, file: &ResultFile) -> fmt::Result {
    let mut lean = file.clone();
    for round in lean.runs.iter_mut().flat_map(|run| &mut run.rounds) {
        if let Some(report) = &mut round.report {
            report.histogram.clear();
            if let Some(open) = &mut report.open {
                open.service_histogram.clear();
                open.lag_histogram.clear();
            }
        }
    }
    let json = serde_json::to_string(&lean).expect("all keys are strings");
    // Within a script element only its end tag and comments mean something.
    let json = json.replace('<', "\\u003c");
    writeln!(
        page,
        "<footer>Made by byway {}. The figures of every round are in this page as JSON, in the \
         element <code>#result</code>; <code>result.json</code> has the histograms as well.\
         </footer>\n<script type=\"application/json\" id=\"result\">{json}</script>",
        escape(&file.environment.byway_version)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::sample;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = html(&sample());
        assert!(page.len() < 1_000_000);
        for outside in ["http://", "https://", "src=", "@import", "url(", "<link"] {
            let found = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            assert!(!found.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_page_has_all_parts_and_is_well_formed() {
        let page = html(&sample());
        for part in [
            "Requests a second",
            "Latency",
            "Processor time",
            "Before you use",
            "again",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(
            page.matches("<figure>").count(),
            6,
            "three pictures for two groups"
        );
        assert!(page.contains("a closed loop &amp; its &lt;limits&gt;"));
        let body = &page[page.find("<body>").unwrap()..page.find("<script").unwrap()];
        svg::tests::assert_well_formed(&format!("{body}</body>"));
    }

    #[test]
    fn open_loops_have_their_curve() {
        let page = html(&crate::curve::tests::sweep());
        assert!(page.contains("Latency over throughput with 100 connections"));
        assert!(page.contains("100 connections at 90,000 a second"));
        let headline = "Latency at 50,000 to 90,000 requests a second with 100 connections. 3 of 4";
        assert!(page.contains(headline));
        assert!(!page.contains("Requests a second</h2>"));
        let body = &page[page.find("<body>").unwrap()..page.find("<script").unwrap()];
        svg::tests::assert_well_formed(&format!("{body}</body>"));
    }

    #[test]
    fn the_json_in_the_page_is_the_result() {
        let page = html(&sample());
        let start = page.find("id=\"result\">").unwrap() + "id=\"result\">".len();
        let json = &page[start..start + page[start..].find("</script>").unwrap()];
        let file: ResultFile = serde_json::from_str(json).unwrap();
        assert_eq!(file.runs.len(), 6);
        assert_eq!(file.comparisons, sample().comparisons);
    }

    #[test]
    fn commands_are_quoted_for_a_shell() {
        let argv = ["byway", "bench", "--out", "a b", "it's"]
            .map(str::to_owned)
            .to_vec();
        let environment = Environment {
            argv,
            ..Environment::default()
        };
        assert_eq!(
            command_line(&environment),
            "byway bench --out 'a b' 'it'\\''s'"
        );
    }

    #[test]
    fn the_environment_and_its_noise_are_shown() {
        let mut file = sample();
        assert!(!html(&file).contains("class=\"drowned\""));
        file.environment.virtual_machine = None;
        file.environment.rustc_version = None;
        file.environment.noise = Some(crate::noise::tests::noisy());
        file.environment.tcp = vec![crate::environment::TcpSettings {
            role: "server".to_owned(),
            ecn: Some(2),
            ..Default::default()
        }];
        for (run, state) in file.runs.iter_mut().zip(["on", "on", "off"]) {
            run.interfaces = vec![crate::environment::Interface {
                role: "client".to_owned(),
                offloads: [("tso".to_owned(), state.to_owned())].into(),
                ..Default::default()
            }];
        }
        file.runs[1].drowned = vec!["max".to_owned()];
        let page = html(&file);
        for words in [
            "built by unknown",
            "with or without a hypervisor",
            "<dt>TCP of the server's kernel</dt><dd>congestion control unknown",
            "ecn 2",
            "tso on (linux-blocking, linux-spinning); tso off (byway)",
            "<dt>Noise</dt><dd>This machine steals",
            "A latency is grey",
        ] {
            assert!(page.contains(words), "{words}");
        }
        assert_eq!(page.matches("<span class=\"drowned\" title=").count(), 1);
    }

    #[test]
    fn a_result_without_runs_is_still_a_page() {
        let mut file = sample();
        file.runs.clear();
        file.comparisons.clear();
        assert!(html(&file).contains("Nothing was measured."));
    }
}
