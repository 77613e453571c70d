//! What a measurement leaves behind: the table, and the files that were asked for; and reading them
//! back.

use crate::error::BenchError;
use crate::result::{ResultFile, SCHEMA};
use crate::{csv, hgrm, hlog, report, table};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where results go, besides the table on standard output.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write the result as JSON; - for standard output, without the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report, one HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a row for each run, with the units in the names of the columns
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write the percentile spectrum of each run to this directory, as .hgrm: text in milliseconds
    /// that HdrHistogram's plotters open
    #[arg(long, value_name = "DIR")]
    pub hgrm: Option<PathBuf>,
    /// Write the histogram of each round, tagged with its run, as an HdrHistogram log (V2,
    /// compressed, nanoseconds)
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
}

impl OutputArgs {
    /// True when standard output is for the JSON alone.
    pub(crate) fn is_bare(&self) -> bool {
        self.json.as_deref().is_some_and(is_standard_output)
    }

    /// Refuses what could not be written, so that it does not cost a measurement.
    ///
    /// # Errors
    /// When two outputs are one file, a directory is missing or a file, or the directory for the
    /// spectra cannot be made.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        let files: Vec<&Path> = [&self.json, &self.html, &self.csv, &self.hlog]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .filter(|path| !is_standard_output(path))
            .collect();
        for (index, path) in files.iter().enumerate() {
            if files[..index].contains(path) && !is_special(path) {
                let what = format!("{} is to hold two different outputs", path.display());
                return Err(BenchError::Usage(what));
            }
            check_file(path)?;
        }
        match &self.hgrm {
            Some(directory) => make_directory(directory),
            None => Ok(()),
        }
    }

    /// Prints the table to standard output, `out`, and writes every file that was asked for. One
    /// that cannot be written keeps no other from being written.
    ///
    /// # Errors
    /// The outputs that could not be written, by name.
    pub(crate) fn write(&self, file: &ResultFile, out: &mut impl Write) -> Result<(), BenchError> {
        let mut failures = Failures::default();
        failures.note(match self.is_bare() {
            true => print(out, &file.to_json()),
            false => print(out, &table::render(file)),
        });
        if let Some(path) = self
            .json
            .as_deref()
            .filter(|path| !is_standard_output(path))
        {
            failures.note(write(path, &file.to_json()));
        }
        if let Some(path) = &self.csv {
            failures.note(write(path, &csv::rows(file)));
        }
        if let Some(path) = &self.hlog {
            failures.note(write(path, &hlog::log(file)));
        }
        if let Some(directory) = &self.hgrm {
            failures.note(write_spectra(file, directory));
        }
        if let Some(path) = &self.html {
            failures.note(write(path, &report::html(file)));
        }
        failures.into_result()
    }
}

impl ResultFile {
    /// The text of the file, readable for people too.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("all keys are strings") + "\n"
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When the path cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BenchError> {
        write(path, &self.to_json())
    }

    /// Reads a file that `--json` wrote.
    ///
    /// # Errors
    /// [`BenchError::Io`] when it cannot be read, [`BenchError::Usage`] when it is something else,
    /// or of another schema; both name the file.
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        let name = path.display();
        let text = std::fs::read(path).map_err(BenchError::io(format!("reading {name}")))?;
        let usage = |what: String| BenchError::Usage(format!("{name} {what}"));
        let value: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|error| usage(format!("is not JSON: {error}")))?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(schema) if schema == u64::from(SCHEMA) => {}
            Some(schema) => {
                return Err(usage(format!(
                    "has schema {schema}, and this version reads schema {SCHEMA}"
                )));
            }
            None => {
                return Err(usage(
                    "is no result of byway bench: it has no schema".to_owned(),
                ));
            }
        }
        serde_json::from_value(value)
            .map_err(|error| usage(format!("is no result of byway bench rr or crr: {error}")))
    }
}

/// What could not be written so far.
#[derive(Default)]
struct Failures(Vec<BenchError>);

impl Failures {
    fn note(&mut self, done: Result<(), BenchError>) {
        self.0.extend(done.err());
    }

    fn into_result(mut self) -> Result<(), BenchError> {
        if self.0.len() > 1 {
            let all: Vec<String> = self.0.iter().map(BenchError::to_string).collect();
            return Err(BenchError::Failed(all.join("; ")));
        }
        self.0.pop().map_or(Ok(()), Err)
    }
}

fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-")
}

/// True for a device, a pipe, a terminal: what is written to, but neither truncated nor replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn check_file(path: &Path) -> Result<(), BenchError> {
    let refuse = |why: io::ErrorKind| Err(writing(path)(io::Error::from(why)));
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    match fs::metadata(parent) {
        Err(error) => Err(writing(path)(error)),
        Ok(found) if !found.is_dir() => refuse(io::ErrorKind::NotADirectory),
        Ok(_) if path.is_dir() => refuse(io::ErrorKind::IsADirectory),
        Ok(_) => Ok(()),
    }
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> BenchError {
    BenchError::io(format!("writing {}", path.display()))
}

/// Writes to standard output, `out`. `print!` would panic when it is closed or full.
pub(crate) fn print(out: &mut impl Write, text: &str) -> Result<(), BenchError> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(BenchError::io("writing standard output"))
}

