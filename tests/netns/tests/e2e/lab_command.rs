//! `byway lab` as a user types it.

use byway_lab::skip_unless_privileged;
use byway_test_netns::{Finished, byway, run};
use std::process::Command;

fn lab(args: &[&str]) -> Finished {
    let mut command = Command::new(byway());
    command.arg("lab").args(args);
    run(command)
}

#[test]
fn a_lab_comes_up_shows_itself_and_goes_away() {
    if skip_unless_privileged("a_lab_comes_up_shows_itself_and_goes_away") {
        return;
    }
    let name = format!("bwl{:x}", std::process::id());
    let named = |action| vec![action, "--name", name.as_str()];
    let state = || {
        let mut args = named("status");
        args.push("--json");
        let shown = lab(&args);
        let status: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
        (shown.code, status["state"].as_str().unwrap().to_owned())
    };
    let codes: Vec<Option<i32>> = ["up", "up"].map(|action| lab(&named(action)).code).to_vec();
    let (while_up, down, down_again, after) =
        (state(), lab(&named("down")), lab(&named("down")), state());
    assert_eq!(codes, [Some(0), Some(0)]);
    assert_eq!(while_up, (Some(0), "up".to_owned()));
    assert_eq!((down.code, down_again.code), (Some(0), Some(0)));
    assert_eq!(after, (Some(1), "absent".to_owned()));
}

#[test]
fn a_name_that_cannot_be_is_a_usage_error() {
    if skip_unless_privileged("a_name_that_cannot_be_is_a_usage_error") {
        return;
    }
    let finished = lab(&["up", "--name", "../x"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert_eq!(finished.lines_with("error: ").len(), 1, "{finished:?}");
}
