//! Runs packet scripts by name and shows the exchange, for those who write them.
#![forbid(unsafe_code)]

use byway_test_script::suite::{Exchange, load, with_byway, with_linux};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let paths: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    if paths.is_empty() || has("--help") {
        println!("byway-test-script [--linux | --byway] [--verbose] FILE or DIRECTORY ...");
        return ExitCode::from(2);
    }
    let mut failed = false;
    for path in paths {
        let scripts = match load(Path::new(path)) {
            Ok(scripts) => scripts,
            Err(why) => {
                eprintln!("{why}");
                failed = true;
                continue;
            }
        };
        for script in &scripts {
            if !has("--linux") {
                failed |= !show(script.name(), "Byway", with_byway(script), has("--verbose"));
            }
            if !has("--byway") {
                failed |= !show(script.name(), "Linux", with_linux(script), has("--verbose"));
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// Prints an outcome; true when it is good.
fn show(name: &str, stack: &str, outcome: Exchange, verbose: bool) -> bool {
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
