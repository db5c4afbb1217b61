//! `mutants.toml`: what to break, and which check must notice.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::Result;

/// How long a check may take on a broken copy, unless the mutant says otherwise.
const TIMEOUT_SECONDS: u64 = 120;

/// One way to break the code.
#[derive(Debug)]
pub(super) struct Mutant {
    pub(super) name: String,
    /// Relative to the workspace's root.
    pub(super) file: String,
    /// Occurs exactly once in the file.
    pub(super) find: String,
    pub(super) replace: String,
    pub(super) check: Check,
    /// Whether the check is known not to notice.
    pub(super) survives: bool,
    pub(super) timeout: Duration,
    /// Whether a check that does not end counts as one that noticed.
    pub(super) hang_kills: bool,
}

/// What must notice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Check {
    /// Models of `tests/loom.rs`, by a part of their name.
    Loom { krate: String, model: String },
    /// Models of `tests/shuttle`, by a part of their name.
    Shuttle { krate: String, model: String },
    /// Tests of one target, by a part of their name.
    Test { krate: String, target: String, name: String, release: bool, features: Option<String> },
}

/// Reads the manifest.
pub(super) fn parse(text: &str) -> Result<Vec<Mutant>> {
    let file: File = toml::from_str(text).map_err(|error| format!("mutants.toml: {error}"))?;
    let mut mutants: Vec<Mutant> = Vec::new();
    for entry in file.mutant {
        let name = entry.name.clone();
        let mutant =
            entry.into_mutant().map_err(|error| format!("mutants.toml: {name}: {error}"))?;
        if mutants.iter().any(|other| other.name == name) {
            return Err(format!("mutants.toml: two mutants are called {name}").into());
        }
        mutants.push(mutant);
    }
    Ok(mutants)
}

impl Mutant {
    /// Breaks the text of the file; the error says that the mutant no longer fits it.
    pub(super) fn apply(&self, text: &str) -> std::result::Result<String, String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            count => Err(format!("stale: its text occurs {count} times")),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Loom { krate, model } => write!(f, "model {krate}:{model}"),
            Check::Shuttle { krate, model } => write!(f, "shuttle {krate}:{model}"),
            Check::Test { krate, target, name, release, features } => {
                let release = if *release { " --release" } else { "" };
                write!(f, "test {krate}:{target}:{name}{release}")?;
                features.as_ref().map_or(Ok(()), |features| write!(f, " --features {features}"))
            }
        }
    }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mutant: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    file: String,
    find: String,
    replace: String,
    check: CheckEntry,
    #[serde(default)]
    expect: Expect,
    /// Why a survivor is known to survive.
    why: Option<String>,
    timeout_seconds: Option<u64>,
    hang_kills: Option<bool>,
}

#[derive(Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Expect {
    #[default]
    Killed,
    Survives,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckEntry {
    loom: Option<String>,
    shuttle: Option<String>,
    model: Option<String>,
    test: Option<String>,
    target: Option<String>,
    name: Option<String>,
    release: Option<bool>,
    features: Option<String>,
}

impl Entry {
    fn into_mutant(self) -> Result<Mutant> {
        if self.find.is_empty() || self.find == self.replace {
            return Err("it changes nothing".into());
        }
        let survives = self.expect == Expect::Survives;
        if survives && self.why.is_none_or(|why| why.is_empty()) {
            return Err("it is expected to survive but does not say why".into());
        }
        let check = self.check.into_check()?;
        // A test that hangs has lost its liveness. A model that takes long may only be larger.
        let hang_kills = self.hang_kills.unwrap_or(matches!(check, Check::Test { .. }));
        Ok(Mutant {
            name: self.name,
            file: self.file,
            find: self.find,
            replace: self.replace,
            check,
            survives,
            timeout: Duration::from_secs(self.timeout_seconds.unwrap_or(TIMEOUT_SECONDS)),
            hang_kills,
        })
    }
}

impl CheckEntry {
    fn into_check(self) -> Result<Check> {
        match self {
            CheckEntry {
                loom,
                shuttle,
                model: Some(model),
                test: None,
                target: None,
                name: None,
                release: None,
                features: None,
            } => match (loom, shuttle) {
                (Some(krate), None) => Ok(Check::Loom { krate, model }),
                (None, Some(krate)) => Ok(Check::Shuttle { krate, model }),
                _ => Err("`check` needs one of loom and shuttle with a model".into()),
            },
            CheckEntry {
                test: Some(krate),
                target: Some(target),
                name: Some(name),
                release,
                features,
                loom: None,
                shuttle: None,
                model: None,
            } => {
                let release = release.unwrap_or(false);
                Ok(Check::Test { krate, target, name, release, features })
            }
            _ => Err("`check` needs loom or shuttle and model, or test, target and name".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "
[[mutant]]
name = 'relaxed-swap'
file = 'src/list.rs'
find = 'AcqRel'
replace = 'Relaxed'
";

    fn parse_with(rest: &str) -> Result<Vec<Mutant>> {
        parse(&format!("{ENTRY}{rest}"))
    }

    #[test]
    fn checks_are_models_or_tests() {
        let model = parse_with("check = { loom = 'list', model = 'swap' }").unwrap();
        let check = Check::Loom { krate: "list".to_string(), model: "swap".to_string() };
        assert_eq!(model[0].check, check);
        assert!(!model[0].hang_kills);
        let test = parse_with("check = { test = 'list', target = 'lib', name = 'swap' }").unwrap();
        assert_eq!(test[0].check.to_string(), "test list:lib:swap");
        assert!(test[0].hang_kills && !test[0].survives);
        let check = "check = { test = 'list', target = 'lib', name = 'swap', features = 'x' }";
        assert_eq!(
            parse_with(check).unwrap()[0].check.to_string(),
            "test list:lib:swap --features x"
        );
        assert!(parse_with("check = { loom = 'list', name = 'swap' }").is_err());
        assert!(parse_with("check = { loom = 'list', model = 'swap', release = true }").is_err());
    }

    #[test]
    fn a_survivor_says_why() {
        let check = "check = { loom = 'list', model = 'swap' }\nexpect = 'survives'";
        assert!(parse_with(check).is_err());
        let mutants = parse_with(&format!("{check}\nwhy = 'the fence suffices'")).unwrap();
        assert!(mutants[0].survives);
    }

    #[test]
    fn unknown_keys_and_double_names_are_refused() {
        let check = "check = { loom = 'list', model = 'swap' }\n";
        assert!(parse_with(&format!("{check}files = 'x'")).is_err());
        assert!(parse_with(&format!("{check}{ENTRY}{check}")).is_err());
    }

    #[test]
    fn the_text_must_occur_once() {
        let mutant = parse_with("check = { loom = 'l', model = 'm' }").unwrap().remove(0);
        assert_eq!(mutant.apply("swap(AcqRel)").unwrap(), "swap(Relaxed)");
        assert!(mutant.apply("swap(Release)").unwrap_err().starts_with("stale"));
        assert!(mutant.apply("AcqRel AcqRel").unwrap_err().starts_with("stale"));
    }
}
