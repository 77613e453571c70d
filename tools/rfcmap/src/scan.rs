//! Finds the comments, in code and in packet scripts, and tells test code from the rest.

use serde::Serialize;
use std::fmt;
use std::path::Path;

/// How the name of a packet script ends.
const SCRIPT: &str = ".script";

/// Where a comment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, from the root of the repository, with `/`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A comment that starts with `//=`, or with `#=` in a packet script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Where it is.
    pub place: Place,
    /// It is in test code.
    pub test: bool,
    /// What it says.
    pub says: Says,
}

/// What a comment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// `rfcNUMBER SECTION [ID ...]`.
    Names(Names),
    /// `none: REASON`: no RFC decides what the function that follows decides.
    Exempt(String),
    /// Neither.
    Nothing,
}

impl Says {
    fn parse(text: &str) -> Self {
        match text.strip_prefix(" none: ").map(str::trim) {
            Some("") => Self::Nothing,
            Some(reason) => Self::Exempt(reason.to_owned()),
            None => Names::parse(text).map_or(Self::Nothing, Self::Names),
        }
    }
}

/// What a comment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The number of the RFC.
    pub rfc: u32,
    /// The section.
    pub section: String,
    /// Requirements, possibly none.
    pub ids: Vec<String>,
}

impl Names {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix(' ')?.split(' ');
        let rfc = words.next()?.strip_prefix("rfc")?.parse().ok()?;
        let section = words.next().filter(|section| !section.is_empty())?;
        let ids: Vec<String> = words.map(str::to_owned).collect();
        let well_formed = ids.iter().all(|id| id.contains('-'));
        well_formed.then(|| Self {
            rfc,
            section: section.to_owned(),
            ids,
        })
    }
}

/// The comments of one file. `file` is its path from the root of the repository.
///
/// A `#[cfg(test)]` module ends where a line closes a brace at the indentation that opened it, which
/// is so in formatted code.
pub fn comments_in(file: &str, text: &str) -> Vec<Comment> {
    if file.ends_with(SCRIPT) {
        return comments_in_script(file, text);
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut stem = file.trim_end_matches(".rs").split('/');
    let all_test = stem.any(|part| part == "tests");
    let mut module_end: Option<String> = None;
    let mut comments = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if module_end.as_deref() == Some(*line) {
            module_end = None;
        } else if module_end.is_none() && code == "#[cfg(test)]" && opens_module(&lines[index..]) {
            module_end = Some(format!("{indent}}}"));
        }
        if let Some(words) = code.strip_prefix("//=") {
            comments.push(Comment {
                place: Place {
                    file: file.to_owned(),
                    line: index + 1,
                },
                test: all_test || module_end.is_some() || is_above_test(&lines[index..]),
                says: Says::parse(words),
            });
        }
    }
    comments
}

/// The comments of a packet script, which is a test from end to end.
fn comments_in_script(file: &str, text: &str) -> Vec<Comment> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let words = line.strip_prefix("#=")?;
            Some(Comment {
                place: Place {
                    file: file.to_owned(),
                    line: index + 1,
                },
                test: true,
                says: Names::parse(words).map_or(Says::Nothing, Says::Names),
            })
        })
        .collect()
}

/// Attributes and comments: what may stand between a comment and the item it is about.
fn is_preamble(line: &str) -> bool {
    line.starts_with("#[") || line.starts_with("//")
}

/// The first line that is no attribute or comment begins a module with a body.
fn opens_module(lines: &[&str]) -> bool {
    let item = lines
        .iter()
        .map(|line| line.trim())
        .find(|line| !is_preamble(line));
    item.is_some_and(|item| {
        let words: Vec<&str> = item.split_whitespace().collect();
        words.contains(&"mod") && words.last() == Some(&"{")
    })
}

/// One of the attributes that follow makes the next item a test.
fn is_above_test(lines: &[&str]) -> bool {
    lines
        .iter()
        .map(|line| line.trim())
        .take_while(|line| is_preamble(line))
        .any(|line| line == "#[test]" || line.ends_with("::test]"))
}

/// Path and text of every Rust file and packet script below these directories of `root`, by path.
pub(crate) fn read_all(root: &Path, dirs: &[&str]) -> Result<Vec<(String, String)>, String> {
    let mut files = Vec::new();
    for dir in dirs {
        list(root, dir, &mut files)?;
    }
    files.sort();
    let read = |file: String| match std::fs::read_to_string(root.join(&file)) {
        Ok(text) => Ok((file, text)),
        Err(error) => Err(format!("{file}: {error}")),
    };
    files.into_iter().map(read).collect()
}

