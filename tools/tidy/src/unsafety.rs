//! Unsafe code lives in two crates; every other one forbids it.

use crate::Finding;
use crate::arrows::Workspace;
use crate::code::{has_word, strip};
use crate::files::SourceFile;

/// Where unsafe code may be. Clippy sees to it that each block there says why it is sound.
const ALLOWED: [(&str, &str); 2] = [("byway-sys", "engine/sys/"), ("byway-xdp", "engine/xdp/")];

const FORBID: &str = "#![forbid(unsafe_code)]";

/// Every library and program must forbid unsafe code, outside of the crates above.
pub(crate) fn check_roots(workspace: &Workspace, files: &[SourceFile]) -> Vec<Finding> {
    let others = workspace
        .packages
        .iter()
        .filter(|package| ALLOWED.iter().all(|(name, _)| *name != package.name));
    let mut findings = Vec::new();
    let is_ours = |kind: &String| kind == "lib" || kind == "bin";
    let targets = others.flat_map(|package| &package.targets);
    for target in targets.filter(|target| target.kind.iter().any(is_ours)) {
        let path = workspace.relative(&target.src_path);
        let root = files.iter().find(|file| file.path == path);
        if root.is_some_and(|file| !file.text.lines().any(|line| line == FORBID)) {
            findings.push(Finding::new(path, 1, format!("this crate lacks {FORBID}")));
        }
    }
    findings
}

/// The keyword itself must not occur outside of the crates above.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    if ALLOWED
        .iter()
        .any(|(_, directory)| file.path.starts_with(directory))
    {
        return Vec::new();
    }
    let lines = file
        .lines()
        .filter(|(_, line)| has_word(&strip(line), "unsafe"));
    lines
        .map(|(number, _)| {
            Finding::new(
                &file.path,
                number,
                "unsafe code belongs in engine/sys or engine/xdp",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str) -> Workspace {
        let json = format!(
            r#"{{"workspace_root":"/w","packages":[{{"name":"{name}","manifest_path":"/w/m",
               "dependencies":[],"targets":[
                   {{"src_path":"/w/a/src/lib.rs","kind":["lib"]}},
                   {{"src_path":"/w/a/tests/b.rs","kind":["test"]}}]}}]}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_crate_that_does_not_forbid_is_found() {
        let bad = [SourceFile::new(
            "a/src/lib.rs",
            "//! #![forbid(unsafe_code)]\n",
        )];
        assert_eq!(
            check_roots(&workspace("byway-tcp"), &bad)[0].path,
            "a/src/lib.rs"
        );
        assert_eq!(check_roots(&workspace("byway-sys"), &bad), []);
        let good = [SourceFile::new(
            "a/src/lib.rs",
            "//! x\n#![forbid(unsafe_code)]\n",
        )];
        assert_eq!(check_roots(&workspace("byway-tcp"), &good), []);
    }

    #[test]
    fn the_keyword_is_found_and_its_mention_is_not() {
        let text =
            "// unsafe is a word\nlet a = \"unsafe\";\nlet b = unsafe_code;\nunsafe { c() }\n";
        let found = check(&SourceFile::new("engine/tcp/src/x.rs", text));
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [4]
        );
        assert_eq!(check(&SourceFile::new("engine/xdp/src/x.rs", text)), []);
    }
}
