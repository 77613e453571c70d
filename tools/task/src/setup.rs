//! Debian packages: which are needed, which are missing, and installing them quietly.

use crate::root::{self, Access};
use crate::{Failure, Outcome, interrupt, process};
use std::path::Path;
use std::process::{Command, Stdio};

/// What packages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Compiling everything, the XDP program and libxdp included.
    Build,
    /// Namespaces and veth pairs.
    Lab,
    /// Other people's clients, for the end-to-end tests.
    Test,
    /// Counting instructions.
    Count,
}

impl Group {
    pub(crate) const ALL: [Self; 4] = [Self::Build, Self::Lab, Self::Test, Self::Count];

    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Build => &[
                "gcc",
                "libc6-dev",
                "make",
                "pkg-config",
                "m4",
                "clang",
                "libelf-dev",
                "zlib1g-dev",
            ],
            Self::Lab => &["iproute2", "ethtool"],
            Self::Count => &["valgrind"],
            Self::Test => &[
                "git",
                "curl",
                "wrk",
                "netcat-openbsd",
                "socat",
                "util-linux",
                "procps",
                "tshark",
            ],
        }
    }
}

/// Installs what is missing of these groups. Asks nothing, starts no service, and does not touch
/// apt when nothing is missing.
pub(crate) fn install(groups: &[Group]) -> Outcome {
    let wanted: Vec<&str> = groups
        .iter()
        .flat_map(|group| group.packages())
        .copied()
        .collect();
    let Some(known) = dpkg_states(&wanted) else {
        eprintln!(
            "note: not a Debian system; needed here: {}",
            wanted.join(" ")
        );
        return Ok(());
    };
    let missing = missing(&wanted, &known);
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("Installing Debian packages: {}", missing.join(" "));
    if root::access() == Access::None || !root::ready() {
        return Err(by_hand(&missing, "neither root nor sudo"));
    }
    let _quiet = ServicePolicy::deny()?;
    if !Path::new("/var/lib/apt/lists").join("partial").exists() || lists_are_empty() {
        apt(&["update"])?;
    }
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(&missing);
    // A package list that is too old names versions that are gone: renew it, then once more.
    if apt(&args).is_err() {
        interrupt::check()?;
        let again = apt(&["update"]).and_then(|()| apt(&args));
        interrupt::check()?;
        again.map_err(|failure| by_hand(&missing, &failure.message))?;
    }
    Ok(())
}

fn by_hand(missing: &[&str], why: &str) -> Failure {
    Failure::new(format!(
        "cannot install packages ({why}); as root, run\n  apt-get update && apt-get install -y \
         --no-install-recommends {}",
        missing.join(" ")
    ))
}

/// What dpkg says about the packages; none when there is no dpkg.
fn dpkg_states(packages: &[&str]) -> Option<String> {
    // It exits with 1 as soon as it does not know one of them, and describes the others.
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(packages)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn missing<'a>(wanted: &[&'a str], states: &str) -> Vec<&'a str> {
    let installed = |package: &str| {
        states
            .lines()
            .any(|line| line.split_once(' ') == Some((package, "installed")))
    };
    wanted
        .iter()
        .copied()
        .filter(|package| !installed(package))
        .collect()
}

fn lists_are_empty() -> bool {
    let files = std::fs::read_dir("/var/lib/apt/lists")
        .into_iter()
        .flatten()
        .flatten();
    !files
        .into_iter()
        .any(|file| file.file_name().to_string_lossy().ends_with("_Packages"))
        && !any_compressed_list()
}

/// Container images keep their package lists compressed.
fn any_compressed_list() -> bool {
    let files = std::fs::read_dir("/var/lib/apt/lists")
        .into_iter()
        .flatten()
        .flatten();
    files
        .into_iter()
        .any(|file| file.file_name().to_string_lossy().contains("_Packages."))
}

fn apt(args: &[&str]) -> Outcome {
    let mut command = root::command("apt-get", &[("DEBIAN_FRONTEND", "noninteractive")])?;
    // Wait for another apt to finish instead of failing; on a terminal, no progress bar games.
    command
        .args([
            "-qq",
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Dpkg::Use-Pty=0",
        ])
        .args(args)
        .stdin(Stdio::null());
    // Data goes to stdout, and this is none.
    command.stdout(std::io::stderr());
    let status = process::run_attached(&mut command)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "apt-get {} failed",
            args.first().unwrap_or(&"")
        )))
    }
}

/// While it lives, packages that are installed start no service.
struct ServicePolicy {
    ours: bool,
}

impl ServicePolicy {
    const PATH: &'static str = "/usr/sbin/policy-rc.d";
    const MARK: &'static str = "made by byway-task while it installs packages";

    fn deny() -> Outcome<Self> {
        if let Ok(present) = std::fs::read_to_string(Self::PATH) {
            // One with our mark is left from a run that was killed: ours to remove.
            return Ok(Self {
                ours: present.contains(Self::MARK),
            });
        }
        let script = format!(
            "printf '#!/bin/sh\\n# {}\\nexit 101\\n' > {path} && chmod 755 {path}",
            Self::MARK,
            path = Self::PATH
        );
        // Before the attempt: an interrupted one must be undone as well.
        let policy = Self { ours: true };
        let status = process::run_attached(root::command("sh", &[])?.args(["-c", &script]))?;
        if status.success() {
            Ok(policy)
        } else {
            Err(Failure::new(format!("cannot write {}", Self::PATH)))
        }
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if !self.ours {
            return;
        }
        let removed = root::command("rm", &[])
            .and_then(|mut rm| process::run_attached(rm.args(["-f", Self::PATH])))
            .is_ok_and(|status| status.success());
        if !removed {
            eprintln!(
                "warning: remove {} by hand: no service starts while it is there",
                Self::PATH
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_counts() {
        let states =
            "gcc installed\nm4 config-files\nlibelf-dev not-installed\nclang-14 installed\n";
        let wanted = ["gcc", "m4", "libelf-dev", "clang"];
        assert_eq!(missing(&wanted, states), ["m4", "libelf-dev", "clang"]);
        assert_eq!(missing(&["gcc"], states), Vec::<&str>::new());
    }

    #[test]
    fn the_way_out_is_a_command_to_copy() {
        let text = by_hand(&["m4", "wrk"], "neither root nor sudo").message;
        assert!(
            text.ends_with("apt-get install -y --no-install-recommends m4 wrk"),
            "{text}"
        );
    }
}
