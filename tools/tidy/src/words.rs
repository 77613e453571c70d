//! Words and spaces that must not be committed.

use crate::Finding;
use crate::code::has_word;
use crate::files::SourceFile;

/// Each word with the reason. They are put together from halves so that this file may be checked
/// like any other.
const BANNED: &[(&str, &str)] = &[
    (concat!("TO", "DO"), UNFINISHED),
    (concat!("FIX", "ME"), UNFINISHED),
    (concat!("XX", "X"), UNFINISHED),
    (concat!("to", "do!"), UNFINISHED),
    (concat!("unimple", "mented!"), UNFINISHED),
    (concat!("db", "g!"), "left over from debugging"),
    (concat!("/wo", "rk/"), MACHINE),
    (concat!("/ro", "ot/"), MACHINE),
    (concat!("/ho", "me/"), MACHINE),
    (concat!("/Us", "ers/"), MACHINE),
    (concat!("/tmp/", "plan"), MACHINE),
    (concat!("/tmp/", "target"), MACHINE),
    (concat!("arch", "itect"), ORGANISATION),
    (concat!("PL", "AN.md"), ORGANISATION),
    (concat!("DES", "IGN.md"), ORGANISATION),
    (concat!("FA", "CTS.md"), ORGANISATION),
    (concat!("MOD", "ELS.md"), ORGANISATION),
    (concat!("sub", "agent"), ORGANISATION),
    (concat!("place", "holder"), UNFINISHED),
];

const UNFINISHED: &str = "finish it, or write down what is missing where users look";
const MACHINE: &str = "a path of somebody's machine";
const ORGANISATION: &str = "how the work is organised does not belong in its result";

/// Checks every line of a text file.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        for (word, why) in BANNED.iter().filter(|(word, _)| has_word(line, word)) {
            findings.push(Finding::new(&file.path, number, format!("{word}: {why}")));
        }
        if line.ends_with([' ', '\t']) {
            findings.push(Finding::new(
                &file.path,
                number,
                "white space at the end of the line",
            ));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(Finding::new(
            &file.path,
            file.lines().count(),
            "no newline at the end",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_banned_word_is_found_in_a_sentence_and_not_in_another_word() {
        for (word, _) in BANNED {
            let text = format!("see {word} below\n");
            assert_eq!(check(&SourceFile::new("a.md", &text)).len(), 1, "{word}");
        }
        assert_eq!(
            check(&SourceFile::new("a.sh", concat!("mktemp a.XX", "XXXX\n"))),
            []
        );
        assert_eq!(
            check(&SourceFile::new("a.md", "the architecture, /var/home\n")),
            []
        );
    }

    #[test]
    fn stray_white_space_is_found() {
        let lines = |text| check(&SourceFile::new("a", text)).len();
        assert_eq!((lines("a\n"), lines("")), (0, 0));
        assert_eq!((lines("a \nb\n"), lines("a\t\n"), lines("a\nb")), (1, 1, 1));
    }
}
