//! Counts the lines, words and identifiers of a source tree, one job a file, and checks the result
//! against a plain sequential pass.
//!
//! Each file's job waits until every file of its directory has been read, and then ranks its
//! identifiers against the directory's: so hundreds of fibers wait at once.
//!
//! Usage: `code_census [--workers N] [--trace FILE] [ROOT...]` (default root: the current
//! directory). With the feature `trace`, it writes what the workers did as a timeline.

mod census;
#[path = "../support/mod.rs"]
mod support;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, io, thread};

use indicatif::{ProgressBar, ProgressStyle};
use rustfiber::Runtime;

use census::{Directory, Waiting, parallel, sequential, top, walk};
use support::{trace_file, write_trace};

/// What the command line asks for.
struct Options {
    workers: usize,
    roots: Vec<PathBuf>,
    trace: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { workers, roots, trace } = options()?;
    let children = roots.iter().map(|root| walk(root)).collect::<io::Result<Vec<_>>>()?;
    let tree = Directory { files: Vec::new(), children };
    let runtime = Runtime::builder().workers(workers).build()?;

    // The first pass reads the disk, so that neither of the others has to.
    with_bar(&tree, "reading", |file_done| sequential(&tree, file_done));
    let (expected, sequential_time) =
        with_bar(&tree, "sequential", |file_done| sequential(&tree, file_done));
    let waiting = Waiting::default();
    let (census, parallel_time) = with_bar(&tree, "parallel", |file_done| {
        runtime.run(|| parallel(&tree, &waiting, file_done))
    });
    if census != expected {
        return Err("the parallel census differs from the sequential one".into());
    }

    println!(
        "{} files, {} lines, {} words; {} files are typical of their directory",
        census.files, census.lines, census.words, census.typical_files
    );
    println!(
        "sequential {sequential_time:.0?}, on {workers} workers {parallel_time:.0?}: \
         {:.2} times as fast, equal results",
        sequential_time.as_secs_f64() / parallel_time.as_secs_f64()
    );
    let stats = runtime.stats().total();
    println!(
        "{} jobs, {} steals, {} suspensions; at most {} fibers existed and {} waited at once",
        stats.jobs,
        stats.steals,
        stats.suspensions,
        stats.fibers_peak,
        waiting.peak()
    );
    for (word, count) in top(&census.identifiers, 10) {
        println!("{count:>9}  {word}");
    }
    if let Some(file) = trace {
        write_trace(&runtime, &file)?;
    }
    Ok(())
}

fn options() -> Result<Options, Box<dyn Error>> {
    let workers = thread::available_parallelism()?.get();
    let mut options = Options { workers, roots: Vec::new(), trace: None };
    let mut words = env::args_os().skip(1);
    while let Some(word) = words.next() {
        if word == "--workers" {
            let count = words.next().ok_or("--workers needs a number")?;
            options.workers = count.to_string_lossy().parse()?;
        } else if word == "--trace" {
            options.trace = Some(trace_file(words.next())?);
        } else {
            options.roots.push(word.into());
        }
    }
    if options.roots.is_empty() {
        options.roots.push(env::current_dir()?);
    }
    Ok(options)
}

/// Times a pass, and shows its progress if standard error is a terminal.
fn with_bar<R>(
    tree: &Directory,
    name: &'static str,
    pass: impl FnOnce(&(dyn Fn() + Sync)) -> R,
) -> (R, Duration) {
    let style = ProgressStyle::with_template("{msg:10} [{bar:40}] {pos}/{len} files")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(tree.file_count() as u64).with_style(style).with_message(name);
    let start = Instant::now();
    let result = pass(&|| bar.inc(1));
    let time = start.elapsed();
    bar.finish_and_clear();
    (result, time)
}
