//! The journal: what a lab consists of, written down before it is made.

use crate::{Error, Options};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where journals are kept: memory of this boot, like the namespaces themselves.
pub(crate) const DIRECTORY: &str = "/run/byway";

/// What was made, or is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Version of this format.
    pub(crate) schema: u32,
    /// Name of the lab.
    pub(crate) name: String,
    /// How it was asked for.
    pub(crate) options: Options,
    /// Names of the namespaces.
    pub(crate) namespaces: Vec<String>,
    /// The process that the lab must not outlive; none for a lab that stays until `down`.
    pub(crate) owner: Option<Process>,
}

impl Entry {
    /// True when the lab has a namespace of this name.
    pub(crate) fn has(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|name| name == namespace)
    }
}

/// A process, told apart from a later one with the same pid by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    pub(crate) started: u64,
}

impl Process {
    /// The calling process.
    pub(crate) fn current() -> Option<Self> {
        Self::find(std::process::id())
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    fn find(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self {
            pid,
            started: start_time(&stat)?,
        })
    }
}

/// Field 22, counted from behind the command name, which may contain spaces and parentheses.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// The directory of journals, held against other processes that make or remove labs.
pub(crate) struct Journal {
    directory: PathBuf,
    _lock: File,
}

impl Journal {
    /// Waits until no other process holds it. Released on drop.
    pub(crate) fn lock(directory: &Path) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(|error| Error::file(directory, "make", &error))?;
        let lock = File::open(directory).map_err(|error| Error::file(directory, "open", &error))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|errno| Error::file(directory, "lock", &errno.into()))?;
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn read(&self, name: &str) -> Option<Entry> {
        read(&self.directory, name)
    }

    /// Writes the entry so that a reader, or a crash, sees the old or the new one.
    pub(crate) fn write(&self, entry: &Entry) -> Result<(), Error> {
        let path = path(&self.directory, &entry.name);
        let draft = path.with_extension("json.new");
        let text = serde_json::to_string_pretty(entry).expect("plain data always serialises");
        let written = File::create(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&draft, &path));
        written.map_err(|error| Error::file(&path, "write", &error))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = path(&self.directory, name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file(&path, "remove", &error))
            }
            _ => Ok(()),
        }
    }

    /// Labs whose owner is gone: a test or a benchmark that was killed.
    pub(crate) fn abandoned(&self) -> Vec<Entry> {
        let files = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| lab_name(&file.file_name().to_string_lossy()).map(str::to_owned))
            .filter_map(|name| self.read(&name))
            .filter(|entry| entry.owner.is_some_and(|owner| !owner.is_alive()))
            .collect()
    }
}

/// Reads an entry without the lock: `write` replaces files whole.
pub(crate) fn read(directory: &Path, name: &str) -> Option<Entry> {
    let text = fs::read_to_string(path(directory, name)).ok()?;
    serde_json::from_str(&text).ok()
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("lab-{name}.json"))
}

fn lab_name(file: &str) -> Option<&str> {
    file.strip_prefix("lab-")?.strip_suffix(".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, owner: Option<Process>) -> Entry {
        Entry {
            schema: 1,
            name: name.to_owned(),
            options: Options::default(),
            namespaces: vec![format!("{name}-client")],
            owner,
        }
    }

    #[test]
    fn what_was_written_is_read_until_it_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let journal = Journal::lock(place.path()).unwrap();
        assert_eq!(journal.read("a"), None);
        journal.write(&entry("a", None)).unwrap();
        assert_eq!(journal.read("a"), Some(entry("a", None)));
        journal.remove("a").unwrap();
        journal.remove("a").unwrap();
        assert_eq!(journal.read("a"), None);
        assert_eq!(
            fs::read_dir(place.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
    }

    #[test]
    fn only_labs_of_dead_owners_are_abandoned() {
        let place = tempfile::tempdir().unwrap();
        let journal = Journal::lock(place.path()).unwrap();
        let alive = Process::current().unwrap();
        let recycled = Process {
            started: alive.started + 1,
            ..alive
        };
        journal.write(&entry("stays", None)).unwrap();
        journal.write(&entry("mine", Some(alive))).unwrap();
        journal.write(&entry("lost", Some(recycled))).unwrap();
        fs::write(place.path().join("lab-torn.json"), "{").unwrap();
        let abandoned = journal.abandoned();
        let names: Vec<&str> = abandoned.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["lost"]);
    }

    #[test]
    fn the_start_time_is_found_behind_any_command_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4 0 0 0 0 1 2 3 4 20 0 1 0 4711 9 9";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time("7 (x) S 1"), None);
        assert_eq!(start_time(""), None);
    }
}
