//! Runs packet scripts by name: of one it shows the exchange, of many a table.
#![forbid(unsafe_code)]

use byway_test_script::script::Script;
use byway_test_script::suite::{
    Exchange, Verdict, is_slow_wanted, judge_all_linux, judge_byway, load, table, with_byway,
    with_linux,
};
use std::path::Path;
use std::process::ExitCode;

/// What the command line asks for.
struct Wanted {
    byway: bool,
    linux: bool,
    verbose: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let paths: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    if paths.is_empty() || has("--help") {
        println!("byway-test-script [--linux | --byway] [--verbose] FILE or DIRECTORY ...");
        return ExitCode::from(2);
    }
    let wanted = Wanted {
        byway: !has("--linux"),
        linux: !has("--byway"),
        verbose: has("--verbose"),
    };
    let mut good = true;
    for path in paths {
        match load(Path::new(path)) {
            Ok(scripts) => good &= carry_out(&scripts, &wanted),
            Err(why) => {
                eprintln!("{why}");
                good = false;
            }
        }
    }
    ExitCode::from(u8::from(!good))
}

/// Carries scripts out; true when all is as it is expected to be.
fn carry_out(scripts: &[Script], wanted: &Wanted) -> bool {
    match scripts {
        [script] => one(script, wanted),
        many if wanted.verbose => many.iter().all(|script| one(script, wanted)),
        many => all(many, wanted),
    }
}

/// The exchange of a script, whatever its header expects: who writes it wants to see it.
fn one(script: &Script, wanted: &Wanted) -> bool {
    let mut good = true;
    if wanted.byway {
        good &= show(script, "Byway", with_byway(script), wanted.verbose);
    }
    if wanted.linux {
        good &= show(script, "Linux", with_linux(script), wanted.verbose);
    }
    good
}

/// The table of many.
fn all(scripts: &[Script], wanted: &Wanted) -> bool {
    let not_asked = vec![Verdict::Skipped("not asked for".to_owned()); scripts.len()];
    let byway = match wanted.byway {
        true => scripts.iter().map(judge_byway).collect(),
        false => not_asked.clone(),
    };
    let linux = match wanted.linux {
        true => judge_all_linux(scripts, is_slow_wanted()),
        false => not_asked,
    };
    println!("{}", table(scripts, &byway, &linux));
    !byway.iter().chain(&linux).any(Verdict::is_failed)
}

/// Prints an outcome; true when it is good.
fn show(script: &Script, stack: &str, outcome: Exchange, verbose: bool) -> bool {
    let name = script.name();
    match outcome {
        Ok(exchange) => {
            println!("{name}: {stack} ok");
            if verbose {
                exchange.iter().for_each(|line| println!("  {line}"));
            }
            true
        }
        Err(difference) => {
            println!("{name}: {stack} FAILED\n  {difference}");
            false
        }
    }
}
