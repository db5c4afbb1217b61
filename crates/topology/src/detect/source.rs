//! Where sysfs text is read from: a directory, or files held in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Gives the text of files by paths such as `sys/devices/system/cpu/online`.
pub(super) trait Source {
    /// Returns the content of a file, or `None` when it cannot be read.
    fn read(&self, path: &str) -> Option<String>;

    /// Returns the names directly below a directory, in no order; none when it does not exist.
    fn children(&self, path: &str) -> Vec<String>;
}

/// Reads below a root directory.
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(root: &Path) -> Directory {
        Directory { root: root.to_owned() }
    }
}

impl Source for Directory {
    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn children(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

/// Holds all files in memory.
pub(super) struct Files {
    content: BTreeMap<String, String>,
}

impl Files {
    pub(super) fn new(files: impl Iterator<Item = (String, String)>) -> Files {
        let relative = |path: String| path.trim_start_matches('/').to_owned();
        Files { content: files.map(|(path, text)| (relative(path), text)).collect() }
    }
}

impl Source for Files {
    fn read(&self, path: &str) -> Option<String> {
        self.content.get(path).cloned()
    }

    fn children(&self, path: &str) -> Vec<String> {
        let directory = format!("{path}/");
        let below = self.content.range(directory.clone()..);
        let names: BTreeSet<&str> = below
            .map_while(|(path, _)| path.strip_prefix(&directory))
            .filter_map(|rest| rest.split('/').next())
            .collect();
        names.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_memory_list_the_names_directly_below() {
        let paths = ["/sys/a/b1/x", "/sys/a/b1/y", "sys/a/b2", "/sys/a-b/c", "/sys/ab"];
        let source = Files::new(paths.into_iter().map(|path| (path.into(), "text".into())));
        assert_eq!(source.children("sys/a"), ["b1", "b2"]);
        assert_eq!(source.children("sys/a/b1"), ["x", "y"]);
        assert!(source.children("sys/none").is_empty());
        assert_eq!(source.read("sys/a/b2").as_deref(), Some("text"));
        assert_eq!(source.read("sys/a/b1"), None);
    }
}
