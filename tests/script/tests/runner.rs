//! The runner itself: what is wrong is found, and said in a way that helps.
#![allow(missing_docs)]

use byway_test_script::parse::parse;
use byway_test_script::suite::{
    Exchange, Verdict, judge_all_linux, judge_byway, with_byway, with_linux,
};
use std::process::Command;
use std::time::{Duration, Instant};

const HEAD: &str = "#= rfc9293 3.5 MUST-10\n# A sentence\n";

fn run(body: &str) -> Exchange {
    let script = parse("a/b.script", &format!("{HEAD}{body}")).unwrap();
    with_byway(&script)
}

/// What is said about a script that fails at this line.
fn failure(line: usize, body: &str) -> String {
    let difference = run(body).expect_err("it has to fail");
    // Two lines are in front of the body.
    assert_eq!(
        difference.place,
        format!("a/b.script:{}", line + 2),
        "{difference}"
    );
    difference.to_string()
}

fn refused(body: &str) -> String {
    parse("a/b.script", &format!("{HEAD}{body}")).expect_err("it has to be refused")
}

#[test]
fn what_is_right_passes() {
    let exchange = run(
        "open passive mss 1460 ts\nin PSH+ACK seq 1:11 ack 1\nout ACK seq 1 ack 11\n\
                        expect readable 10\nread 10\nwrite 20\nout PSH+ACK seq 1:21 ack 11\n\
                        in RST seq 11\nexpect error reset\nexpect state CLOSED\n",
    )
    .unwrap_or_else(|difference| panic!("{difference}"));
    assert!(exchange.iter().any(|line| line.contains("in  SYN seq 0")));
}