/// Writes one `.hgrm` file a run, all rounds of it together.
pub(crate) fn write_spectra(file: &ResultFile, directory: &Path) -> Result<(), BenchError> {
    make_directory(directory)?;
    file.runs
        .iter()
        .filter(|run| run.rate_per_s > 0.0)
        .try_for_each(|run| {
            let path = directory.join(run.file_stem() + ".hgrm");
            write(&path, &hgrm::spectrum(&run.histogram()))
        })
}

pub(crate) fn make_directory(path: &Path) -> Result<(), BenchError> {
    fs::create_dir_all(path).map_err(BenchError::io(format!("making {}", path.display())))
}

/// Writes a whole file or none: on a full disk, what was there before is still there.
///
/// # Errors
/// When the file cannot be written; the error names it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    let done = match is_special(path) {
        true => fs::write(path, text),
        false => replace(path, text),
    };
    done.map_err(writing(path))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link goes on being one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(text.as_bytes())?;
        // Some file systems find out only here that the disk is full.
        file.sync_all()?;
        fs::rename(&part, &path)
    };
    let done = write();
    if done.is_err() {
        // It may not even have been made.
        let _ = fs::remove_file(&part);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::sample;

    /// A directory that is gone at the end of the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("byway-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn all(directory: &Directory) -> OutputArgs {
        OutputArgs {
            json: Some(directory.path("result.json")),
            html: Some(directory.path("report.html")),
            csv: Some(directory.path("runs.csv")),
            hgrm: Some(directory.path("spectra")),
            hlog: Some(directory.path("rounds.hlog")),
        }
    }

    #[test]
    fn every_output_is_written_and_nothing_else() {
        let directory = Directory::new("outputs");
        let args = all(&directory);
        args.check().unwrap();
        let mut out = Vec::new();
        args.write(&sample(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), table::render(&sample()));
        assert_eq!(
            directory.names(),
            [
                "report.html",
                "result.json",
                "rounds.hlog",
                "runs.csv",
                "spectra"
            ]
        );
        let spectra = fs::read_dir(directory.path("spectra")).unwrap().count();
        assert_eq!(spectra, sample().runs.len());
        let back = ResultFile::read(&directory.path("result.json")).unwrap();
        assert_eq!(back.runs, sample().runs);
    }

    #[test]
    fn a_full_disk_is_named_and_costs_no_other_output() {
        let directory = Directory::new("full");
        let args = OutputArgs {
            json: Some(PathBuf::from("/dev/full")),
            ..all(&directory)
        };
        args.check().unwrap();
        let mut out = Vec::new();
        let error = args.write(&sample(), &mut out).unwrap_err();
        assert!(!out.is_empty(), "the table is printed all the same");
        assert_eq!(error.exit_code(), 1);
        let text = error.to_string();
        assert!(text.contains("writing /dev/full: No space left"), "{text}");
        assert_eq!(
            directory.names(),
            ["report.html", "rounds.hlog", "runs.csv", "spectra"]
        );
    }

    #[test]
    fn several_failures_are_all_told() {
        let directory = Directory::new("several");
        let args = OutputArgs {
            csv: Some(PathBuf::from("/dev/full")),
            hlog: Some(directory.path("missing/rounds.hlog")),
            json: Some(directory.path("result.json")),
            ..OutputArgs::default()
        };
        let mut full = File::create("/dev/full").unwrap();
        let error = args.write(&sample(), &mut full).unwrap_err();
        let text = error.to_string();
        for name in ["standard output", "/dev/full", "missing/rounds.hlog"] {
            assert!(text.contains(name), "{text}");
        }
        assert_eq!(directory.names(), ["result.json"]);
    }

    #[test]
    fn what_was_there_survives_a_write_that_fails() {
        let directory = Directory::new("survives");
        let path = directory.path("baseline.json");
        fs::write(&path, "old").unwrap();
        // A directory in the place of the new file makes writing it fail.
        fs::create_dir(directory.path("baseline.json.part")).unwrap();
        assert!(write(&path, "new").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        fs::remove_dir(directory.path("baseline.json.part")).unwrap();
        let link = directory.path("link.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(link.is_symlink());
        assert_eq!(directory.names(), ["baseline.json", "link.json"]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_anything_is_measured() {
        let directory = Directory::new("refused");
        let refused = |args: OutputArgs| {
            let error = args.check().expect_err("refused");
            (error.exit_code(), error.to_string())
        };
        let (code, text) = refused(OutputArgs {
            json: Some(directory.path("missing/result.json")),
            ..OutputArgs::default()
        });
        assert!(code == 1 && text.contains("missing/result.json"), "{text}");
        let (code, text) = refused(OutputArgs {
            html: Some(directory.0.clone()),
            ..OutputArgs::default()
        });
        assert!(code == 1 && text.contains("directory"), "{text}");
        let (code, text) = refused(OutputArgs {
            csv: Some(directory.path("a")),
            hlog: Some(directory.path("a")),
            ..OutputArgs::default()
        });
        assert!(
            code == 2 && text.contains("two different outputs"),
            "{text}"
        );
        fs::write(directory.path("file"), "").unwrap();
        let (code, text) = refused(OutputArgs {
            hgrm: Some(directory.path("file")),
            ..OutputArgs::default()
        });
        assert!(code == 1 && text.contains("making"), "{text}");
        assert!(OutputArgs::default().check().is_ok());
        let bare = OutputArgs {
            json: Some(PathBuf::from("-")),
            ..OutputArgs::default()
        };
        assert!(bare.is_bare() && bare.check().is_ok());
        let mut out = Vec::new();
        bare.write(&sample(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), sample().to_json());
    }
}
