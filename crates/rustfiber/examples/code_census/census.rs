//! The census itself: a walk over the tree, a sequential pass, and the same pass in jobs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io};

use rustfiber::{Counter, scope};

/// How often each identifier occurs.
pub(crate) type Words = HashMap<String, u64>;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) files: u64,
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) identifiers: Words,
    /// Files whose own most frequent identifier is also their directory's.
    pub(crate) typical_files: u64,
}

impl Census {
    fn add(&mut self, other: Census) {
        self.files += other.files;
        self.lines += other.lines;
        self.words += other.words;
        self.typical_files += other.typical_files;
        merge(&mut self.identifiers, other.identifiers);
    }
}

/// The source files of one directory, and its subdirectories.
pub(crate) struct Directory {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) children: Vec<Directory>,
}

impl Directory {
    /// Returns the number of files in the whole tree.
    pub(crate) fn file_count(&self) -> usize {
        self.files.len() + self.children.iter().map(Directory::file_count).sum::<usize>()
    }
}

/// Finds the Rust files below `path`, except in hidden folders and in `target`.
pub(crate) fn walk(path: &Path) -> io::Result<Directory> {
    let mut directory = Directory { files: Vec::new(), children: Vec::new() };
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !is_hidden && entry.file_name() != "target" {
            directory.children.push(walk(&path)?);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            directory.files.push(path);
        }
    }
    Ok(directory)
}

/// Reads and tokenises one file. A file that cannot be read counts as empty.
fn read(path: &Path) -> Census {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let mut identifiers = Words::new();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let starts = |word: &&str| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    for word in text.split(|c| !is_part(c)).filter(starts) {
        *identifiers.entry(word.to_owned()).or_default() += 1;
    }
    Census {
        files: 1,
        lines: text.lines().count() as u64,
        words: text.split_whitespace().count() as u64,
        identifiers,
        typical_files: 0,
    }
}

fn merge(into: &mut Words, from: Words) {
    for (word, count) in from {
        *into.entry(word).or_default() += count;
    }
}

/// The most frequent identifiers, ties in alphabetical order.
pub(crate) fn top(words: &Words, count: usize) -> Vec<(&str, u64)> {
    let mut ranked: Vec<_> = words.iter().map(|(word, &count)| (word.as_str(), count)).collect();
    ranked.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    ranked.truncate(count);
    ranked
}

fn rank(file: &mut Census, directory: &Words) {
    let (own, common) = (top(&file.identifiers, 1), top(directory, 1));
    let is_typical = own.first().zip(common.first()).is_some_and(|(own, common)| own.0 == common.0);
    file.typical_files = is_typical.into();
}

/// Takes the census without a job. `file_done` is called after each file.
pub(crate) fn sequential(directory: &Directory, file_done: &dyn Fn()) -> Census {
    let mut total = Census::default();
    let mut files: Vec<Census> = directory.files.iter().map(|path| read(path)).collect();
    let mut common = Words::new();
    files.iter().for_each(|file| merge(&mut common, file.identifiers.clone()));
    for mut file in files.drain(..) {
        rank(&mut file, &common);
        total.add(file);
        file_done();
    }
    directory.children.iter().for_each(|child| total.add(sequential(child, file_done)));
    total
}

/// How many fibers wait for their directory now, and at most.
#[derive(Default)]
pub(crate) struct Waiting {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Waiting {
    /// Calls `wait`, and counts the caller as waiting meanwhile.
    fn during(&self, wait: impl FnOnce()) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(now, Ordering::Relaxed);
        wait();
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Takes the census in jobs, one for each file and directory, and calls `file_done` after each
/// file.
pub(crate) fn parallel(
    directory: &Directory,
    waiting: &Waiting,
    file_done: &(dyn Fn() + Sync),
) -> Census {
    let total = Mutex::new(Census::default());
    let common = Mutex::new(Words::new());
    let all_read = Counter::new(directory.files.len());
    scope(|s| {
        let (total, common, all_read) = (&total, &common, &all_read);
        for child in &directory.children {
            s.spawn(move || {
                let census = parallel(child, waiting, file_done);
                total.lock().expect("no job panics").add(census);
            });
        }
        for path in &directory.files {
            s.spawn(move || {
                let mut file = read(path);
                merge(&mut common.lock().expect("no job panics"), file.identifiers.clone());
                all_read.done();
                waiting.during(|| all_read.wait());
                rank(&mut file, &common.lock().expect("no job panics"));
                total.lock().expect("no job panics").add(file);
                file_done();
            });
        }
    });
    total.into_inner().expect("no job panics")
}
