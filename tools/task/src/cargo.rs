//! Calling cargo, and finding what it built.

use crate::process::{self, Capture};
use crate::{Failure, Outcome};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Limit for builds that no suite's budget limits.
const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Something executable that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// Name of its package.
    pub(crate) package: String,
    /// Name of the target in the package: of a crate, a test file, a binary.
    pub(crate) target: String,
    /// True for a test harness, false for a program.
    pub(crate) is_test: bool,
    pub(crate) path: PathBuf,
    /// Where its package's manifest is.
    pub(crate) directory: PathBuf,
}

/// Cargo, the one that runs us if it does.
pub(crate) fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs cargo with our streams, to its end.
pub(crate) fn run(args: &[&str]) -> Outcome {
    run_with(args, &[])
}

/// The same, with variables for cargo and what it runs.
pub(crate) fn run_with(args: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let mut command = command();
    command.args(args).envs(environment.iter().copied());
    let done = process::run(&mut command, Capture::Nothing, BUILD_LIMIT, false)?;
    if done.success {
        Ok(())
    } else {
        Err(Failure::new(format!("cargo {} failed", args.join(" "))))
    }
}

/// Arguments that make cargo tell what it built, errors still readable.
pub(crate) const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// Builds the `byway` program and returns where it is.
pub(crate) fn build_byway(profile: &[&str]) -> Outcome<PathBuf> {
    let mut args = vec![
        "build",
        "--package",
        "byway-cli",
        "--bin",
        "byway",
        MESSAGES,
    ];
    args.extend(profile);
    let done = process::run(command().args(args), Capture::Stdout, BUILD_LIMIT, false)?;
    let built = executables(&done.stdout);
    match byway(&built) {
        Some(path) if done.success => Ok(path.to_owned()),
        _ => Err(Failure::new("the byway program does not build")),
    }
}

/// The `byway` program among what was built.
pub(crate) fn byway(built: &[Executable]) -> Option<&Path> {
    let program = built
        .iter()
        .find(|each| !each.is_test && each.target == "byway")?;
    Some(&program.path)
}

/// The executables among cargo's messages, one JSON object a line.
pub(crate) fn executables(messages: &str) -> Vec<Executable> {
    messages.lines().filter_map(executable).collect()
}

fn executable(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    let manifest = Path::new(message.get("manifest_path")?.as_str()?);
    Some(Executable {
        package: package_name(message.get("package_id")?.as_str()?)?.to_owned(),
        target: message.pointer("/target/name")?.as_str()?.to_owned(),
        is_test: message.pointer("/profile/test")?.as_bool()?,
        path,
        directory: manifest.parent()?.to_owned(),
    })
}

/// The name in a package id: `path+file:///dir/name#1.0.0` or `path+file:///dir#name@1.0.0`.
fn package_name(id: &str) -> Option<&str> {
    let (url, fragment) = id.split_once('#')?;
    match fragment.split_once('@') {
        Some((name, _)) => Some(name),
        None => url.rsplit('/').next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"reason":"compiler-artifact","package_id":"path+file:///w/tools/lab#byway-lab@0.1.0","#,
        r#""manifest_path":"/w/tools/lab/Cargo.toml","target":{"name":"lab"},"#,
        r#""profile":{"test":true},"executable":"/t/deps/lab-1"}"#,
        "\n",
        r#"{"reason":"compiler-artifact","package_id":"path+file:///w/engine/byway#0.1.0","#,
        r#""manifest_path":"/w/engine/byway/Cargo.toml","target":{"name":"byway"},"#,
        r#""profile":{"test":true},"executable":"/t/deps/byway-2"}"#,
        "\n",
        r#"{"reason":"compiler-artifact","package_id":"path+file:///w/tools/cli#byway-cli@0.1.0","#,
        r#""manifest_path":"/w/tools/cli/Cargo.toml","target":{"name":"byway"},"#,
        r#""profile":{"test":false},"executable":"/t/byway"}"#,
        "\n",
        r#"{"reason":"compiler-artifact","package_id":"path+file:///w/x#x@1.0.0","executable":null}"#,
        "\nnot json\n",
        r#"{"reason":"build-finished","success":true}"#,
    );

    #[test]
    fn executables_are_found_among_the_messages() {
        let found = executables(LINES);
        assert_eq!(found.len(), 3);
        let expected = Executable {
            package: "byway-lab".to_owned(),
            target: "lab".to_owned(),
            is_test: true,
            path: "/t/deps/lab-1".into(),
            directory: "/w/tools/lab".into(),
        };
        assert_eq!(found[0], expected);
        assert_eq!(found[1].package, "byway");
    }

    #[test]
    fn the_program_is_not_taken_for_the_tests_of_the_same_name() {
        assert_eq!(byway(&executables(LINES)), Some(Path::new("/t/byway")));
        assert_eq!(byway(&[]), None);
    }
}
