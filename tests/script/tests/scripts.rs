//! Every script, with Byway and with Linux.
#![allow(missing_docs)]

use byway_test_script::suite::{Verdict, is_slow_wanted};
use byway_test_script::suite::{judge_all_linux, judge_byway, load, table, wanted};
use std::path::Path;

#[test]
fn scripts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let scripts = wanted(load(&directory).unwrap_or_else(|why| panic!("{why}")));
    let byway: Vec<Verdict> = scripts.iter().map(judge_byway).collect();
    let linux = if byway_lab::skip_unless_privileged("scripts with Linux") {
        let reason = Verdict::Skipped("needs root".to_owned());
        vec![reason; scripts.len()]
    } else {
        judge_all_linux(&scripts, is_slow_wanted())
    };
    println!("{}", table(&scripts, &byway, &linux));
    let failed = byway.iter().chain(&linux).filter(|v| v.is_failed()).count();
    assert_eq!(failed, 0, "scripts failed: see the table");
}
