//! Just enough understanding of Rust source, as rustfmt leaves it, for the other rules.

/// The lines of a file that are no tests: everything outside of `#[cfg(test)] mod NAME { ... }`
/// at the outermost level, with their numbers.
pub(crate) fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .collect();
    let mut kept = Vec::with_capacity(lines.len());
    let mut rest = lines.as_slice();
    while let [(number, line), tail @ ..] = rest {
        let is_test_module = *line == "#[cfg(test)]"
            && tail
                .iter()
                .map(|(_, next)| next)
                .find(|next| !next.starts_with("#["))
                .map(|next| next.strip_prefix("pub(crate) ").unwrap_or(next))
                .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if is_test_module {
            let end = tail
                .iter()
                .position(|(_, next)| *next == "}")
                .unwrap_or(tail.len());
            rest = tail.get(end + 1..).unwrap_or_default();
        } else {
            kept.push((*number, *line));
            rest = tail;
        }
    }
    kept
}

/// True for files that hold nothing but tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
}

/// The line without its `//` comment and without the contents of its string literals.
pub(crate) fn strip(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                characters.next();
            }
            '"' => {
                in_string = !in_string;
                out.push(character);
            }
            // The quote as a character literal opens no string.
            '\'' if !in_string && characters.peek() == Some(&'"') => {
                out.push_str("'_'");
                characters.next();
                characters.next();
            }
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            _ if !in_string => out.push(character),
            _ => {}
        }
    }
    out
}

/// True when `word` occurs in `text` and no letter, digit or underscore is next to it. Sides of
/// `word` that are no such character need no boundary.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let open_left = word.starts_with(is_part);
    let open_right = word.ends_with(is_part);
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|part| part.chars().next_back());
        let after = text
            .get(at + word.len()..)
            .and_then(|part| part.chars().next());
        let inside_left = open_left && before.is_some_and(is_part);
        let inside_right = open_right && after.is_some_and(is_part);
        !inside_left && !inside_right
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_modules_are_left_out_wherever_they_are() {
        let text = "a\n#[cfg(test)]\n#[allow(x)]\npub(crate) mod tests {\n    b\n}\nc\n#[cfg(test)]\nuse x;\n";
        let kept: Vec<&str> = without_tests(text)
            .into_iter()
            .map(|(_, line)| line)
            .collect();
        assert_eq!(kept, ["a", "c", "#[cfg(test)]", "use x;"]);
        assert_eq!(without_tests(text)[1].0, 7);
    }

    #[test]
    fn comments_and_strings_are_stripped() {
        assert_eq!(
            strip(r#"let a = "x // \" y"; // unsafe"#),
            r#"let a = ""; "#
        );
        assert_eq!(strip("b('\"') // \""), "b('_') ");
        assert_eq!(strip("a / b"), "a / b");
    }

    #[test]
    fn words_have_boundaries() {
        assert!(has_word("it is X, not", "X"));
        assert!(!has_word("XY aX X_", "X"));
        assert!(has_word("in /dir/x", "/dir/"));
        assert!(has_word("a.b!(c)", "b!"));
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        assert!(
            is_test_file("engine/wire/tests/frames.rs") && is_test_file("tests/netns/src/lib.rs")
        );
        assert!(is_test_file("engine/tcp/src/output/tests.rs"));
        assert!(!is_test_file("engine/tcp/src/attests.rs"));
    }
}
