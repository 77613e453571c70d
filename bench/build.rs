//! Tells the program what compiled it: `environment.rs` writes it into every result.

use std::env;
use std::process::Command;

fn main() {
    // A new compiler runs this again by itself.
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let Ok(output) = Command::new(rustc).arg("--version").output() else {
        return;
    };
    if let (true, Ok(version)) = (output.status.success(), str::from_utf8(&output.stdout)) {
        println!("cargo::rustc-env=BYWAY_RUSTC_VERSION={}", version.trim());
    }
}
