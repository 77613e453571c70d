//! Why a wire cannot be, or had to end.

use std::error::Error;
use std::fmt;
use std::io;

/// What kind of thing went wrong; callers choose their exit code by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Settings that make no sense.
    Usage,
    /// Missing privilege, or no such interface.
    Preflight,
    /// A system call or a file failed.
    Failed,
}

/// One line of cause, one line of what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    kind: ErrorKind,
    cause: String,
    hint: String,
}

impl WireError {
    pub(crate) fn usage(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Usage,
            cause: cause.into(),
            hint: hint.into(),
        }
    }

    /// The kernel refused something about an interface.
    pub(crate) fn interface(step: &str, name: &str, error: &io::Error) -> Self {
        use rustix::io::Errno;
        let (kind, hint) = match Errno::from_io_error(error) {
            Some(Errno::PERM | Errno::ACCESS) => (
                ErrorKind::Preflight,
                "packet sockets need CAP_NET_RAW: run the command with sudo",
            ),
            Some(Errno::NODEV | Errno::NXIO) => (
                ErrorKind::Preflight,
                "`ip link` lists the interfaces; one in another network namespace needs \
                 `ip netns exec`",
            ),
            _ => (ErrorKind::Failed, "see `ip link` for its state"),
        };
        Self {
            kind,
            cause: format!("{step} {name}: {error}"),
            hint: hint.to_owned(),
        }
    }

    /// A file could not be written.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self {
            kind: ErrorKind::Failed,
            cause: format!("capture {}: {error}", path.display()),
            hint: "check that the directory is there and the disk not full".to_owned(),
        }
    }

    /// Something that has no cure.
    pub(crate) fn failed(step: &str, error: &io::Error) -> Self {
        Self {
            kind: ErrorKind::Failed,
            cause: format!("{step}: {error}"),
            hint: String::new(),
        }
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, one line; empty when there is nothing to say.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl Error for WireError {}
