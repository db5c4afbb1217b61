//! Counts the lines, words and identifiers of a source tree, one job a file, and checks the result
//! against a plain sequential pass.
//!
//! Each file's job waits until every file of its directory has been read, and then ranks its
//! identifiers against the directory's: so hundreds of fibers wait at once.
//!
//! Usage: `code_census [--workers N] [ROOT...]` (default root: the current directory).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustfiber::{Counter, Runtime, scope};

/// How often each identifier occurs.
type Words = HashMap<String, u64>;

#[derive(Debug, Default, PartialEq, Eq)]
struct Census {
    files: u64,
    lines: u64,
    words: u64,
    identifiers: Words,
    /// Files whose own most frequent identifier is also their directory's.
    typical_files: u64,
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

struct Directory {
    files: Vec<PathBuf>,
    children: Vec<Directory>,
}

fn walk(path: &Path) -> io::Result<Directory> {
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
fn top(words: &Words, count: usize) -> Vec<(&str, u64)> {
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

fn sequential(directory: &Directory) -> Census {
    let mut total = Census::default();
    let mut files: Vec<Census> = directory.files.iter().map(|path| read(path)).collect();
    let mut common = Words::new();
    files.iter().for_each(|file| merge(&mut common, file.identifiers.clone()));
    for mut file in files.drain(..) {
        rank(&mut file, &common);
        total.add(file);
    }
    directory.children.iter().for_each(|child| total.add(sequential(child)));
    total
}

/// How many fibers wait for their directory now, and at most.
#[derive(Default)]
struct Waiting {
    now: AtomicUsize,
    peak: AtomicUsize,
}

fn parallel(directory: &Directory, waiting: &Waiting) -> Census {
    let total = Mutex::new(Census::default());
    let common = Mutex::new(Words::new());
    let all_read = Counter::new(directory.files.len());
    scope(|s| {
        let (total, common, all_read) = (&total, &common, &all_read);
        for child in &directory.children {
            s.spawn(move || {
                let census = parallel(child, waiting);
                total.lock().expect("no job panics").add(census);
            });
        }
        for path in &directory.files {
            s.spawn(move || {
                let mut file = read(path);
                merge(&mut common.lock().expect("no job panics"), file.identifiers.clone());
                all_read.done();
                let now = waiting.now.fetch_add(1, Ordering::Relaxed) + 1;
                waiting.peak.fetch_max(now, Ordering::Relaxed);
                all_read.wait();
                waiting.now.fetch_sub(1, Ordering::Relaxed);
                rank(&mut file, &common.lock().expect("no job panics"));
                total.lock().expect("no job panics").add(file);
            });
        }
    });
    total.into_inner().expect("no job panics")
}

fn timed<R>(f: impl FnOnce() -> R) -> (R, Duration) {
    let start = Instant::now();
    let result = f();
    (result, start.elapsed())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut workers = thread::available_parallelism()?.get();
    let mut roots = Vec::new();
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--workers" {
            workers = words.next().ok_or("--workers needs a number")?.parse()?;
        } else {
            roots.push(PathBuf::from(word));
        }
    }
    if roots.is_empty() {
        roots.push(env::current_dir()?);
    }
    let children = roots.iter().map(|root| walk(root)).collect::<io::Result<Vec<_>>>()?;
    let tree = Directory { files: Vec::new(), children };
    let runtime = Runtime::builder().workers(workers).build()?;
    sequential(&tree); // reads the disk, so that neither pass below has to
    let (expected, sequential_time) = timed(|| sequential(&tree));
    let waiting = Waiting::default();
    let (census, parallel_time) = timed(|| runtime.run(|| parallel(&tree, &waiting)));
    if census != expected {
        return Err("the parallel census differs from the sequential one".into());
    }
    println!(
        "{} files, {} lines, {} words; {} files are typical of their directory",
        census.files, census.lines, census.words, census.typical_files
    );
    println!(
        "sequential {:.0?}, on {workers} workers {:.0?}: {:.2} times as fast, equal results",
        sequential_time,
        parallel_time,
        sequential_time.as_secs_f64() / parallel_time.as_secs_f64()
    );
    println!("at most {} fibers waited at once", waiting.peak.into_inner());
    for (word, count) in top(&census.identifiers, 10) {
        println!("{count:>9}  {word}");
    }
    Ok(())
}
