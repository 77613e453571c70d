//! Functions and files stay short, and the exceptions only get fewer. Tests are not counted.

use crate::Finding;
use crate::code;
use crate::files::SourceFile;

/// Where the exceptions are listed.
pub(crate) const RATCHET: &str = "tools/tidy/ratchet.txt";

/// Lines of a function at most, from `fn` to the closing brace.
const FUNCTION_LIMIT: usize = 70;

/// Lines of a file at most, without its tests.
const FILE_LIMIT: usize = 600;

/// Something that has a size, under the name it has in the list of exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sized {
    key: String,
    path: String,
    line: usize,
    len: usize,
    limit: usize,
}

/// Checks all sources against the limits and the exceptions.
pub(crate) fn check(files: &[SourceFile], ratchet: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut exceptions = Vec::new();
    for (index, line) in ratchet.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts = line.rsplit_once(' ');
        match parts.and_then(|(key, size)| Some((key, size.parse::<usize>().ok()?))) {
            Some((key, size)) => exceptions.push((index + 1, key, size)),
            None => findings.push(Finding::new(
                RATCHET,
                index + 1,
                "no size at the end of the line",
            )),
        }
    }
    let sizes: Vec<Sized> = files.iter().flat_map(sizes).collect();
    for sized in sizes.iter().filter(|sized| sized.len > sized.limit) {
        let exception = exceptions.iter().find(|(_, key, _)| *key == sized.key);
        if exception.is_none_or(|(_, _, allowed)| sized.len > *allowed) {
            let limit = exception.map_or(sized.limit, |(_, _, allowed)| *allowed);
            let message = format!("{} has {} lines, more than {limit}", sized.key, sized.len);
            findings.push(Finding::new(&sized.path, sized.line, message));
        }
    }
    for (line, key, allowed) in exceptions {
        let len = sizes
            .iter()
            .filter(|sized| sized.key == key)
            .map(|sized| sized.len)
            .max();
        let limit = sizes
            .iter()
            .find(|sized| sized.key == key)
            .map_or(0, |sized| sized.limit);
        let len = len.unwrap_or(0);
        if len <= limit {
            findings.push(Finding::new(
                RATCHET,
                line,
                format!("{key} is no exception any more"),
            ));
        } else if len < allowed {
            findings.push(Finding::new(
                RATCHET,
                line,
                format!("{key} is down to {len}: say so"),
            ));
        }
    }
    findings
}

fn sizes(file: &SourceFile) -> Vec<Sized> {
    let is_rust = file.extension() == "rs";
    let is_code = is_rust || matches!(file.extension(), "c" | "h");
    if !is_code || code::is_test_file(&file.path) {
        return Vec::new();
    }
    let lines: Vec<(usize, &str)> = if is_rust {
        code::without_tests(&file.text)
    } else {
        file.lines().collect()
    };
    let mut sizes = Vec::new();
    for (index, (number, line)) in lines.iter().enumerate() {
        let name = if is_rust {
            rust_function(line)
        } else {
            c_function(line)
        };
        let Some(name) = name else { continue };
        let rest = lines.get(index..).unwrap_or_default();
        if let Some(len) = function_len(rest) {
            sizes.push(Sized {
                key: format!("function {}::{name}", file.path),
                path: file.path.clone(),
                line: *number,
                len,
                limit: FUNCTION_LIMIT,
            });
        }
    }
    sizes.push(Sized {
        key: format!("file {}", file.path),
        path: file.path.clone(),
        line: 0,
        len: lines.len(),
        limit: FILE_LIMIT,
    });
    sizes
}

/// Lines from the first one to the brace that closes it; none for a declaration without a body.
/// Relies on the formatter: that brace is alone on its line and as deep as the first line.
fn function_len(lines: &[(usize, &str)]) -> Option<usize> {
    let (_, first) = lines.first()?;
    let indent = &first[..first.len() - first.trim_start().len()];
    let close = format!("{indent}}}");
    for (index, (_, line)) in lines.iter().enumerate() {
        let ends_here = *line == close || (index == 0 && line.ends_with('}'));
        if ends_here {
            return Some(index + 1);
        }
        if line.ends_with(';') && line.starts_with(indent) && index_is_signature(lines, index) {
            return None;
        }
    }
    None
}

/// True when no brace has opened a body up to this line.
fn index_is_signature(lines: &[(usize, &str)], index: usize) -> bool {
    !lines
        .iter()
        .take(index + 1)
        .any(|(_, line)| code::strip(line).trim_end().ends_with('{'))
}

