//! Markdown: one title, lines one can read, links that lead somewhere.

use crate::Finding;
use crate::files::SourceFile;
use std::path::Path;

/// Characters of a line of prose at most. Tables, code and links cannot be broken.
const LINE_LIMIT: usize = 160;

/// Checks one document.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let prose = prose(file);
    let titles: Vec<usize> = prose
        .iter()
        .filter(|(_, line)| line.starts_with("# "))
        .map(|(number, _)| *number)
        .collect();
    match titles.as_slice() {
        [] => findings.push(Finding::new(
            &file.path,
            0,
            "a document has a title: `# Title`",
        )),
        [_] => {}
        [_, second, ..] => {
            findings.push(Finding::new(
                &file.path,
                *second,
                "a document has one title only",
            ));
        }
    }
    for (number, line) in prose {
        let breakable = !line.starts_with('|') && !line.contains("](") && !line.contains("://");
        let len = line.chars().count();
        if breakable && len > LINE_LIMIT {
            let message = format!("{len} characters, more than {LINE_LIMIT}");
            findings.push(Finding::new(&file.path, number, message));
        }
    }
    findings
}

/// Checks that links to files lead to something that is there.
pub(crate) fn check_links(root: &Path, files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.extension() == "md") {
        let directory = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (number, line) in prose(file) {
            for target in links(line) {
                if !root.join(directory).join(target).exists() {
                    let message = format!("the link to {target} leads nowhere");
                    findings.push(Finding::new(&file.path, number, message));
                }
            }
        }
    }
    findings
}

/// The lines outside of code blocks.
fn prose(file: &SourceFile) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push((number, line));
        }
    }
    lines
}

/// Targets of `[text](target)` that are files: no addresses, no anchors.
fn links(line: &str) -> Vec<&str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check(&SourceFile::new("a.md", text))
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn a_document_has_one_title() {
        assert!(lines("# A\n\n## B\n```\n# not a title\n```\n").is_empty());
        assert_eq!(lines("## A\n"), [0]);
        assert_eq!(lines("# A\n\n# B\n"), [3]);
    }

    #[test]
    fn long_lines_are_found_unless_they_cannot_be_broken() {
        let long = "x".repeat(161);
        assert_eq!(lines(&format!("# A\n{long}\n")), [2]);
        let unbreakable = format!("# A\n| {long} |\n```\n{long}\n```\nhttps://{long}\n");
        assert!(lines(&unbreakable).is_empty());
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("d")).unwrap();
        std::fs::write(place.path().join("d/b.md"), "").unwrap();
        let text =
            "[b](b.md#x) [web](https://example.org/x) [here](#y) [up](../d/b.md)\n[c](c.md)\n";
        let found = check_links(place.path(), &[SourceFile::new("d/a.md", text)]);
        assert_eq!(
            found,
            [Finding::new("d/a.md", 2, "the link to c.md leads nowhere")]
        );
    }
}
