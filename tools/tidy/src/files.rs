//! The text files of the repository.

use std::path::Path;
use std::process::Command;

/// A text file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceFile {
    /// Relative to the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// What is behind the last dot of the file's name, or nothing.
    pub(crate) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

/// Reads every text file that git knows or would add.
pub(crate) fn read_all(root: &Path) -> Result<Vec<SourceFile>, String> {
    let mut files = Vec::new();
    for path in list(root)? {
        // Listed by git but gone from the disk, or a link to nowhere: not ours to judge.
        let Ok(bytes) = std::fs::read(root.join(&path)) else {
            continue;
        };
        if let Ok(text) = String::from_utf8(bytes)
            && !text.contains('\0')
        {
            files.push(SourceFile { path, text });
        }
    }
    if files.is_empty() {
        return Err(format!("there are no files in {}", root.display()));
    }
    Ok(files)
}

fn list(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        // The files may belong to another user than the one who runs the tests.
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
        ])
        .arg("--exclude-standard")
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git ls-files failed: {}", stderr.trim()));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_that_of_the_name() {
        for (path, extension) in [
            ("a/b.rs", "rs"),
            ("a.b/c", ""),
            ("x.bpf.c", "c"),
            (".ci/run", ""),
            ("Makefile", ""),
        ] {
            assert_eq!(SourceFile::new(path, "").extension(), extension, "{path}");
        }
    }

    #[test]
    fn text_files_that_git_would_add_are_read_and_ignored_ones_are_not() {
        let place = tempfile::tempdir().unwrap();
        let git = Command::new("git")
            .args(["init", "-q"])
            .current_dir(place.path())
            .status();
        assert!(git.unwrap().success());
        for (name, bytes) in [
            ("a.rs", &b"x"[..]),
            (".gitignore", b"t/\n"),
            ("picture", b"\0\xff"),
            ("t/junk", b"x"),
        ] {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let files = read_all(place.path()).unwrap();
        let mut names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, [".gitignore", "a.rs"]);
    }
}
