//! Targets: who answers the requests.

pub mod linux;
pub mod reflector;

use crate::bed::Bed;
use crate::child::Child;
use crate::error::BenchError;
use crate::scenario::{Target, Wait};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A target is ready within this, or the round fails: a bind can be refused for some time after
/// the last owner of a queue left.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// How targets are started.
pub(crate) struct Launch<'a> {
    /// This program; targets are other commands of it.
    pub(crate) executable: &'a Path,
    /// The processor for the target.
    pub(crate) cpu: usize,
    /// The XDP mode for Byway.
    pub(crate) mode: &'a str,
    /// Frames that the rings on AF_XDP are to have room for.
    pub(crate) in_flight: u32,
}

/// A target that answers. Dropping it ends it.
pub(crate) struct Started {
    child: Option<Child>,
    /// The XDP mode in use, if the target said so.
    pub(crate) xdp_mode: Option<String>,
}

impl Started {
    /// Its process, if it is ours.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// Ends the target gracefully.
    ///
    /// # Errors
    /// When it had ended before, or does not end by itself.
    pub(crate) fn stop(self) -> Result<(), BenchError> {
        self.child.map_or(Ok(()), Child::stop)
    }
}

/// Starts a target and waits until it accepts connections.
pub(crate) fn start(
    target: Target,
    bed: &Bed,
    launch: &Launch<'_>,
    stop: &AtomicBool,
) -> Result<Started, BenchError> {
    let command = match target {
        Target::LinuxBlocking => linux_command(bed, launch, Wait::Blocking),
        Target::LinuxSpinning => linux_command(bed, launch, Wait::Spinning),
        Target::Byway => byway_command(bed, launch)?,
        Target::Reflector => reflector_command(bed, launch)?,
        Target::Remote => {
            return Ok(Started {
                child: None,
                xdp_mode: None,
            });
        }
    };
    let mut child = Child::spawn(format!("the target {}", target.name()), command)?;
    let ready = child.line(READY_LIMIT, stop)?;
    if !ready.starts_with("ready") {
        return Err(child.failure(&format!("said `{ready}` instead of `ready`")));
    }
    Ok(Started {
        child: Some(child),
        xdp_mode: mode_of(&ready),
    })
}

fn linux_command(bed: &Bed, launch: &Launch<'_>, wait: Wait) -> Command {
    let mut command = bed.at_server(launch.executable);
    command
        .arg("bench-server-linux")
        .args(["--listen", &bed.address().to_string()])
        .args(["--wait", &wait.to_string()])
        .args(["--cpu", &launch.cpu.to_string()]);
    command
}

fn interface(bed: &Bed) -> Result<&str, BenchError> {
    bed.server_interface().ok_or_else(|| {
        BenchError::Usage("a target on AF_XDP needs a lab: leave out --address".to_owned())
    })
}

fn reflector_command(bed: &Bed, launch: &Launch<'_>) -> Result<Command, BenchError> {
    let mut command = bed.at_server(launch.executable);
    command
        .args(["bench-server-reflector", "--interface", interface(bed)?])
        .args(["--listen", &bed.address().to_string()])
        .args(["--cpu", &launch.cpu.to_string()])
        .args(["--in-flight", &launch.in_flight.to_string()])
        .args(["--mode", launch.mode]);
    Ok(command)
}

fn byway_command(bed: &Bed, launch: &Launch<'_>) -> Result<Command, BenchError> {
    let interface = interface(bed)?;
    let mut command = bed.at_server(launch.executable);
    command
        .args(["serve", "echo", "--interface", interface])
        .args(["--listen", &bed.address().to_string()])
        .args(["--cpus", &launch.cpu.to_string()])
        .args(["--in-flight", &launch.in_flight.to_string()])
        .args(["--mode", launch.mode]);
    Ok(command)
}

/// The word after `mode=` in a ready line.
fn mode_of(ready: &str) -> Option<String> {
    ready
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("mode="))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_taken_from_the_ready_line() {
        assert_eq!(
            mode_of("ready 10.0.0.1:7 mode=native queues=1").as_deref(),
            Some("native")
        );
        assert_eq!(mode_of("ready 10.0.0.1:7"), None);
    }
}
