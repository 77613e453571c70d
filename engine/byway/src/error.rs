//! Why an engine could not be set up.

use std::fmt;
use std::io;

/// Set-up failed: one line of cause ([`Display`](fmt::Display)) and one of remedy
/// ([`SetupError::hint`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError {
    step: String,
    cause: String,
    hint: String,
    errno: Option<i32>,
}

impl SetupError {
    pub(crate) fn new(
        step: impl Into<String>,
        cause: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            step: step.into(),
            cause: cause.into(),
            hint: hint.into(),
            errno: None,
        }
    }

    pub(crate) fn io(step: impl Into<String>, error: &io::Error, hint: impl Into<String>) -> Self {
        Self {
            errno: error.raw_os_error(),
            ..Self::new(step, error.to_string(), hint)
        }
    }

    /// What was being done, with its object: "address 10.0.0.1:80", "interface eth0".
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Why it failed.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do about it, in one line.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// The error number of the kernel, when it was the kernel that refused.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)
    }
}

impl std::error::Error for SetupError {}

impl From<byway_xdp::SetupError> for SetupError {
    fn from(error: byway_xdp::SetupError) -> Self {
        // It shows itself as "step: cause".
        let text = error.to_string();
        let cause = text
            .strip_prefix(error.step.as_str())
            .and_then(|rest| rest.strip_prefix(": "))
            .unwrap_or(&text);
        let hint = error.hint().to_owned();
        Self {
            cause: cause.to_owned(),
            hint,
            errno: error.errno,
            step: error.step,
        }
    }
}
