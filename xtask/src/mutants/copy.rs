//! The copy of the workspace that is broken. Nobody's own files are ever touched.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::project::Project;

pub(super) struct WorkingCopy {
    root: PathBuf,
}

impl WorkingCopy {
    /// Makes the copy, or brings it up to date. Only files that differ are written: cargo goes by
    /// their times, and would rebuild the rest.
    pub(super) fn of(project: &Project) -> Result<Self> {
        let root = project.target.join("mutants/work");
        fs::create_dir_all(&root)?;
        let files = project.files()?;
        for file in &files {
            let bytes = fs::read(project.root.join(file))?;
            let path = root.join(file);
            if !fs::read(&path).is_ok_and(|old| old == bytes) {
                fs::create_dir_all(path.parent().unwrap_or(&root))?;
                fs::write(&path, bytes)?;
            }
        }
        remove_others(&root, &root, &files)?;
        Ok(WorkingCopy { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.root.join(file))
    }

    pub(super) fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.root.join(file), text)
    }
}

/// Removes what the workspace no longer has: a left test file would still be a target.
fn remove_others(root: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(root, &path, files)?;
        } else if !files.contains(path.strip_prefix(root)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
