//! Where the workspace is, what is in it, and how to call cargo on it.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xshell::{Shell, cmd};

use crate::Result;

/// This workspace.
pub(crate) struct Project {
    pub(crate) shell: Shell,
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The cargo that runs this command, of the toolchain that was asked for.
    pub(crate) cargo: PathBuf,
}

impl Project {
    /// Finds the workspace that this program belongs to.
    pub(crate) fn find() -> Result<Self> {
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().ok_or("xtask is not in a workspace")?;
        let shell = Shell::new()?;
        shell.change_dir(root);
        let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let mut project =
            Project { shell, root: root.to_path_buf(), target: PathBuf::new(), cargo };
        let metadata = project.metadata(&["--no-deps"])?;
        project.target = metadata["target_directory"].as_str().ok_or("no target directory")?.into();
        Ok(project)
    }

    /// Asks cargo about the workspace.
    pub(crate) fn metadata(&self, arguments: &[&str]) -> Result<Value> {
        let cargo = &self.cargo;
        let text = cmd!(self.shell, "{cargo} metadata --format-version 1 {arguments...}")
            .quiet()
            .read()?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Returns the target triple of this machine.
    pub(crate) fn host(&self) -> Result<String> {
        let text = cmd!(self.shell, "rustc -vV").quiet().read()?;
        let host = text.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(host.ok_or("`rustc -vV` names no host")?.to_string())
    }

    /// Returns the folders of `crates/`, by name.
    pub(crate) fn crates(&self) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(self.root.join("crates"))? {
            let folder = entry?.path();
            if folder.join("Cargo.toml").exists() {
                folders.push(folder);
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// Returns the files that are, or could be, in the repository, relative to the root.
    pub(crate) fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let git = cmd!(self.shell, "git ls-files -coz --exclude-standard");
        let mut files = BTreeSet::new();
        match git.quiet().ignore_stderr().read() {
            Ok(list) => {
                let list = list.split('\0').filter(|name| !name.is_empty());
                files.extend(list.map(PathBuf::from));
            }
            // No git, or no repository: an unpacked archive.
            Err(_) => self.walk(&self.root, &mut files)?,
        }
        files.retain(|file| self.root.join(file).is_file());
        Ok(files)
    }

    fn walk(&self, folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == ".git" || name.starts_with("target") || path == self.target {
                continue;
            }
            if path.is_dir() {
                self.walk(&path, files)?;
            } else {
                files.insert(path.strip_prefix(&self.root)?.to_path_buf());
            }
        }
        Ok(())
    }
}

/// Returns the name of a crate's folder, which is the crate's name.
pub(crate) fn crate_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