/// The name of the function that starts on this line of Rust.
fn rust_function(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split(' ');
    loop {
        match words.next()? {
            "fn" => break,
            "const" | "async" | "unsafe" | "extern" | "\"C\"" => {}
            word if word == "pub" || word.starts_with("pub(") => {}
            // `pub(in some::path)` has a space in it.
            word if word.ends_with(')') && line.contains("pub(in ") => {}
            _ => return None,
        }
    }
    words.next()?.split(['(', '<']).next()
}

/// The name of the function that starts on this line of C, in the kernel's style.
fn c_function(line: &str) -> Option<&str> {
    let starts = line.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let (head, _) = line.split_once('(')?;
    if !starts || line.ends_with(';') || head.contains('=') || !head.contains(' ') {
        return None;
    }
    head.rsplit([' ', '*']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(body: usize) -> String {
        format!(
            "impl A {{\n    pub(crate) fn b<T>(\n        c: T,\n    ) {{\n{}    }}\n}}\n",
            "        d();\n".repeat(body)
        )
    }

    fn messages(path: &str, text: &str, ratchet: &str) -> Vec<String> {
        let file = SourceFile::new(path, text);
        check(&[file], ratchet)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_function_may_have_seventy_lines_and_no_more() {
        assert_eq!(messages("a.rs", &function(66), ""), Vec::<String>::new());
        let found = messages("a.rs", &function(67), "");
        assert_eq!(
            found,
            ["a.rs:2: function a.rs::b has 71 lines, more than 70"]
        );
    }

    #[test]
    fn declarations_and_one_liners_have_no_length_of_their_own() {
        let text = format!(
            "trait A {{\n    fn b(&self);\n    fn c() {{}}\n{}}}\n",
            "    // x\n".repeat(80)
        );
        assert_eq!(messages("a.rs", &text, ""), Vec::<String>::new());
    }

    #[test]
    fn functions_in_c_count_as_well() {
        let text = format!("static int a(int b)\n{{\n{}}}\n", "\tc();\n".repeat(68));
        assert_eq!(
            messages("a.c", &text, ""),
            ["a.c:1: function a.c::a has 71 lines, more than 70"]
        );
    }

    #[test]
    fn a_file_may_have_six_hundred_lines_without_its_tests() {
        let tests = "#[cfg(test)]\nmod tests {\n    x\n}\n";
        let good = format!("{}{tests}", "x\n".repeat(600));
        assert_eq!(messages("a.rs", &good, ""), Vec::<String>::new());
        let bad = format!("{}{tests}", "x\n".repeat(601));
        assert_eq!(
            messages("a.rs", &bad, ""),
            ["a.rs:0: file a.rs has 601 lines, more than 600"]
        );
        let tests = format!("{bad}{}", function(100));
        assert_eq!(messages("a/tests/b.rs", &tests, ""), Vec::<String>::new());
    }

    #[test]
    fn exceptions_hold_but_only_go_down() {
        let text = function(70);
        assert_eq!(
            messages("a.rs", &text, "# why\nfunction a.rs::b 74\n"),
            Vec::<String>::new()
        );
        assert!(messages("a.rs", &text, "function a.rs::b 73\n")[0].contains("more than 73"));
        let found = messages("a.rs", &text, "function a.rs::b 75\n");
        assert_eq!(
            found,
            ["tools/tidy/ratchet.txt:1: function a.rs::b is down to 74: say so"]
        );
        assert!(messages("a.rs", "x\n", "function a.rs::b 75\n")[0].contains("no exception"));
        assert!(messages("a.rs", "x\n", "function a.rs::b\n")[0].contains("no size"));
    }

    #[test]
    fn functions_are_recognised() {
        for (line, name) in [
            ("fn a() {", Some("a")),
            ("    pub const fn b<T>(", Some("b")),
            ("pub unsafe extern \"C\" fn c(", Some("c")),
            ("    pub(in crate::x) fn d() {", Some("d")),
            ("// fn e() {", None),
            ("let f = |x| {", None),
        ] {
            assert_eq!(rust_function(line), name, "{line}");
        }
        assert_eq!(
            c_function("static __always_inline int a(struct b *c)"),
            Some("a")
        );
        assert_eq!(c_function("int a(void);"), None);
        assert_eq!(c_function("\tif (x) {"), None);
        assert_eq!(c_function("SEC(\"xdp.frags\")"), None);
    }
}
