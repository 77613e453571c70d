//! Compiles the steering program with clang; `src/program.rs` embeds the object.

use std::env;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, exit};

const SOURCES: [&str; 4] = ["steer.bpf.c", "steer.h", "headers.h", "kernel.h"];

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("steer.bpf.o");
    let bpf = manifest.join("../../bpf");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", bpf.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    // -g: the loader reads the types of the maps from BTF. cpu v3 (Linux 5.1): 32-bit operations.
    let status = Command::new(&clang)
        .args([
            "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-target", "bpf", "-mcpu=v3",
        ])
        // Debug paths would make the object differ from one checkout to the next.
        .arg(format!("-fdebug-prefix-map={}=.", bpf.display()))
        .arg("-c")
        .arg(bpf.join(SOURCES[0]))
        .arg("-o")
        .arg(&out)
        .status();
    let cause = match status {
        Ok(status) if status.success() => return,
        Ok(status) => format!("{clang} could not compile bpf/steer.bpf.c ({status})"),
        Err(error) if error.kind() == ErrorKind::NotFound => format!(
            "{clang} is not installed and the steering program needs it: apt-get install clang \
             (or set CLANG to its path)"
        ),
        Err(error) => format!("{clang} could not be started: {error}"),
    };
    println!("cargo::error={cause}");
    exit(1);
}
