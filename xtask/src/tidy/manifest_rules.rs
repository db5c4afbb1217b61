//! The rules over `Cargo.toml` files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{Violation, slashes};
use crate::Result;
use crate::project::Project;

pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "arrows",
        "each leaf is useful, and to be understood, alone; only the facade joins them, and \
         fiber-sync is built on the wait list (ARCHITECTURE.md)",
    ),
    (
        "dependency-reason",
        "each dependency is code that we answer for: the line above it, or the workspace's \
         manifest, says what it is for",
    ),
    ("corosensei-manifest", "one crate knows how stacks are switched"),
];

/// Which of our crates a crate may depend on. Whoever is not here may depend on none.
const ARROWS: [(&str, &[&str]); 2] = [
    ("fiber-sync", &["intrusive-waitlist"]),
    (
        "rustfiber",
        &["fiber-stack", "intrusive-waitlist", "topology", "deque-scheduler", "fiber-sync"],
    ),
];

/// May depend on everything: what measures, and what sanitizers must report.
const SEE_ALL: [&str; 2] = ["rustfiber-benches", "planted-bugs"];

/// What tests share: everybody's tests may depend on it, and nothing else may.
const OF_TESTS: &str = "test-support";

/// Checks every manifest.
pub(super) fn check(
    project: &Project,
    files: &BTreeSet<PathBuf>,
    violations: &mut Vec<Violation>,
) -> Result<()> {
    let metadata = project.metadata(&["--no-deps"])?;
    violations.extend(arrows(&edges(&metadata)));
    let root = fs::read_to_string(project.root.join("Cargo.toml"))?;
    let explained = explained_in_workspace(&root);
    for file in files {
        let path = slashes(file);
        if path == "Cargo.toml" || path.ends_with("/Cargo.toml") {
            let text = fs::read_to_string(project.root.join(file))?;
            violations.extend(reasons(&path, &text, &explained));
        }
    }
    Ok(())
}

/// Returns who depends on whom: all dependencies, of all kinds, of our crates.
fn edges(metadata: &Value) -> BTreeSet<(String, String)> {
    let mut edges = BTreeSet::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["name"] == OF_TESTS && dependency["kind"] == "dev" {
                continue;
            }
            if let (Some(from), Some(to)) = (package["name"].as_str(), dependency["name"].as_str())
            {
                edges.insert((from.to_string(), to.to_string()));
            }
        }
    }
    let ours: BTreeSet<String> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| package["name"].as_str().map(String::from))
        .collect();
    edges.retain(|(_, to)| ours.contains(to) || to == "corosensei");
    edges
}

fn arrows(edges: &BTreeSet<(String, String)>) -> Vec<Violation> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut violations = Vec::new();
    for (from, to) in edges {
        let (rule, allowed) = match to.as_str() {
            _ if SEE_ALL.contains(&from.as_str()) => ("arrows", true),
            "corosensei" => ("corosensei-manifest", from == "fiber-stack"),
            to => ("arrows", allowed.get(from.as_str()).is_some_and(|all| all.contains(&to))),
        };
        if !allowed {
            let what = "must not depend on";
            let path = format!("package {from}");
            violations.push(Violation { rule, path, line: 0, what: format!("{what} `{to}`") });
        }
    }
    violations
}

/// A line that declares a dependency.
struct Dependency<'a> {
    name: &'a str,
    line: usize,
    has_reason: bool,
    /// `name.workspace = true` or `name = { workspace = true }`.
    inherits: bool,
    /// One of ours: the arrows are its reason.
    is_path: bool,
}

/// Returns the names that the workspace's manifest explains.
fn explained_in_workspace(root: &str) -> BTreeSet<String> {
    let dependencies = dependencies(root).into_iter();
    dependencies
        .filter(|dependency| dependency.has_reason || dependency.is_path)
        .map(|dependency| dependency.name.to_string())
        .collect()
}

fn reasons(path: &str, text: &str, explained: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for dependency in dependencies(text) {
        let inherited = dependency.inherits && explained.contains(dependency.name);
        if !dependency.has_reason && !dependency.is_path && !inherited {
            violations.push(Violation {
                rule: "dependency-reason",
                path: path.to_string(),
                line: dependency.line + 1,
                what: format!("`{}` without a comment that says what it is for", dependency.name),
            });
        }
    }
    violations
}

