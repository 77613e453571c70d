//! `byway bench goodput`, which needs the whole program: wire, server and clients.

use byway_test_netns::{byway, run};
use std::process::Command;

#[test]
fn goodput_is_measured_for_both_ends() {
    let test = "goodput_is_measured_for_both_ends";
    if byway_lab::skip_unless_privileged(test) {
        return;
    }
    let mut bench = Command::new(byway());
    bench
        .args(["bench", "goodput", "--quick", "--runs", "1"])
        .args(["--cells", "loss0-rtt1", "--json", "-"]);
    let finished = run(bench);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let result: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    let comparisons = result["comparisons"].as_array().unwrap();
    let ends: Vec<&str> = comparisons
        .iter()
        .filter_map(|each| each["end"].as_str())
        .collect();
    assert_eq!(ends, ["sender", "receiver"]);
    for transfer in comparisons
        .iter()
        .flat_map(|each| [&each["linux"][0], &each["byway"][0]])
    {
        // The path takes 200 Mbit/s; a machine that is busy with other tests, less.
        let rate = transfer["goodput_bit_per_s"].as_f64().unwrap();
        assert!((5e6..200e6).contains(&rate), "{transfer:#}");
        assert!(transfer["sender"]["TcpOutSegs"].as_u64().unwrap() > 100);
    }
}
