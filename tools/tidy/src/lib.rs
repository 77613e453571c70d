//! Style and architecture, checked like everything else: by a test that can fail.
//!
//! Each module is one rule. A rule takes text and returns findings; only [`check`] reads files.
#![forbid(unsafe_code)]

mod arrows;
mod code;
mod files;
mod hot;
mod markdown;
mod requirements;
mod sans_io;
mod size;
mod unsafety;
mod words;

use files::SourceFile;
use std::fmt;
use std::path::Path;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the root of the repository.
    pub path: String,
    /// The line, from 1; 0 when the finding is about the file as a whole.
    pub line: usize,
    /// What is wrong, and what to do about it where that is not obvious.
    pub message: String,
}

impl Finding {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks the repository at `root` against all rules.
///
/// # Errors
/// A message when files cannot be read or cargo cannot describe the workspace.
pub fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let files = files::read_all(root)?;
    let workspace = arrows::read(root)?;
    let ratchet = files.iter().find(|file| file.path == size::RATCHET);
    let mut findings = arrows::check(&workspace);
    findings.extend(unsafety::check_roots(&workspace, &files));
    findings.extend(size::check(&files, ratchet.map_or("", |file| &file.text)));
    for file in &files {
        findings.extend(check_file(file));
    }
    findings.extend(markdown::check_links(root, &files));
    findings.extend(hot::check(&files));
    Ok(findings)
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = words::check(file);
    match file.extension() {
        "rs" => {
            findings.extend(unsafety::check(file));
            findings.extend(requirements::check(file));
            findings.extend(sans_io::check(file));
        }
        "md" => findings.extend(markdown::check(file)),
        _ => {}
    }
    findings
}
