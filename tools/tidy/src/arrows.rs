//! Dependencies point one way.

use crate::Finding;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// Each crate of the workspace, and the crates of the workspace that it may depend on.
///
/// `wire <- tcp <- stack`, `sys <- stack <- xdp`; `byway` joins them; services are written against
/// `byway` as a user's would be; bench, tools and tests come on top of it all.
const ARROWS: &[(&str, &[&str])] = &[
    ("byway-wire", &[]),
    ("byway-tcp", &["byway-wire"]),
    ("byway-sys", &[]),
    ("byway-stack", &["byway-wire", "byway-tcp", "byway-sys"]),
    (
        "byway-xdp",
        &["byway-wire", "byway-tcp", "byway-sys", "byway-stack"],
    ),
    (
        "byway",
        &[
            "byway-wire",
            "byway-tcp",
            "byway-sys",
            "byway-stack",
            "byway-xdp",
        ],
    ),
    ("byway-services", &["byway"]),
    (
        "byway-impair",
        &[
            "byway-wire",
            "byway-tcp",
            "byway-sys",
            "byway-stack",
            "byway-lab",
        ],
    ),
    (
        "byway-bench",
        // The lean generator and the reflector are on the port itself.
        &[
            "byway-wire",
            "byway-tcp",
            "byway-sys",
            "byway-stack",
            "byway-xdp",
            "byway",
            "byway-services",
            "byway-impair",
            "byway-lab",
        ],
    ),
    (
        "byway-bench-engine",
        &["byway-wire", "byway-tcp", "byway-sys", "byway-stack"],
    ),
    (
        "byway-cli",
        &[
            "byway",
            "byway-services",
            "byway-bench",
            "byway-impair",
            "byway-lab",
        ],
    ),
    ("byway-lab", &[]),
    ("byway-task", &[]),
    ("byway-tidy", &[]),
    ("byway-rfcmap", &[]),
    (
        "byway-test-lossy",
        &["byway-wire", "byway-tcp", "byway-sys", "byway-stack"],
    ),
    ("byway-test-netns", &["byway-lab"]),
    (
        "byway-test-sim",
        &["byway-wire", "byway-tcp", "byway-stack", "byway-impair"],
    ),
    (
        "byway-test-script",
        &["byway-wire", "byway-tcp", "byway-stack", "byway-lab"],
    ),
    (
        "byway-test-interop",
        &[
            "byway-wire",
            "byway-tcp",
            "byway-stack",
            "byway",
            "byway-lab",
        ],
    ),
];

/// Arrows that only tests have.
const TEST_ARROWS: &[(&str, &str)] = &[
    // The fast checksum is compared with the plain one.
    ("byway-sys", "byway-wire"),
];

/// Crates of others that only some of ours may use: what is unsafe to call, and what needs
/// a kernel, a compiler for C, or root.
const RESERVED: &[(&str, &[&str])] = &[
    ("libc", &["byway-sys", "byway-xdp"]),
    ("aya", &["byway-xdp"]),
    ("xsk-rs", &["byway-xdp"]),
];

/// What `cargo metadata` says, as far as we need it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    workspace_root: String,
}

/// A crate of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// Where it is, for crates of the workspace.
    path: Option<String>,
    /// `dev`, `build`, or nothing for an ordinary one.
    kind: Option<String>,
}

/// Something that cargo compiles.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) src_path: String,
    /// What it is: `lib`, `bin`, `test`, ...
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// A path relative to the root of the workspace.
    pub(crate) fn relative(&self, path: &str) -> String {
        let inside = path.strip_prefix(&self.workspace_root);
        inside
            .map_or(path, |rest| rest.trim_start_matches('/'))
            .to_owned()
    }
}

/// Asks cargo what the workspace consists of.
pub(crate) fn read(root: &Path) -> Result<Workspace, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    parse(&output.stdout)
}

fn parse(json: &[u8]) -> Result<Workspace, String> {
    serde_json::from_slice(json).map_err(|error| format!("cannot read cargo metadata: {error}"))
}

/// Checks every dependency of every crate: ordinary, for tests and for builds.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let manifest = workspace.relative(&package.manifest_path);
        let mut found = |message| findings.push(Finding::new(manifest.as_str(), 0, message));
        let name = package.name.as_str();
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            found(format!(
                "{name} has no arrows yet: add it to the table in tools/tidy"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            let reserved = RESERVED.iter().find(|(theirs, _)| *theirs == to);
            let for_tests =
                dependency.kind.as_deref() == Some("dev") && TEST_ARROWS.contains(&(name, to));
            if dependency.path.is_some() && !for_tests && !allowed.contains(&to) {
                found(format!(
                    "{name} must not depend on {to}: dependencies point one way"
                ));
            } else if reserved.is_some_and(|(_, users)| !users.contains(&name)) {
                found(format!("{name} must not depend on {to}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str, dependency: &str, path: &str, kind: &str) -> Workspace {
        let json = format!(
            r#"{{"workspace_root":"/w","packages":[{{"name":"{name}",
               "manifest_path":"/w/engine/x/Cargo.toml","targets":[],
               "dependencies":[{{"name":"{dependency}","path":{path},"kind":{kind}}}]}}]}}"#
        );
        parse(json.as_bytes()).unwrap()
    }

    fn findings(name: &str, dependency: &str, path: &str) -> Vec<String> {
        check(&workspace(name, dependency, path, "null"))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let expected = "engine/x/Cargo.toml:0: byway-tcp must not depend on byway-stack: \
                        dependencies point one way";
        assert_eq!(
            findings("byway-tcp", "byway-stack", r#""/w/s""#),
            [expected]
        );
        assert_eq!(
            findings("byway-stack", "byway-tcp", r#""/w/t""#),
            Vec::<String>::new()
        );
        assert_eq!(
            findings("byway-services", "byway-stack", r#""/w/s""#).len(),
            1
        );
        assert_eq!(findings("byway", "byway-lab", r#""/w/l""#).len(), 1);
    }

    #[test]
    fn an_arrow_for_tests_is_for_tests_only() {
        assert_eq!(findings("byway-sys", "byway-wire", r#""/w/x""#).len(), 1);
        let for_tests = workspace("byway-sys", "byway-wire", r#""/w/x""#, r#""dev""#);
        assert_eq!(check(&for_tests), []);
        let upwards = workspace("byway-tcp", "byway-stack", r#""/w/x""#, r#""dev""#);
        assert_eq!(check(&upwards).len(), 1);
    }

    #[test]
    fn a_crate_without_arrows_is_found() {
        assert!(findings("byway-new", "serde", "null")[0].contains("no arrows"));
    }

    #[test]
    fn a_reserved_crate_is_found_elsewhere() {
        assert_eq!(findings("byway-stack", "libc", "null").len(), 1);
        assert_eq!(findings("byway-sys", "libc", "null").len(), 0);
    }

    #[test]
    fn the_table_itself_has_no_cycle() {
        // Each crate stands behind what it depends on, once tools are out of the way.
        let place = |name: &str| ARROWS.iter().position(|(from, _)| *from == name).unwrap();
        for (from, allowed) in ARROWS {
            for to in *allowed {
                assert!(
                    place(to) < place(from) || *to == "byway-lab",
                    "{from} -> {to}"
                );
            }
        }
        assert_eq!(ARROWS[place("byway-lab")].1, &[] as &[&str]);
    }
}
