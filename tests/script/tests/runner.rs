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
fn a_block_is_carried_out_several_times() {
    let open = "open passive mss 1000\nwrite 3000\n";
    let block = "repeat 3\nout ACK seq 1+1000n:1001+1000n ack 1\nend\n";
    run(&format!("{open}{block}")).unwrap();
    let text = failure(4, &format!("{open}{}", block.replace("n:1001", "n:1002")));
    assert!(
        text.contains("statement: out ACK seq 1:1002 ack 1"),
        "{text}"
    );
    let text = failure(4, &format!("{open}{}", block.replace('3', "4")));
    assert!(text.contains("statement: out ACK seq 3001:4001"), "{text}");
}

#[test]
fn copies_are_counted() {
    let open = "open passive mss 1000\nin RST seq 101 times 5\n";
    for good in ["5", "4-6", "5-9"] {
        run(&format!("{open}out ACK seq 1 ack 1 times {good}\n")).unwrap();
    }
    let few = failure(3, &format!("{open}out ACK seq 1 ack 1 times 6-7\n"));
    assert!(few.contains("number 6 of 7: nothing was sent"), "{few}");
    let many = failure(3, &format!("{open}out ACK seq 1 ack 1 times 2-4\n"));
    assert!(many.contains("the end of the script"), "{many}");
}

#[test]
fn all_that_was_sent_is_acknowledged_by_a_star() {
    let open = "open passive mss 1000\nwrite 3000\nskip 0s\n";
    run(&format!(
        "{open}in ACK seq 1 ack *\nexpect info in-flight 0\nexpect info acknowledged 3000\n"
    ))
    .unwrap();
    run(&format!(
        "{open}in ACK seq 1 ack *-500\nexpect info in-flight 500\n"
    ))
    .unwrap();
    run(&format!(
        "{open}shutdown\nout FIN+ACK seq 3001 ack 1\nin ACK seq 1 ack *\nexpect state FIN-WAIT-2\n"
    ))
    .unwrap();
}

#[test]
fn where_a_new_connection_begins_is_compared() {
    let open = "open passive mss 1460\nin RST seq 1\nquiet 1s\n";
    let again = "in SYN seq 500 mss 1460\nout SYN+ACK seq 0 ack 501 mss *\n";
    // Its clock has a tick of 64 ns.
    run(&format!(
        "{open}new-iss beyond 15624999 up-to 15625000\n{again}"
    ))
    .unwrap();
    for wrong in ["beyond 15625000", "beyond 1 up-to 15624999"] {
        let text = failure(6, &format!("{open}new-iss {wrong}\n{again}"));
        assert!(text.contains("begins 15625000 after the old one"), "{text}");
    }
}

#[test]
fn what_a_snapshot_tells_is_compared() {
    let open = "open passive mss 1000\nwrite 3000\nskip 0s\n";
    for (good, bad, part) in [
        ("in-flight 3000", "in-flight 3001", "in-flight is 3000"),
        ("ssthresh none", "ssthresh 0-99999", "ssthresh is none"),
        ("rto 200ms-1s", "rto 1ms-199ms", "rto is 200."),
        ("cwnd 10000", "cwnd 10001-20000", "cwnd is 10000"),
    ] {
        run(&format!("{open}expect info {good}\n")).unwrap();
        let text = failure(4, &format!("{open}expect info {bad}\n"));
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn room_and_soft_errors_are_compared() {
    let full = "set not-sent-low-water 1000\nopen passive mss 1000 win 1000\nwrite 1000\n\
                out ACK seq 1:1001 ack 1\nwrite 1000\n";
    run(&format!("{full}expect not-writable\n")).unwrap();
    let text = failure(6, &format!("{full}expect writable\n"));
    assert!(text.contains("there is room for 0 octets"), "{text}");
    let told = "open passive mss 1000\nwrite 10\nout ACK seq 1:11 ack 1\nicmp time-exceeded\n";
    run(&format!("{told}expect soft-error time-exceeded\n")).unwrap();
    for wrong in ["soft-error host-unreachable", "no-soft-error"] {
        let text = failure(5, &format!("{told}expect {wrong}\n"));
        assert!(text.contains("was told Some("), "{text}");
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
        ("in RST seq 1 times 2-3\n", "a number of them"),
        ("in ACK seq 1 ack *-x\n", "`x` is no number"),
        ("in RST seq 1 times many\n", "`many` is no number"),
        ("out RST seq 1 times 2 again\n", "`again` is too much"),
        ("new-iss above 3\n", "`above` is none of beyond"),
        ("expect info speed 3\n", "`speed` is none of srtt"),
        ("expect info srtt 3\n", "`3` is no time"),
        ("expect info cwnd none\n", "`none` is no number"),
        ("expect soft-error too-big\n", "`too-big` is none of"),
        ("linger soon\n", "`soon` is no time"),
        ("set receive-buffer 10-\n", "no number that fits here"),
        ("repeat 2\nlisten\n", "a/b.script:3: `repeat` without `end`"),
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
