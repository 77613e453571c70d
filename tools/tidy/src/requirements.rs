//! Comments that tie code to a requirement of an RFC: `//= rfc9293 3.10.7.4 MUST-10`.

use crate::Finding;
use crate::files::SourceFile;

/// The tool that reads these comments has wrong ones in its tests.
const READER: &str = "tools/rfcmap/";

/// Checks every line that starts such a comment.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.path.starts_with(READER) {
        return findings;
    }
    for (number, line) in file.lines() {
        let Some(text) = line.trim_start().strip_prefix("//=") else {
            continue;
        };
        // Input processing may say that no RFC has a word in it; the reader checks where.
        if text.starts_with(" none: ") || is_well_formed(text) {
            continue;
        }
        let message = format!("`//={text}` is not `//= rfcNUMBER SECTION [MUST-1 ...]`");
        findings.push(Finding::new(&file.path, number, message));
    }
    findings
}

fn is_well_formed(text: &str) -> bool {
    let Some(text) = text.strip_prefix(' ') else {
        return false;
    };
    let mut words = text.split(' ');
    let Some((rfc, section)) = words.next().zip(words.next()) else {
        return false;
    };
    is_rfc(rfc) && is_section(section) && words.all(|word| is_requirement(word, section))
}

fn is_rfc(word: &str) -> bool {
    word.strip_prefix("rfc").is_some_and(is_number)
}

/// `3.10.7.4`, or `A.2` in an appendix.
fn is_section(word: &str) -> bool {
    let mut parts = word.split('.');
    let first = parts.next().unwrap_or_default();
    let appendix = first.len() == 1 && first.bytes().all(|byte| byte.is_ascii_uppercase());
    (appendix || is_number(first)) && parts.all(is_number)
}

/// As RFC 9293 numbers them; for RFCs that do not, `S`, the section and a number of ours.
fn is_requirement(word: &str, section: &str) -> bool {
    let Some((kind, number)) = word.rsplit_once('-') else {
        return false;
    };
    let ours = kind.strip_prefix('S') == Some(section);
    (ours || matches!(kind, "MUST" | "SHLD" | "MAY" | "REC")) && is_number(number)
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_comments_pass() {
        for text in [
            "//= rfc9293 3.10.7.4 MUST-10",
            "    //= rfc9293 3.9.2.3 MUST-57 SHLD-63",
            "//= rfc6298 5",
            "//= rfc5961 3.2 S3.2-1 S3.2-3",
            "//= rfc7323 A.2",
            "//= rfc7323 3.2 S3.2-2 S3.2-3",
            "// = not one",
        ] {
            assert_eq!(check(&SourceFile::new("a.rs", text)), [], "{text}");
        }
    }

    #[test]
    fn each_way_to_get_one_wrong_is_found() {
        for text in [
            "//=rfc9293 3.4",
            "//= RFC9293 3.4",
            "//= rfc 9293 3.4",
            "//= rfc9293",
            "//= rfc9293 3..4",
            "//= rfc9293 3.4 MUST10",
            "//= rfc9293 3.4 SHOULD-1",
            "//= rfc5961 3.2 S-1",
            "//= rfc5961 3.2 S3.2",
            "//= rfc9293 3.4: why",
            "//= rfc7323 3.2 S3.1-2",
            "//= rfc7323 3.2 S3.2",
            "//= rfc9293 3.4 ",
        ] {
            assert_eq!(check(&SourceFile::new("a.rs", text)).len(), 1, "{text}");
        }
    }
}
