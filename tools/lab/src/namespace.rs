//! A network namespace by its name, and how to get things to run in it.

use crate::{Error, ErrorKind, tool};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `ip netns` keeps a name for each namespace.
const DIRECTORY: &str = "/run/netns";

/// The magic number of the file system that namespaces live in (`NSFS_MAGIC`).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A named network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of this name; it need not exist.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Its name, as in `ip netns exec NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its name is bound.
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// True when there is a namespace of that name.
    pub fn exists(&self) -> bool {
        // An interrupted `ip netns add` leaves a plain file, which is no namespace.
        rustix::fs::statfs(self.path()).is_ok_and(|fs| fs.f_type as u64 == NSFS_MAGIC)
    }

    /// A command that runs in the namespace. The process it starts *is* the program: its pid can
    /// be signalled. `/sys` shows the namespace's interfaces to it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = tool::command("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        // `tool::command` pins the language for messages that we parse; programs of others run as
        // they would outside.
        match std::env::var_os("LC_ALL") {
            Some(value) => command.env("LC_ALL", value),
            None => command.env_remove("LC_ALL"),
        };
        command
    }

    /// Moves the calling thread, and only it, into the namespace: sockets that it opens and
    /// processes that it starts from now on are there. There is no way back: use a thread of its own.
    pub fn enter(&self) -> Result<(), Error> {
        let path = self.path();
        let file = File::open(&path).map_err(|error| Error::file(&path, "open", &error))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| Error::file(&path, "enter", &std::io::Error::from(errno)))
    }

    /// Runs `work` in the namespace, on a thread of its own, and returns what it returns.
    ///
    /// # Panics
    /// When `work` does, with the same payload.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                Ok(work())
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Processes that are in the namespace.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        let text = tool::run("ip", &["netns", "pids", &self.name])?;
        Ok(text
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .collect())
    }

    /// Runs `ip ARGS` on the namespace's network.
    pub(crate) fn ip(&self, args: &[&str]) -> Result<String, Error> {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend_from_slice(args);
        tool::run("ip", &all)
    }

    /// Runs a program in the namespace to its end.
    pub(crate) fn tool(&self, program: &str, args: &[&str]) -> Result<String, Error> {
        let mut all = vec!["netns", "exec", self.name.as_str(), program];
        all.extend_from_slice(args);
        tool::run("ip", &all).map_err(|error| {
            let absent = error
                .to_string()
                .contains(&format!("exec of \"{program}\" failed"));
            if absent {
                Error::missing(program)
            } else {
                error
            }
        })
    }

    pub(crate) fn create(&self) -> Result<(), Error> {
        if self.path().exists() {
            let path = self.path();
            std::fs::remove_file(&path).map_err(|error| Error::file(&path, "remove", &error))?;
        }
        tool::run("ip", &["netns", "add", &self.name]).map(drop)
    }

    pub(crate) fn delete(&self) -> Result<(), Error> {
        tool::run("ip", &["netns", "delete", &self.name]).map(drop)
    }

    /// Writes a sysctl of the namespace, `key` being a path below `/proc/sys/net`.
    pub(crate) fn set_sysctls(&self, settings: &[(&str, &str)]) -> Result<(), Error> {
        self.run(|| {
            for (key, value) in settings {
                let path = Path::new("/proc/sys/net").join(key);
                std::fs::write(&path, value).map_err(|error| sysctl_error(&path, value, &error))?;
            }
            Ok(())
        })?
    }
}

fn sysctl_error(path: &Path, value: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Error::file(path, "write", error),
        _ => Error::new(
            ErrorKind::Failed,
            format!("cannot set {} to {value}: {error}", path.display()),
            "the kernel was built without this setting or this value of it",
        ),
    }
}
