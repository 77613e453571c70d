//! The requirements files of this repository.

use byway_rfcmap::{Level, load};
use std::path::Path;

/// RFC 9293 numbers its requirements without a gap (appendix B): none is missing here. The steps of
/// section 3.10.7 have ids of ours.
#[test]
fn every_requirement_of_rfc_9293_is_listed_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let map = load(&root).expect("the requirements files are well-formed");
    let tcp = map
        .rfcs
        .iter()
        .find(|of| of.rfc == 9293)
        .expect("it is there");
    for (kind, last) in [("MUST", 69), ("SHLD", 31), ("REC", 1), ("MAY", 18)] {
        for number in 1..=last {
            let id = format!("{kind}-{number}");
            let times = tcp
                .requirements
                .iter()
                .filter(|one| one.entry.id == id)
                .count();
            assert_eq!(times, 1, "{id}");
        }
    }
    let own = |id: &str| id.starts_with("S3.10.7.");
    let listed = tcp.requirements.iter().filter(|one| !own(&one.entry.id));
    assert_eq!(listed.count(), 69 + 31 + 1 + 18);
}

/// The files of input processing are where the rule about their branches looks for them.
#[test]
fn input_processing_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let map = load(&root).expect("the requirements files are well-formed");
    for file in ["input/sequence.rs", "listen.rs", "time_wait.rs"] {
        let path = format!("engine/tcp/src/{file}");
        assert!(
            map.deciders.iter().any(|one| one.place.file == path),
            "{path}"
        );
    }
}

/// What must be done is done and tested, or excepted with a reason.
#[test]
fn no_must_is_open() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let map = load(&root).expect("the requirements files are well-formed");
    for of in &map.rfcs {
        assert_eq!(of.counts(Level::Must).open, 0, "RFC {}", of.rfc);
    }
}
