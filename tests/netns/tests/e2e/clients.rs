//! curl, wrk, nc and socat.

use crate::lab;
use byway_lab::LabGuard;
use byway_test_netns::{Finished, Pattern, Serve, run, run_with_input, tcp_endpoints};

fn client(lab: &LabGuard, program: &str, args: &[&str], input: Vec<u8>) -> Finished {
    let mut command = lab.client().command(program);
    command.args(args);
    let finished = run_with_input(command, input);
    assert_eq!(finished.code, Some(0), "{program} {args:?}: {finished:?}");
    finished
}

#[test]
fn curl_gets_pages_of_every_size() {
    let Some(lab) = lab("curl_gets_pages_of_every_size") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["http"]);
    for endpoint in tcp_endpoints(80) {
        for (path, size) in [("bytes/0", 0), ("bytes/1", 1), ("bytes/5000000", 5_000_000)] {
            let url = format!("http://{endpoint}/{path}");
            let format = "%{http_code} %{size_download}";
            let args = [
                "-sS",
                "--max-time",
                "20",
                "-o",
                "/dev/null",
                "-w",
                format,
                &url,
            ];
            let finished = client(&lab, "curl", &args, Vec::new());
            assert_eq!(finished.stdout, format!("200 {size}"), "{url}");
        }
        // Three requests on one connection.
        let url = format!("http://{endpoint}/");
        let args = [
            "-sS",
            "--max-time",
            "20",
            "-w",
            " %{num_connects}\n",
            &url,
            &url,
            &url,
        ];
        let finished = client(&lab, "curl", &args, Vec::new());
        let connects: Vec<&str> = finished
            .stdout
            .lines()
            .filter_map(|line| line.rsplit(' ').next())
            .collect();
        assert_eq!(
            connects.iter().filter(|count| **count == "1").count(),
            1,
            "{finished:?}"
        );
        assert_eq!(
            connects.iter().filter(|count| **count == "0").count(),
            2,
            "{finished:?}"
        );
    }
    serve.stop();
}

#[test]
fn wrk_with_a_hundred_connections_sees_no_error() {
    let Some(lab) = lab("wrk_with_a_hundred_connections_sees_no_error") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["http"]);
    for endpoint in tcp_endpoints(80) {
        let url = format!("http://{endpoint}/");
        let args = ["-t", "1", "-c", "100", "-d", "2", "--latency", &url];
        let finished = client(&lab, "wrk", &args, Vec::new());
        assert!(
            !finished.stdout.contains("Socket errors"),
            "{}",
            finished.stdout
        );
        assert!(!finished.stdout.contains("Non-2xx"), "{}", finished.stdout);
        let requests = finished
            .stdout
            .lines()
            .find_map(|line| line.split_once(" requests in"));
        let (count, _) = requests.unwrap_or_else(|| panic!("no result: {}", finished.stdout));
        let count: u64 = count.trim().parse().expect("wrk counts requests");
        // A debug build on a busy machine does ten times as many: this is about being alive.
        assert!(count > 2_000, "{}", finished.stdout);
    }
    serve.stop();
}

#[test]
fn nc_and_socat_get_back_what_they_send() {
    let Some(lab) = lab("nc_and_socat_get_back_what_they_send") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    // Text, so that it can be compared as such; longer than any buffer on the way.
    let mut bytes = vec![0; 1 << 20];
    Pattern::new(1).fill(&mut bytes);
    let text: Vec<u8> = bytes.iter().map(|byte| b'a' + byte % 26).collect();
    for endpoint in tcp_endpoints(7) {
        let (address, port) = (endpoint.ip().to_string(), endpoint.port().to_string());
        let nc = client(
            &lab,
            "nc",
            &["-N", "-w", "10", &address, &port],
            text.clone(),
        );
        assert!(
            nc.stdout.as_bytes() == text,
            "nc and {endpoint}: {} bytes",
            nc.stdout.len()
        );
        let target = format!("TCP:{endpoint}");
        let socat = client(&lab, "socat", &["-t", "10", "-", &target], text.clone());
        assert!(
            socat.stdout.as_bytes() == text,
            "socat and {endpoint}: {}",
            socat.stdout.len()
        );
    }
    serve.stop();
}

#[test]
fn every_mode_that_veth_has_serves() {
    let Some(lab) = lab("every_mode_that_veth_has_serves") else {
        return;
    };
    for mode in ["native", "generic"] {
        let serve = Serve::start(lab.server(), &["http", "--mode", mode]);
        let ready = serve.ready_line().expect("it is ready");
        assert!(ready.contains(&format!("mode={mode}")), "{ready}");
        for endpoint in tcp_endpoints(80) {
            let url = format!("http://{endpoint}/bytes/100000");
            let args = [
                "-sS",
                "--max-time",
                "20",
                "-o",
                "/dev/null",
                "-w",
                "%{size_download}",
                &url,
            ];
            assert_eq!(client(&lab, "curl", &args, Vec::new()).stdout, "100000");
        }
        serve.stop();
    }
    let mut zerocopy = Serve::command(lab.server(), &["http", "--mode", "zerocopy"]);
    zerocopy.env("LC_ALL", "C");
    let refused = run(zerocopy);
    assert_eq!(refused.code, Some(3), "only auto falls back: {refused:?}");
}