/// Returns the lines of a manifest that declare dependencies.
fn dependencies(text: &str) -> Vec<Dependency<'_>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let has_reason =
        |at: usize| lines[at].contains(" #") || (at > 0 && lines[at - 1].starts_with('#'));
    let mut found = Vec::new();
    let mut in_section = false;
    // Inside a value that goes over several lines.
    let mut open = 0_isize;
    for (line, code) in lines.iter().enumerate() {
        if open == 0 && code.starts_with('[') {
            let section = code.trim_matches(['[', ']']);
            in_section = section.ends_with("dependencies");
            // `[dependencies.name]`, which stands for one line.
            let table = section.rsplit_once("dependencies.").map(|(_, name)| name);
            if let Some(name) = table {
                let has_reason = has_reason(line);
                let (inherits, is_path) = (false, false);
                found.push(Dependency { name, line, has_reason, inherits, is_path });
            }
            continue;
        }
        let starts_value = open == 0;
        open += balance(code);
        if !in_section || !starts_value || code.is_empty() || code.starts_with('#') {
            continue;
        }
        let Some((key, value)) = code.split_once('=') else { continue };
        found.push(Dependency {
            name: key.trim().trim_end_matches(".workspace").trim_matches('"'),
            line,
            has_reason: has_reason(line),
            inherits: key.trim().ends_with(".workspace") || value.contains("workspace = true"),
            is_path: value.contains("path = "),
        });
    }
    found
}

/// Returns how many brackets a line leaves open.
fn balance(code: &str) -> isize {
    let count = |marks: [char; 2]| code.matches(marks).count().cast_signed();
    count(['[', '{']) - count([']', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> BTreeSet<(String, String)> {
        BTreeSet::from([(from.to_string(), to.to_string())])
    }

    #[test]
    fn arrows_lead_from_the_facade_to_the_leaves_only() {
        for (from, to) in [
            ("rustfiber", "topology"),
            ("fiber-sync", "intrusive-waitlist"),
            ("rustfiber-benches", "rustfiber"),
            ("fiber-stack", "corosensei"),
            ("rustfiber-benches", "corosensei"),
        ] {
            assert!(arrows(&edge(from, to)).is_empty(), "{from} -> {to}");
        }
        for (from, to) in [
            ("topology", "deque-scheduler"),
            ("fiber-sync", "topology"),
            ("fiber-stack", "rustfiber"),
            ("xtask", "topology"),
            ("rustfiber", "rustfiber-benches"),
            ("rustfiber", "corosensei"),
            ("rustfiber", "test-support"),
        ] {
            assert_eq!(arrows(&edge(from, to)).len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn edges_are_those_to_our_crates() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "a", "dependencies": [{ "name": "b" }, { "name": "libc" }] },
            { "name": "b", "dependencies": [{ "name": "test-support", "kind": "dev" }] },
            { "name": "test-support", "dependencies": [] },
        ] });
        assert_eq!(edges(&metadata), edge("a", "b"));
    }

    #[test]
    fn dependencies_give_their_reason() {
        let root = "[workspace.dependencies]\nours = { path = \"crates/ours\" }\n\
                    # Why.\nlibc = \"0.2\"\n\nserde = \"1\"\n";
        let explained = explained_in_workspace(root);
        let count = |text: &str| reasons("Cargo.toml", text, &explained).len();
        assert_eq!(count(root), 1, "serde");
        assert_eq!(count("[dependencies]\nlibc.workspace = true\nours.workspace = true\n"), 0);
        assert_eq!(count("[dependencies]\nserde.workspace = true\n"), 1);
        assert_eq!(count("[target.'cfg(unix)'.dependencies]\nlog = \"1\"\n"), 1);
        assert_eq!(count("[dev-dependencies]\nlog = \"1\" # Why.\n"), 0);
        assert_eq!(count("[dependencies.log]\nversion = \"1\"\n"), 1);
        assert_eq!(count("[features]\nsanitizer = [\"log/x\"]\n"), 0);
        let long = "[dependencies]\n# Why.\nlog = { version = \"1\", features = [\n  \"a\",\n] }\n";
        assert_eq!(count(long), 0);
    }
}
