//! One frame, in order and as a graph of jobs.

use std::sync::OnceLock;

use rustfiber::{Counter, scope};

/// Parts of the world; each is simulated and animated by jobs of its own.
pub(crate) const CHUNKS: usize = 96;
/// Things in a chunk.
const THINGS: usize = 256;
/// Chunks that one culling job looks at.
pub(crate) const GROUP: usize = 4;

/// One part of the world: where its things are, and how they move.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
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
    pub(crate) fn simulate(&self) -> Chunk {
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
    pub(crate) fn animate(&self) -> Vec<f32> {
        let pose = |position: &f32| (0..8).fold(*position, |angle, _| (angle * 1.1).sin());
        self.positions.iter().map(pose).collect()
    }
}

/// Returns how many of the poses are visible.
pub(crate) fn cull<'p>(poses: impl Iterator<Item = &'p Vec<f32>>) -> u64 {
    poses.flatten().filter(|pose| pose.abs() > 0.3).count() as u64
}

/// The world before the first frame.
pub(crate) fn start() -> Vec<Chunk> {
    (0..CHUNKS).map(Chunk::new).collect()
}

/// The world after a frame, and what was drawn.
pub(crate) type Frame = (Vec<Chunk>, u64);

/// A frame in order.
pub(crate) fn in_order(world: &[Chunk]) -> Frame {
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

/// A frame as jobs that wait for what they need.
pub(crate) fn in_jobs(world: &[Chunk]) -> Frame {
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
