//! What cannot work says so: one line of cause, one of remedy, and the right exit code.

use crate::{lab, lab_with};
use byway_lab::{LabGuard, Offloads, Options, SERVER};
use byway_test_netns::{Finished, Serve, byway, connect, has_xdp, run, tcp_endpoints};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// The outcome of a start that must not succeed, checked for its form.
fn refused(lab: &LabGuard, command: Command) -> Finished {
    let finished = run(command);
    assert_eq!(finished.code, Some(3), "{finished:?}");
    assert_eq!(finished.stdout, "", "nothing is ready");
    assert_eq!(finished.lines_with("error: ").len(), 1, "{finished:?}");
    assert_eq!(finished.lines_with("hint: ").len(), 1, "{finished:?}");
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    assert!(!has_xdp(lab), "an XDP program is left: {finished:?}");
    finished
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let Some(lab) = lab("an_interface_that_is_not_there_is_named") else {
        return;
    };
    let mut command = lab.server().command(byway());
    command.args(["serve", "echo", "--interface", "nosuch0"]);
    let finished = refused(&lab, command);
    assert!(
        finished.lines_with("error: ")[0].contains("nosuch0"),
        "{finished:?}"
    );
}

#[test]
fn an_address_of_somebody_else_is_named() {
    let Some(lab) = lab("an_address_of_somebody_else_is_named") else {
        return;
    };
    for listen in ["10.99.0.1:7", "[fd99::1]:7"] {
        let finished = refused(
            &lab,
            Serve::command(lab.server(), &["echo", "--listen", listen]),
        );
        let address = listen.trim_end_matches(":7").trim_matches(['[', ']']);
        assert!(
            finished.lines_with("error: ")[0].contains(address),
            "{finished:?}"
        );
    }
}

#[test]
fn what_is_no_address_is_a_usage_error() {
    let Some(lab) = lab("what_is_no_address_is_a_usage_error") else {
        return;
    };
    for listen in [
        "10.77.0.2",
        "10.77.0:7",
        "10.77.0.2:70000",
        "localhost:7",
        "",
    ] {
        let finished = run(Serve::command(lab.server(), &["echo", "--listen", listen]));
        assert_eq!(finished.code, Some(2), "{listen}: {finished:?}");
        assert_eq!(
            finished.lines_with("error: ").len(),
            1,
            "{listen}: {finished:?}"
        );
    }
}

#[test]
fn without_privilege_the_way_to_get_it_is_told() {
    let Some(lab) = lab("without_privilege_the_way_to_get_it_is_told") else {
        return;
    };
    // The program is where it was built, and nobody else may look there.
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = place.path().join("byway");
    std::fs::copy(byway(), &program).unwrap();
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let powerless = ["--bounding-set=-all", "--inh-caps=-all"];
    for how in [&nobody[..], &powerless[..]] {
        let mut command = lab.server().command("setpriv");
        command.args(how).arg(&program).args(["serve", "echo"]);
        command.args(["--interface", SERVER.interface]);
        let finished = refused(&lab, command);
        let hint = finished.lines_with("hint: ")[0].to_owned();
        assert!(
            hint.contains("root") || hint.contains("CAP_"),
            "{how:?}: {hint}"
        );
    }
}

#[test]
fn an_mtu_that_is_too_large_is_told() {
    let options = Options {
        mtu: 9000,
        ..Options::default()
    };
    let Some(lab) = lab_with("an_mtu_that_is_too_large_is_told", &options) else {
        return;
    };
    for mode in ["native", "generic"] {
        let finished = refused(
            &lab,
            Serve::command(lab.server(), &["echo", "--mode", mode]),
        );
        assert!(
            finished.lines_with("error: ")[0].contains("9000"),
            "{mode}: {finished:?}"
        );
        assert!(
            finished.lines_with("hint: ")[0].contains("mtu"),
            "{mode}: {finished:?}"
        );
    }
}

#[test]
fn unfilled_checksums_are_noticed_and_told() {
    let options = Options {
        client: Offloads::Default,
        ..Options::default()
    };
    let Some(lab) = lab_with("unfilled_checksums_are_noticed_and_told", &options) else {
        return;
    };
    for (mode, endpoint) in ["native", "generic"].into_iter().zip(tcp_endpoints(7)) {
        let serve = Serve::start(lab.server(), &["echo", "--mode", mode]);
        // A few frames: one SYN of each of these, none of which gets an answer.
        for _ in 0..8 {
            let wait = Duration::from_millis(100);
            let opened = lab
                .client()
                .run(|| TcpStream::connect_timeout(&endpoint, wait))
                .unwrap();
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::TimedOut, "{mode}");
        }
        assert!(
            serve.says("ethtool -K", Duration::from_secs(1)),
            "{mode}: {}",
            serve.stderr()
        );
        let lines = serve
            .stderr()
            .lines()
            .filter(|line| line.contains("ethtool -K"))
            .count();
        assert_eq!(lines, 1, "said once: {}", serve.stderr());
        serve.stop();
    }
}

#[test]
fn unfilled_checksums_can_be_trusted_on_a_virtual_link() {
    let options = Options {
        client: Offloads::Default,
        ..Options::default()
    };
    let test = "unfilled_checksums_can_be_trusted_on_a_virtual_link";
    let Some(lab) = lab_with(test, &options) else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo", "--trust-unfilled-checksums"]);
    for endpoint in tcp_endpoints(7) {
        connect(&lab, endpoint).unwrap();
    }
    serve.stop();
}
