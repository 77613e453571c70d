//! The published schemas describe what is written: every field, and no other.

#[path = "../tests/support/schema.rs"]
mod check;

use crate::compare::{Comparison, Source};
use crate::curve::tests::sweep;
use crate::environment::{Interface, TcpSettings};
use crate::noise::tests::noisy;
use crate::result::tests::sample;
use crate::result::{Offloads, ResultFile, Round};
use check::faults;
use serde_json::{Value, json};

const RESULT: &str = include_str!("../schema/result-1.json");
const COMPARE: &str = include_str!("../schema/compare-1.json");

/// A result in which everything is there that may be.
fn whole() -> ResultFile {
    let mut file = sample();
    file.environment.interfaces.push(Interface {
        role: "server".to_owned(),
        name: "eth0".to_owned(),
        mtu: Some(1500),
        offloads: [("tx".to_owned(), "off".to_owned())].into(),
    });
    file.environment
        .mitigations
        .insert("meltdown".to_owned(), "PTI".to_owned());
    file.runs[2].target_xdp_mode = Some("native".to_owned());
    file.runs[2].generator_xdp_mode = Some("native".to_owned());
    file.runs[2].offloads = Some(Offloads {
        client: "off".to_owned(),
        server: "on".to_owned(),
    });
    file.runs[2]
        .interfaces
        .clone_from(&file.environment.interfaces);
    file.runs[2].drowned = vec!["p999".to_owned(), "max".to_owned()];
    file.environment.noise = Some(noisy());
    file.environment.tcp = vec![TcpSettings::default(), TcpSettings::read("server")];
    file.environment.tcp[0].role = "client".to_owned();
    file.runs[0].rounds[1] = Round::failed(1, "no answer".to_owned());
    file.runs[1].rounds[0].began_unix_s = Some(1_795_442_700.125);
    file.runs[3].server_cpu = None;
    file.runs[3].cpu_us_per_request = None;
    file
}

fn value(file: &ResultFile) -> Value {
    serde_json::from_str(&file.to_json()).unwrap()
}

#[test]
fn results_are_as_the_schema_says() {
    for file in [sample(), whole(), sweep()] {
        assert_eq!(faults(RESULT, &value(&file)), Vec::<String>::new());
    }
}

#[test]
fn comparisons_are_as_the_schema_says() {
    let file = whole();
    let source = || Source::new("result.json".to_owned(), &file);
    let comparison = Comparison::new(source(), source(), (&file, &sample()));
    let json = serde_json::to_value(comparison).unwrap();
    assert_eq!(faults(COMPARE, &json), Vec::<String>::new());
    assert!(
        json["deltas"]
            .as_array()
            .is_some_and(|deltas| deltas.len() > 8)
    );
}

#[test]
fn what_is_not_as_the_schema_says_is_found() {
    let broken = |pointer: &str, with: Value| {
        let mut file = value(&whole());
        *file.pointer_mut(pointer).unwrap() = with;
        faults(RESULT, &file)
    };
    for (pointer, with, said) in [
        ("/schema", json!(2), "$.schema: 2 is not 1"),
        ("/runs/2/target", json!("solaris"), "$.runs[2].target: "),
        (
            "/runs/2/connections",
            json!(0),
            "$.runs[2].connections: 0 < 1",
        ),
        ("/runs/2/connections", json!(1.5), "is not of type"),
        (
            "/runs/0/rounds/0/report/errors/closed",
            json!("1"),
            "$.runs[0].rounds[0].report",
        ),
        ("/runs/1/generator_work_share", json!(1.5), "1.5 > 1"),
        (
            "/environment/kernel",
            json!(null),
            "$.environment.kernel: null",
        ),
        (
            "/runs/0/latency_us",
            json!({"p50": 1, "p95": 2}),
            "$.runs[0].latency_us.p95",
        ),
        (
            "/runs/0/latency_us",
            json!({"p50": 1, "p95": 2}),
            "\"p99\" is missing",
        ),
    ] {
        let found = broken(pointer, with);
        assert!(
            found.iter().any(|fault| fault.contains(said)),
            "{said}: {found:?}"
        );
    }
}

#[test]
fn results_of_the_first_versions_are_still_read() {
    let mut old = value(&sample());
    old.as_object_mut().unwrap().remove("partial");
    for field in ["think_us", "pipeline", "arrivals"] {
        old["parameters"].as_object_mut().unwrap().remove(field);
    }
    for run in old["runs"].as_array_mut().unwrap() {
        for round in run["rounds"].as_array_mut().unwrap() {
            round.as_object_mut().unwrap().remove("began_unix_s");
        }
        for field in ["rate_asked_per_s", "open_loop"] {
            run.as_object_mut().unwrap().remove(field);
        }
    }
    assert_eq!(faults(RESULT, &old), Vec::<String>::new());
    let read: ResultFile = serde_json::from_value(old).unwrap();
    assert_eq!(read, sample());
}
