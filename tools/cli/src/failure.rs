//! How a command fails: one line of cause, one line of what to do, an exit code.

use byway_bench::BenchError;
use std::fmt;
use std::process::ExitCode;

/// Something went wrong while running.
pub(crate) const FAILED: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// The machine, or the privileges on it, are not what the command needs.
pub(crate) const PREFLIGHT: u8 = 3;

/// Why a command ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// "step: cause".
    pub(crate) cause: String,
    /// What to do about it; empty when there is nothing to say.
    pub(crate) hint: String,
}

impl Failure {
    /// A failure while running.
    pub(crate) fn failed(cause: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            cause: cause.to_string(),
            hint: hint.into(),
        }
    }

    /// Options that contradict each other.
    pub(crate) fn usage(cause: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            cause: cause.to_string(),
            hint: hint.into(),
        }
    }

    /// Writes it to standard error.
    pub(crate) fn show(&self) {
        eprintln!("error: {}", one_line(&self.cause));
        if !self.hint.is_empty() {
            eprintln!("hint: {}", one_line(&self.hint));
        }
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// Both are a promise: tools read them line by line.
fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

impl From<byway::SetupError> for Failure {
    fn from(error: byway::SetupError) -> Self {
        Self {
            code: PREFLIGHT,
            cause: error.to_string(),
            hint: error.hint().to_owned(),
        }
    }
}

impl From<byway_lab::Error> for Failure {
    fn from(error: byway_lab::Error) -> Self {
        use byway_lab::ErrorKind;
        let code = match error.kind() {
            ErrorKind::Privilege | ErrorKind::MissingTool => PREFLIGHT,
            ErrorKind::Name => USAGE,
            ErrorKind::Foreign | ErrorKind::Failed => FAILED,
        };
        Self {
            code,
            cause: format!("lab: {error}"),
            hint: error.hint().to_owned(),
        }
    }
}

impl From<byway_impair::WireError> for Failure {
    fn from(error: byway_impair::WireError) -> Self {
        use byway_impair::ErrorKind;
        let code = match error.kind() {
            ErrorKind::Usage => USAGE,
            ErrorKind::Preflight => PREFLIGHT,
            ErrorKind::Failed => FAILED,
        };
        Self {
            code,
            cause: format!("wire: {error}"),
            hint: error.hint().to_owned(),
        }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        let code = error.exit_code();
        match error {
            BenchError::Preflight { what, hint } => Self {
                code,
                cause: format!("bench: {what}"),
                hint,
            },
            other => Self {
                code,
                cause: format!("bench: {other}"),
                hint: String::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stay_on_one_line() {
        assert_eq!(one_line("a\n  b\n\nc\n"), "a; b; c");
    }

    #[test]
    fn exit_codes_follow_the_kind() {
        let what = BenchError::Preflight {
            what: "w".into(),
            hint: "h".into(),
        };
        let failure = Failure::from(what);
        assert_eq!((failure.code, failure.hint.as_str()), (PREFLIGHT, "h"));
        assert_eq!(Failure::from(BenchError::Interrupted).code, 130);
        assert_eq!(Failure::from(BenchError::Broken("b".into())).code, 99);
        assert_eq!(Failure::from(BenchError::Usage("u".into())).code, USAGE);
    }
}
