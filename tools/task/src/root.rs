//! Running things as root: directly when we are, through sudo when it is there.

use crate::{Failure, Outcome};
use std::path::Path;
use std::process::{Command, Stdio};

/// How this process gets root's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It has them.
    Root,
    /// sudo is installed; it may ask for a password.
    Sudo,
    /// No way.
    None,
}

/// How this process gets root's rights.
pub(crate) fn access() -> Access {
    if rustix::process::geteuid().is_root() {
        Access::Root
    } else if ["/usr/bin/sudo", "/usr/local/bin/sudo"]
        .iter()
        .any(|path| Path::new(path).exists())
    {
        Access::Sudo
    } else {
        Access::None
    }
}

/// A command that runs `program` as root with these variables in its environment (sudo does not
/// pass ours on).
pub(crate) fn command(program: &str, environment: &[(&str, &str)]) -> Outcome<Command> {
    match access() {
        Access::Root => {
            let mut command = Command::new(program);
            command.envs(environment.iter().copied());
            Ok(command)
        }
        Access::Sudo => {
            let mut command = Command::new("sudo");
            command.arg("env");
            command.args(
                environment
                    .iter()
                    .map(|(key, value)| format!("{key}={value}")),
            );
            command.arg(program);
            Ok(command)
        }
        Access::None => Err(Failure::new(format!(
            "{program} must run as root, and there is no sudo: become root and try again"
        ))),
    }
}

/// Asks for sudo's password now, rather than in the middle of something, or renews the permission.
/// True when commands can run as root without asking from here on.
pub(crate) fn ready() -> bool {
    match access() {
        Access::Root => true,
        Access::None => false,
        Access::Sudo => Command::new("sudo")
            .arg("-v")
            .stdin(Stdio::inherit())
            .status()
            .is_ok_and(|status| status.success()),
    }
}