#[test]
fn a_wrong_segment_is_shown_beside_the_expectation_and_the_exchange() {
    let text = failure(
        3,
        "listen\nin SYN seq 0 mss 1460\nout SYN+ACK seq 0 ack 2 mss 1400\n",
    );
    for part in [
        "a/b.script:5: another segment was expected (ack, mss)",
        "got:       SYN+ACK seq 0 ack 1 win 65535 mss 1460",
        "statement: out SYN+ACK seq 0 ack 2 mss 1400",
        "numbers:   as they come",
        "--  listen",
        "in  SYN seq 0 win 65535 mss 1460",
        "out SYN+ACK seq 0 ack 1",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn each_field_of_a_segment_is_compared() {
    let open = "open passive mss 1460 sackok ts wscale 0\n";
    let cases = [
        ("write 10\nout FIN+ACK seq 1:11 ack 1\n", "(flags)"),
        ("write 10\nout ACK seq 2:12 ack 1\n", "(seq)"),
        ("write 10\nout ACK seq 1:12 ack 1\n", "(length)"),
        ("write 10\nout ACK no-psh seq 1:11 ack 1\n", "(PSH)"),
        ("write 10\nout ACK seq 1:11 ack 1 win 1\n", "(win)"),
        ("write 10\nout ACK seq 1:11 ack 1 ect0\n", "(ECN)"),
        ("write 10\nout ACK seq 1:11 ack 1 no-ts\n", "(ts)"),
        ("write 10\nout ACK seq 1:11 ack 1 ts 999\n", "(ts)"),
        ("write 10\nout ACK seq 1:11 ack 1 wscale *\n", "(wscale)"),
        ("write 10\nout ACK seq 1:11 ack 1 sackok\n", "(sackok)"),
        ("in ACK seq 5:9 ack 1\nout ACK seq 1 ack 1\n", "(sack)"),
        (
            "in ACK seq 5:9 ack 1\nout ACK seq 1 ack 1 sack 5:8\n",
            "(sack)",
        ),
    ];
    for (body, part) in cases {
        let text = failure(3, &format!("{open}{body}"));
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn time_is_compared() {
    let open = "open passive mss 1460\nwrite 10\nout ACK seq 1:11 ack 1\n";
    let late = failure(4, &format!("{open}out @150ms ACK seq 1:11 ack 1\n"));
    assert!(late.contains("nothing was sent within"), "{late}");
    let early = failure(4, &format!("{open}out @300ms ACK seq 1:11 ack 1\n"));
    assert!(early.contains("time: too early"), "{early}");
    let soon = failure(4, &format!("{open}expect error timed-out @1s-2s\n"));
    assert!(soon.contains("and it is not over"), "{soon}");
    run(&format!("{open}out @200ms ACK seq 1:11 ack 1\n")).unwrap();
    run(&format!("{open}out @100ms-300ms ACK seq 1:11 ack 1\n")).unwrap();
}

#[test]
fn what_is_sent_and_not_expected_is_an_error() {
    let open = "open passive mss 1460\nwrite 10\n";
    let silence = failure(3, &format!("{open}quiet 10ms\n"));
    assert!(silence.contains("silence was expected"), "{silence}");
    let end = failure(2, open);
    assert!(end.contains("the end of the script"), "{end}");
    let before = failure(3, &format!("{open}in ACK seq 1 ack 11\n"));
    assert!(before.contains("no statement expects"), "{before}");
    run(&format!("{open}skip 10ms\n")).unwrap();
    run(&format!("{open}out? ACK seq 1:11 ack 1\nout? RST seq 1\n")).unwrap();
}

#[test]
fn what_the_application_sees_is_compared() {
    let open = "open passive mss 1460\nin ACK seq 1:11 ack 1\nout ACK seq 1 ack 11\n";
    for (statement, part) in [
        ("expect readable 9", "10 octets can be read, not 9"),
        ("read 11", "10 octets could be read, not 11"),
        ("expect eof", "the peer has not closed its side"),
        ("expect state CLOSED", "the state is ESTABLISHED"),
        ("expect error reset", "and it is not over"),
        ("accept", "no connection waits"),
        ("write 10 takes 9", "write took 10 octets, not 9"),
    ] {
        let text = failure(4, &format!("{open}{statement}\n"));
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn what_is_no_statement_is_refused_with_its_line() {
    for (body, part) in [
        ("listen\nlisten now\n", "a/b.script:4: `now` is too much"),
        ("sleep 1s\n", "a/b.script:3: there is no statement `sleep`"),
        ("in SYNC seq 0\n", "`SYNC` is no control bit"),
        ("in ACK seq 1\n", "`ack` and the flag ACK go together"),
        ("in RST ack 1\n", "where is it: seq"),
        ("in RST seq 9:3\n", "no stretch"),
        ("out RST seq 1 colour 3\n", "a segment has no `colour`"),
        ("quiet 3\n", "`3` is no time"),
        ("listen\nset mtu 1400\n", "in front of the first statement"),
        ("set speed 3\n", "nothing called `speed`"),
        ("set sack maybe\n", "`maybe` is none of on, off"),
        ("linux: perhaps so\n", "expected `differs` or `skip`"),
        ("in SYN seq 0 mss 70000\n", "no number that fits here"),
        ("# nothing\n", "nothing happens"),
    ] {
        let text = refused(body);
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    let text = parse("a", "listen\n").unwrap_err();
    assert!(text.contains("begins with the requirement"), "{text}");
    let text = parse("a", "#= rfc9293 3.5\nlisten\n").unwrap_err();
    assert!(text.contains("a sentence"), "{text}");
}

#[test]
fn an_explained_difference_has_to_be_there() {
    let judge = |body: &str| {
        let script = parse("a/b.script", &format!("{HEAD}{body}")).unwrap();
        judge_byway(&script)
    };
    let good = "listen\nin SYN seq 0\nout SYN+ACK seq 0 ack 1 mss *\n";
    let bad = "listen\nin SYN seq 0\nquiet 10ms\n";
    assert!(matches!(judge(good), Verdict::Ok));
    assert!(matches!(judge(bad), Verdict::Failed(_)));
    let open = |body: &str| format!("byway: open because\n{body}");
    assert!(matches!(judge(&open(bad)), Verdict::Differs(reason) if reason == "because"));
    assert!(matches!(judge(&open(good)), Verdict::Failed(why) if why.contains("because")));
    let skip = judge(&format!("byway: skip because\n{bad}"));
    assert!(matches!(skip, Verdict::Skipped(reason) if reason == "because"));
}

#[test]
fn linux_does_not_wait_for_minutes() {
    let body = "linux: differs because\nlisten\nquiet 3m\n";
    let script = parse("a/b.script", &format!("{HEAD}{body}")).unwrap();
    assert_eq!(script.duration(), Duration::from_secs(180));
    let start = Instant::now();
    let verdicts = judge_all_linux(&[script], false);
    assert!(matches!(&verdicts[..], [Verdict::Skipped(why)] if why.contains("180 s")));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn linux_is_held_to_the_script_too_and_leaves_nothing_behind() {
    if byway_lab::skip_unless_privileged("the runner with Linux") {
        return;
    }
    // As a process that was killed leaves it; no process has this number.
    let abandoned = "bwscr-4194999-0";
    let add = ["netns", "add", abandoned];
    assert!(Command::new("ip").args(add).status().unwrap().success());
    let run = |body: &str| {
        let script = parse("a/b.script", &format!("{HEAD}{body}")).unwrap();
        with_linux(&script)
    };
    let good =
        "open passive mss 1460\nin ACK seq 1:11 ack 1\nout @0-200ms ACK seq 1 ack 11\nread 10\n";
    run(good).unwrap_or_else(|difference| panic!("{difference}"));
    let bad = good.replace("ack 11", "ack 12");
    let text = run(&bad).expect_err("the ACK is another one").to_string();
    assert!(
        text.contains("a/b.script:5: another segment was expected (ack)"),
        "{text}"
    );
    let names = std::fs::read_dir("/run/netns").unwrap();
    let mine = format!("bwscr-{}-", std::process::id());
    for name in names {
        let name = name.unwrap().file_name();
        let name = name.to_string_lossy();
        assert!(
            !name.starts_with(&mine) && name != abandoned,
            "{name} is left"
        );
    }
}