fn list(root: &Path, dir: &str, files: &mut Vec<String>) -> Result<(), String> {
    let explain = |error: std::io::Error| format!("{dir}: {error}");
    let listing = match std::fs::read_dir(root.join(dir)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        listing => listing.map_err(explain)?,
    };
    for item in listing {
        let item = item.map_err(explain)?;
        let name = item.file_name().to_string_lossy().into_owned();
        let path = format!("{dir}/{name}");
        let kind = item.file_type().map_err(explain)?;
        if kind.is_dir() && name != "target" {
            list(root, &path, files)?;
        } else if kind.is_file() && (name.ends_with(".rs") || name.ends_with(SCRIPT)) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line number and "is in test code" of each comment.
    fn found(file: &str, text: &str) -> Vec<(usize, bool)> {
        let comments = comments_in(file, text).into_iter();
        comments.map(|c| (c.place.line, c.test)).collect()
    }

    #[test]
    fn words_are_taken_apart() {
        let says = |text: &str| comments_in("a.rs", text)[0].says.clone();
        let names = |text: &str| match says(text) {
            Says::Names(names) => names,
            other => panic!("{other:?}"),
        };
        let named = names("    //= rfc9293 3.9.2.3 MUST-57 SHLD-1");
        assert_eq!((named.rfc, named.section.as_str()), (9293, "3.9.2.3"));
        assert_eq!(named.ids, ["MUST-57", "SHLD-1"]);
        assert_eq!(names("//= rfc5961 3.2").ids, [""; 0]);
        for bad in [
            "//=rfc1 2",
            "//= RFC1 2",
            "//= rfc1",
            "//= rfc1 ",
            "//= rfcx 2",
            "//= rfc1 2 why",
            "//= none",
            "//= none: ",
            "//= none:why",
        ] {
            assert_eq!(says(bad), Says::Nothing, "{bad}");
        }
        let exempt = Says::Exempt("that is our own affair".to_owned());
        assert_eq!(says("//= none: that is our own affair"), exempt);
        assert_eq!(comments_in("a.rs", "let s = \"//= rfc1 2\"; // = no"), []);
    }

    #[test]
    fn every_requirement_of_a_packet_script_is_tested_by_it() {
        let text = "#= rfc9293 3.5 MUST-4 MUST-5\n#= rfc1 2\n# A sentence\nin ACK seq 1 #= no\n";
        let file = "tests/script/scripts/a/b.script";
        assert_eq!(found(file, text), [(1, true), (2, true)]);
        let names = Names {
            rfc: 9293,
            section: "3.5".to_owned(),
            ids: vec!["MUST-4".to_owned(), "MUST-5".to_owned()],
        };
        assert_eq!(comments_in(file, text)[0].says, Says::Names(names));
        for bad in ["#= because\n", "#= none: because\n"] {
            assert_eq!(comments_in(file, bad)[0].says, Says::Nothing);
        }
    }

    #[test]
    fn test_code_is_told_by_file_by_module_and_by_function() {
        let plain = "//= rfc1 2\nfn f() {}\n";
        assert_eq!(found("engine/tcp/src/a.rs", plain), [(1, false)]);
        assert_eq!(found("engine/tcp/tests/a.rs", plain), [(1, true)]);
        assert_eq!(found("tests/sim/src/a.rs", plain), [(1, true)]);
        assert_eq!(found("engine/tcp/src/tests.rs", plain), [(1, true)]);
        assert_eq!(found("engine/contests/a.rs", plain), [(1, false)]);

        let module = "//= rfc1 1\nfn f() {}\n\n#[cfg(test)]\n#[allow(unused)]\nmod checks {\n    \
                      //= rfc1 2\n    fn g() {\n    }\n    //= rfc1 3\n}\n//= rfc1 4\n";
        let expected = [(1, false), (7, true), (10, true), (12, false)];
        assert_eq!(found("a.rs", module), expected);

        let function = "//= rfc1 1\n/// Doc.\n#[cfg(unix)]\n#[test]\nfn t() {}\n//= rfc1 2\n\
                        #[inline]\nfn f() {}\n//= rfc1 3\n\n#[test]\nfn u() {}\n";
        assert_eq!(found("a.rs", function), [(1, true), (6, false), (9, false)]);

        let one_item = "#[cfg(test)]\nuse a::b;\n//= rfc1 2\nfn f() {}\n";
        assert_eq!(found("a.rs", one_item), [(3, false)]);
    }
}
