//! Why set-up failed, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;

/// Set-up failed: one line of cause ([`Display`](fmt::Display)) and one of remedy ([`hint`](SetupError::hint)).
#[derive(Debug)]
pub struct SetupError {
    /// What was being done, with its object: "interface eth0", "bind eth0 queue 0".
    pub step: String,
    /// The error number of the kernel, when the kernel refused.
    pub errno: Option<i32>,
    cause: String,
    hint: String,
}

impl SetupError {
    /// A step that failed without an error number.
    pub(crate) fn new(
        step: impl Into<String>,
        cause: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            step: step.into(),
            errno: None,
            cause: cause.into(),
            hint: hint.into(),
        }
    }

    /// A step that the kernel refused.
    pub(crate) fn os(step: impl Into<String>, errno: i32, hint: impl Into<String>) -> Self {
        let cause = io::Error::from_raw_os_error(errno).to_string();
        Self {
            step: step.into(),
            errno: Some(errno),
            cause,
            hint: hint.into(),
        }
    }

    /// The same error with more said about the cause.
    pub(crate) fn because(mut self, more: impl fmt::Display) -> Self {
        self.cause = format!("{}: {more}", self.cause);
        self
    }

    /// What to do about it, one line.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// True when the machine is as it is for every mode: trying another one is of no use.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self.errno,
            Some(
                libc::EBUSY
                    | libc::EEXIST
                    | libc::EPERM
                    | libc::EACCES
                    | libc::ENOBUFS
                    | libc::ENOMEM
                    | libc::ENODEV
                    | libc::ENETDOWN
            )
        )
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)
    }
}

impl Error for SetupError {}

/// The error number at the end of a chain of errors, when there is one.
pub(crate) fn errno_of(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(errno) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(errno);
        }
        current = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_cause_and_one_of_remedy() {
        let error = SetupError::os("bind eth0 queue 0", libc::EBUSY, "stop it").because("pid 7");
        assert_eq!(
            error.to_string(),
            "bind eth0 queue 0: Device or resource busy (os error 16): pid 7"
        );
        assert_eq!(error.hint(), "stop it");
        assert!(error.is_final());
        assert!(!SetupError::os("bind", libc::EOPNOTSUPP, "").is_final());
    }

    #[test]
    fn the_error_number_is_found_behind_wrappers() {
        let wrapped = io::Error::other(io::Error::from_raw_os_error(libc::EBUSY));
        assert_eq!(
            errno_of(&wrapped),
            None,
            "io::Error hides the source of a custom error"
        );
        assert_eq!(
            errno_of(&io::Error::from_raw_os_error(libc::EBUSY)),
            Some(libc::EBUSY)
        );
    }
}
