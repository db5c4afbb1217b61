//! A game's frame as a graph of jobs: simulate → animate → cull → submit, with a counter for each
//! dependency. All jobs of a frame are spawned at once; those whose input is not there yet wait,
//! and the cores go on with the others.
//!
//! Usage: `frame_loop [--workers N] [--frames N] [--trace FILE]`. Prints the frame times'
//! percentiles, and checks every frame against the same work done in order. With the feature
//! `trace`, it writes what the workers did as a timeline.

mod support;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustfiber::{Counter, Runtime, scope};

use support::{trace_file, write_trace};

/// Parts of the world; each is simulated and animated by jobs of its own.
const CHUNKS: usize = 96;
/// Things in a chunk.
const THINGS: usize = 256;
/// Chunks that one culling job looks at.
const GROUP: usize = 4;

/// One part of the world: where its things are, and how they move.
#[derive(Clone, Debug, PartialEq)]
struct Chunk {
    positions: Vec<f32>,
    velocities: Vec<f32>,
}

impl Chunk {
    fn new(index: usize) -> Self {
        let position = |thing: usize| ((index * 31 + thing * 7) % 200) as f32 - 100.0;
        let velocity = |thing: usize| ((index * 17 + thing * 13) % 40) as f32 - 20.0;
        Chunk {
            positions: (0..THINGS).map(position).collect(),
            velocities: (0..THINGS).map(velocity).collect(),
        }
    }

    /// Moves everything on by a frame, in small steps; things bounce off the walls.
    fn simulate(&self) -> Chunk {
        let mut next = self.clone();
        for (position, velocity) in next.positions.iter_mut().zip(&mut next.velocities) {
            for _ in 0..20 {
                *position += *velocity / 1200.0;
                if position.abs() > 100.0 {
                    *velocity = -*velocity;
                }
            }
        }
        next
    }

    /// Returns each thing's pose: an angle.
    fn animate(&self) -> Vec<f32> {
        let pose = |position: &f32| (0..8).fold(*position, |angle, _| (angle * 1.1).sin());
        self.positions.iter().map(pose).collect()
    }
}

/// Returns how many of the poses are visible.
fn cull<'p>(poses: impl Iterator<Item = &'p Vec<f32>>) -> u64 {
    poses.flatten().filter(|pose| pose.abs() > 0.3).count() as u64
}

/// The world after a frame, and what was drawn.
type Frame = (Vec<Chunk>, u64);

fn in_order(world: &[Chunk]) -> Frame {
    let next: Vec<Chunk> = world.iter().map(Chunk::simulate).collect();
    let poses: Vec<Vec<f32>> = next.iter().map(Chunk::animate).collect();
    let drawn = poses.chunks(GROUP).map(|group| cull(group.iter())).sum();
    (next, drawn)
}

/// Something that one job makes and others wait for.
struct Product<T> {
    value: OnceLock<T>,
    made: Counter,
}

impl<T> Product<T> {
    fn new() -> Self {
        Product { value: OnceLock::new(), made: Counter::new(1) }
    }

    fn make(&self, value: T) {
        assert!(self.value.set(value).is_ok(), "each product is made once");
        self.made.done();
    }

    /// Waits until it is made.
    #[track_caller] // a trace then names the job's own line
    fn get(&self) -> &T {
        self.made.wait();
        self.value.get().expect("it was made before the counter was done")
    }
}

fn products<T>(count: usize) -> Vec<Product<T>> {
    (0..count).map(|_| Product::new()).collect()
}

fn in_jobs(world: &[Chunk]) -> Frame {
    let simulated: Vec<Product<Chunk>> = products(world.len());
    let poses: Vec<Product<Vec<f32>>> = products(world.len());
    let visible: Vec<Product<u64>> = products(world.len().div_ceil(GROUP));
    let drawn = scope(|s| {
        for (chunk, next) in world.iter().zip(&simulated) {
            s.spawn(|| next.make(chunk.simulate()));
        }
        for (chunk, pose) in simulated.iter().zip(&poses) {
            s.spawn(|| pose.make(chunk.get().animate()));
        }
        for (group, count) in poses.chunks(GROUP).zip(&visible) {
            s.spawn(move || count.make(cull(group.iter().map(|pose| pose.get()))));
        }
        // Submitting is this fiber's own part.
        visible.iter().map(|count| count.get()).sum()
    });
    let chunk = |product: Product<Chunk>| product.value.into_inner().expect("all jobs have ended");
    (simulated.into_iter().map(chunk).collect(), drawn)
}

/// Runs the frames, and returns the time of each with the last world.
fn frames(
    count: usize,
    frame: impl Fn(&[Chunk]) -> Frame,
) -> (Vec<Duration>, Vec<u64>, Vec<Chunk>) {
    let mut world: Vec<Chunk> = (0..CHUNKS).map(Chunk::new).collect();
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
