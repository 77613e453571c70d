//! What can go wrong while a lab is set up, and what to do about it.

use std::path::Path;

/// A lab could not be made, changed or looked at: one line of cause, and a hint.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Error {
    kind: ErrorKind,
    cause: String,
    hint: String,
}

/// What kind of thing went wrong; callers choose their exit code by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not enough privilege.
    Privilege,
    /// A program that the lab needs is not installed.
    MissingTool,
    /// The name of the lab cannot be used.
    Name,
    /// A namespace of that name exists and was not made by a lab.
    Foreign,
    /// A command or a system call failed.
    Failed,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            cause: cause.into(),
            hint: hint.into(),
        }
    }

    /// A file or directory could not be read, written or made.
    pub(crate) fn file(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let (kind, hint) = if denied {
            (ErrorKind::Privilege, PRIVILEGE_HINT)
        } else {
            (
                ErrorKind::Failed,
                "check that the file system is there and not full",
            )
        };
        Self::new(
            kind,
            format!("cannot {doing} {}: {error}", path.display()),
            hint,
        )
    }

    /// A command could not be started or exited with an error.
    pub(crate) fn command(line: &str, stderr: &str) -> Self {
        let stderr = one_line(stderr);
        let (kind, hint) = explain(&stderr);
        Self::new(kind, format!("`{line}` failed: {stderr}"), hint)
    }

    /// A command is not installed.
    pub(crate) fn missing(program: &str) -> Self {
        let package = if program == "ip" { "iproute2" } else { program };
        Self::new(
            ErrorKind::MissingTool,
            format!("`{program}` is not installed"),
            format!("install it: apt-get install --no-install-recommends {package}"),
        )
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, one line.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

const PRIVILEGE_HINT: &str = "network namespaces need root: run the command with sudo";

fn explain(stderr: &str) -> (ErrorKind, &'static str) {
    let has = |text: &str| stderr.contains(text);
    if has("not permitted") || has("Permission denied") {
        (ErrorKind::Privilege, PRIVILEGE_HINT)
    } else if has("Unknown device type") || has("Operation not supported") {
        (
            ErrorKind::Failed,
            "the kernel has no veth or no such setting: try `modprobe veth`",
        )
    } else {
        (
            ErrorKind::Failed,
            "`byway lab down` removes what is there; then try `byway lab up` again",
        )
    }
}

/// Messages of other programs on one line, so that an error stays one line.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        "no message".to_owned()
    } else {
        lines.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_follows_the_message() {
        let denied = Error::command(
            "ip netns add x",
            "mkdir /run/netns failed: Permission denied",
        );
        assert_eq!(denied.kind(), ErrorKind::Privilege);
        assert!(denied.hint().contains("sudo"));
        let veth = Error::command("ip link add", "Error: Unknown device type.\n");
        assert!(veth.hint().contains("modprobe"));
        assert_eq!(
            Error::missing("ip").hint().rsplit(' ').next(),
            Some("iproute2")
        );
    }

    #[test]
    fn a_cause_is_one_line_and_never_empty() {
        let error = Error::command("x", "\n one\n\ntwo \n");
        assert_eq!(error.to_string(), "`x` failed: one; two");
        assert_eq!(
            Error::command("x", "").to_string(),
            "`x` failed: no message"
        );
    }
}
