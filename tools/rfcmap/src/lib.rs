//! Ties requirements of RFCs to the code that implements them and to the tests that show it.
//!
//! What there is to do is written down in `engine/docs/rfc/<number>.toml`, one entry for each
//! requirement. What is done is never written down: it follows from comments beside the code,
//!
//! ```text
//! //= rfc9293 3.7.1 MUST-14 SHLD-5
//! ```
//!
//! which name an RFC, a section of it, and the requirements that the code below meets. In test code
//! (a file in a `tests` directory or called `tests.rs`, a `#[cfg(test)]` module, the lines above a
//! `#[test]` function) such a comment says "tested", anywhere else it says "implemented". Without
//! requirements it is a pointer to the text and claims nothing.
//!
//! Every function of input processing that holds a branch has such a comment with a requirement, or
//! `//= none: REASON`.
#![forbid(unsafe_code)]

mod branches;
mod map;
mod report;
mod scan;
mod spec;

pub use branches::Decider;
pub use map::{Counts, Map, Problem, Requirement, RfcMap, State};
pub use report::{Listing, branches, json, table};
pub use scan::{Comment, Names, Place, Says, comments_in};
pub use spec::{Entry, Level, Spec};

use std::path::Path;

/// Where the requirements are, from the root of the repository.
pub const SPEC_DIR: &str = "engine/docs/rfc";

/// Where code is searched for comments, from the root of the repository.
const CODE_DIRS: [&str; 2] = ["engine", "tests"];

/// Reads requirements and code of the repository at `root`, and ties them together.
///
/// # Errors
/// A file that cannot be read or is no requirements file, as a sentence.
pub fn load(root: &Path) -> Result<Map, String> {
    let specs = spec::read_all(&root.join(SPEC_DIR))?;
    let sources = scan::read_all(root, &CODE_DIRS)?;
    Map::new(specs, &sources)
}
