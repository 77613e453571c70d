//! What can go wrong with a measurement, and the exit code each kind has.

use std::fmt::Display;
use std::io;

/// Why a benchmark gave no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The options make no sense together. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// This machine cannot do it as it is: privilege, kernel, a missing tool. Exit code 3.
    #[error("{what}\n  hint: {hint}")]
    Preflight {
        /// What is missing.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A measurement was taken, but nothing can be concluded from it. Exit code 4.
    #[error("invalid measurement: {0}")]
    Invalid(String),
    /// A system call failed. Exit code 1.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A child process did not do its part. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// What was measured is beyond a limit that the user set. Exit code 99.
    #[error("{0}")]
    Broken(String),
    /// The user stopped it. Exit code 130.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// The exit code of the command line for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } | Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Preflight { .. } => 3,
            Self::Invalid(_) => 4,
            Self::Broken(_) => 99,
            Self::Interrupted => 130,
        }
    }

    /// Turns a system error into one that says what was tried.
    pub(crate) fn io<E: Into<io::Error>>(what: impl Display) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            what: what.to_string(),
            source: source.into(),
        }
    }
}
