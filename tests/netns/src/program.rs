//! Where the program under test is.

use std::path::PathBuf;

/// The `byway` program: what BYWAY_BIN names, or the one built beside this test.
///
/// # Panics
/// When there is none; the message says how to build it.
pub fn byway() -> PathBuf {
    if let Some(path) = std::env::var_os("BYWAY_BIN").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "BYWAY_BIN names {}, which is no file",
            path.display()
        );
        return path;
    }
    // Tests are in target/PROFILE/deps, programs in target/PROFILE.
    let test = std::env::current_exe().expect("a process knows its executable");
    let beside = test
        .ancestors()
        .nth(2)
        .expect("tests are two levels deep")
        .join("byway");
    assert!(
        beside.is_file(),
        "there is no {}: run `make test`, or build it first: cargo build -p byway-cli",
        beside.display()
    );
    beside
}
