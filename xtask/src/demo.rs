//! The main job on real input: the code census of this workspace and of its dependencies' sources.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Runs the census on `directory`, or on this workspace and the sources that cargo has unpacked.
pub(crate) fn demo(directory: Option<&str>) -> ExitCode {
    let roots = match directory {
        Some(directory) => vec![PathBuf::from(directory)],
        None => [Some(crate::verify::root()), unpacked_sources()].into_iter().flatten().collect(),
    };
    let status = Command::new(env!("CARGO"))
        .args(["run", "--release", "--package", "rustfiber", "--example", "code_census", "--"])
        .args(roots)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the folder into which cargo unpacks dependencies, if there is one.
fn unpacked_sources() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    home.map(|home| home.join("registry/src")).filter(|folder| folder.is_dir())
}
