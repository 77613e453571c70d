//! Running the programs that do the work: `ip` and `ethtool`.

use crate::Error;
use std::process::{Command, Stdio};

/// A command that finds administrator tools also when PATH leaves the sbin directories out, and
/// that speaks English, so that its messages can be recognised.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C");
    command
}

/// Runs a program to its end and returns what it wrote on stdout.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String, Error> {
    let output = match command(program).args(args).stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::missing(program));
        }
        Err(error) => return Err(Error::command(&line(program, args), &error.to_string())),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Error::command(&line(program, args), &stderr));
    }
    // `ip netns exec` reports a missing program by a message and status 255 or 1, caught above;
    // some releases of ip exit with 0 after a failed request, but never without this mark.
    if stderr.contains("RTNETLINK answers:") {
        return Err(Error::command(&line(program, args), &stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn line(program: &str, args: &[&str]) -> String {
    format!("{program} {}", args.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_failure_names_the_command_and_its_message() {
        let error = run("ls", &["/no/such/place"]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("`ls /no/such/place` failed: "), "{text}");
        assert!(text.contains("No such file"), "{text}");
    }

    #[test]
    fn a_missing_program_is_said_to_be_missing() {
        let error = run("byway-no-such-program", &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingTool);
    }
}
