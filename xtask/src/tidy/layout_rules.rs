//! The rules over a crate's folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::source::{Source, has_word};
use super::{Violation, slashes};
use crate::Result;
use crate::project::{Project, crate_name};

pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "one-primitive",
        "a crate that is model-checked gets its atomics from one file: an atomic that loom does \
         not see is not checked",
    ),
    ("named-tests", "a table that names tests shows what is tested only as long as they exist"),
    ("readme", "the README is the crate's documentation, and its examples are compiled"),
    ("readme-example", "what a newcomer reads first is compiled and run, as an example"),
];

/// What peers test, and our test of the same.
const BEHAVIOUR: &str = "docs/sync-behaviour.md";

const README_DOC: &str = "#![doc = include_str!(\"../README.md\")]";

const QUICKSTART: &str = "crates/rustfiber/examples/quickstart.rs";

/// Checks the root's README and every crate's folder.
pub(super) fn check(
    project: &Project,
    files: &BTreeSet<PathBuf>,
    violations: &mut Vec<Violation>,
) -> Result<()> {
    let read_me = fs::read_to_string(project.root.join("README.md"))?;
    violations
        .extend(readme_example(&read_me, &fs::read_to_string(project.root.join(QUICKSTART))?));
    let mut tests = String::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        if slashes(file).contains("/tests/") {
            tests += &fs::read_to_string(project.root.join(file))?;
        }
    }
    violations.extend(named_tests(&fs::read_to_string(project.root.join(BEHAVIOUR))?, &tests));
    for folder in project.crates()? {
        let krate = format!("crates/{}", crate_name(&folder));
        let library = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
        violations.extend(readme(&krate, folder.join("README.md").exists(), &library));
        if !folder.join("src/primitive.rs").exists() {
            continue;
        }
        for file in files {
            let path = slashes(file);
            if path.starts_with(&format!("{krate}/src/")) && path.ends_with(".rs") {
                let source = Source::new(&path, &fs::read_to_string(project.root.join(file))?);
                violations.extend(one_primitive(&source));
            }
        }
    }
    Ok(())
}

/// Checks that the tests in the last column of the tables exist.
fn named_tests(tables: &str, tests: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, line) in tables.lines().enumerate() {
        let Some((_, last)) = line.trim_end_matches([' ', '|']).rsplit_once('|') else { continue };
        for name in last.split('`').skip(1).step_by(2) {
            if !tests.contains(&format!("fn {name}(")) {
                violations.push(Violation {
                    rule: "named-tests",
                    path: BEHAVIOUR.to_string(),
                    line: at + 1,
                    what: format!("there is no test `{name}`"),
                });
            }
        }
    }
    violations
}

fn readme(krate: &str, exists: bool, library: &str) -> Vec<Violation> {
    let violation = |path: &str, what: &str| Violation {
        rule: "readme",
        path: format!("{krate}/{path}"),
        line: 0,
        what: what.to_string(),
    };
    let mut violations = Vec::new();
    if !exists {
        violations.push(violation("README.md", "is missing"));
    }
    if !library.lines().any(|line| line.trim() == README_DOC) {
        violations.push(violation("src/lib.rs", &format!("has no `{README_DOC}`")));
    }
    violations
}

/// Checks that the README shows the quickstart: all of it but the lines that say what it is.
fn readme_example(readme: &str, quickstart: &str) -> Option<Violation> {
    let is_code = |line: &&str| !line.starts_with("//!");
    let code = quickstart.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    let is_shown = readme.contains(&format!("```rust\n{}\n```", code.trim()));
    (!is_shown).then(|| Violation {
        rule: "readme-example",
        path: "README.md".to_string(),
        line: 0,
        what: format!("does not show {QUICKSTART}"),
    })
}

/// Checks a file of a crate that has a `primitive.rs`.
fn one_primitive(source: &Source) -> Vec<Violation> {
    if source.path.ends_with("/primitive.rs") {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (at, line) in source.product_lines() {
        let code = &line.code;
        let direct = ["std::sync::atomic", "core::sync::atomic", "loom::", "shuttle::"];
        // `use std::{sync::atomic::..}`: std is named on this line or on one above.
        let nested = line.in_use && has_word(code, "atomic") && !code.contains("primitive");
        if direct.iter().any(|name| code.contains(name)) || nested {
            violations.push(Violation {
                rule: "one-primitive",
                path: source.path.clone(),
                line: at + 1,
                what: "atomics and loom are named in `primitive.rs` only".to_string(),
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_named_must_exist() {
        let tables = "| peer | ours |\n|---|---|\n| `a`, `b` | `kept`, and `lost` |";
        let violations = named_tests(tables, "fn kept() {}");
        assert_eq!(violations.len(), 1);
        assert_eq!((violations[0].line, violations[0].what.contains("`lost`")), (3, true));
    }

    #[test]
    fn crates_have_a_readme_that_is_their_documentation() {
        let library = format!("//! More.\n{README_DOC}\n");
        assert!(readme("crates/a", true, &library).is_empty());
        assert_eq!(readme("crates/a", false, &library).len(), 1);
        assert_eq!(readme("crates/a", true, "//! Other.").len(), 1);
    }

    #[test]
    fn the_readme_shows_the_quickstart() {
        let quickstart = "//! What it is.\n\nfn main() {}\n";
        assert!(readme_example("# A\n\n```rust\nfn main() {}\n```\n", quickstart).is_none());
        assert!(readme_example("# A\n\n```rust\nfn main() { }\n```\n", quickstart).is_some());
    }

    #[test]
    fn atomics_come_from_one_file() {
        let count = |file: &str, text: &str| {
            one_primitive(&Source::new(&format!("crates/a/src/{file}"), text)).len()
        };
        assert_eq!(count("primitive.rs", "pub use loom::sync::atomic::AtomicBool;"), 0);
        assert_eq!(count("list.rs", "use crate::primitive::AtomicBool;"), 0);
        assert_eq!(count("list.rs", "#[cfg(test)]\nuse std::sync::atomic::AtomicBool;"), 0);
        assert_eq!(count("list.rs", "use std::sync::atomic::AtomicBool;"), 1);
        assert_eq!(count("list.rs", "use std::{\n    sync::atomic::AtomicBool,\n};"), 1);
        assert_eq!(count("list.rs", "loom::model(f);"), 1);
    }
}
