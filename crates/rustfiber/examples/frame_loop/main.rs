//! A game's frame as a graph of jobs: simulate → animate → cull → submit, with a counter for each
//! dependency. All jobs of a frame are spawned at once; those whose input is not there yet wait,
//! and the cores go on with the others.
//!
//! Usage: `frame_loop [--workers N] [--frames N] [--trace FILE]`. Prints the frame times'
//! percentiles, and checks every frame against the same work done in order. With the feature
//! `trace`, it writes what the workers did as a timeline.

mod frame;
#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustfiber::Runtime;

use frame::{CHUNKS, Chunk, Frame, GROUP, in_jobs, in_order, start};
use support::{trace_file, write_trace};

/// Runs the frames, and returns the time of each with the last world.
fn frames(
    count: usize,
    frame: impl Fn(&[Chunk]) -> Frame,
) -> (Vec<Duration>, Vec<u64>, Vec<Chunk>) {
    let mut world = start();
    let (mut times, mut drawn) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let start = Instant::now();
        let (next, count) = frame(&world);
        times.push(start.elapsed());
        drawn.push(count);
        world = next;
    }
    (times, drawn, world)
}

fn report(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "{name:12} half of the frames within {:.2?}, 90 % {:.2?}, 99 % {:.2?}, all {:.2?}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

/// What the command line asks for.
struct Options {
    workers: usize,
    frames: usize,
    trace: Option<PathBuf>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let workers = thread::available_parallelism()?.get();
    let mut options = Options { workers, frames: 600, trace: None };
    let mut words = env::args_os().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<usize, Box<dyn Error>> {
            let number = words.next().ok_or("the option needs a number")?;
            Ok(number.to_string_lossy().parse()?)
        };
        match word.to_string_lossy().as_ref() {
            "--workers" => options.workers = number()?,
            "--frames" => options.frames = number()?,
            "--trace" => options.trace = Some(trace_file(words.next())?),
            other => {
                let known = "--workers N, --frames N, --trace FILE";
                return Err(format!("{other} is not an option: {known}").into());
            }
        }
    }
    match options.frames {
        0 => Err("--frames 0: there is nothing to do".into()),
        _ => Ok(options),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { workers, frames: count, trace } = options()?;
    let runtime = Runtime::builder().workers(workers).build()?;
    let (mut plain, expected_drawn, expected) = frames(count, in_order);
    let (mut parallel, drawn, world) = frames(count, |world| runtime.run(|| in_jobs(world)));
    if drawn != expected_drawn || world != expected {
        return Err("the frames made of jobs differ from those made in order".into());
    }
    let jobs = 2 * CHUNKS + CHUNKS.div_ceil(GROUP);
    println!("{count} frames of {jobs} jobs on {workers} workers, equal to those made in order");
    report("in order", &mut plain);
    report("in jobs", &mut parallel);
    let stats = runtime.stats().total();
    println!("{} steals, {} suspensions", stats.steals, stats.suspensions);
    if let Some(file) = trace {
        write_trace(&runtime, &file)?;
    }
    Ok(())
}
