//! The frames of the example `frame_loop`.

use std::time::Instant;

use rayon::prelude::*;

use super::Workload;
use crate::paired::{Run, System};

#[path = "../../../crates/rustfiber/examples/frame_loop/frame.rs"]
mod frame;

use frame::{Chunk, Frame, GROUP, cull, in_jobs, in_order, start};

pub(super) const WORKLOADS: &[Workload] = &[Workload {
    name: "programs/frame-loop",
    about: "a game's frames of 216 jobs: simulate, animate, cull, submit, each job waiting for the \
            ones before; rayon does stage after stage",
    bound: "half of sequential",
    make: |context, with| {
        let pools = &context.pools;
        let count = context.pick(40, 100);
        let expected = frames(count, in_order);
        let measure = |frame: &dyn Fn(&[Chunk]) -> Frame| {
            let mut latencies = Vec::new();
            let answer = frames(count, |world| {
                let start = Instant::now();
                let next = frame(world);
                latencies.push(start.elapsed().as_secs_f64());
                next
            });
            assert!(answer == expected, "the frames differ from those made in order");
            Run::of(latencies)
        };
        with(&[
            System::measured("rustfiber", || {
                measure(&|world| pools.rustfiber.run(|| in_jobs(world)))
            }),
            System::measured("rayon", || {
                measure(&|world| pools.rayon.install(|| in_stages(world)))
            }),
            System::measured("sequential", || measure(&in_order)),
        ]);
    },
}];

/// Computes so many frames; returns what each drew, and the last world.
fn frames(count: usize, mut frame: impl FnMut(&[Chunk]) -> Frame) -> (Vec<u64>, Vec<Chunk>) {
    let (mut world, mut drawn) = (start(), Vec::new());
    for _ in 0..count {
        let (next, count) = frame(&world);
        drawn.push(count);
        world = next;
    }
    (drawn, world)
}

/// A frame as rayon's users would write it.
fn in_stages(world: &[Chunk]) -> Frame {
    let next: Vec<Chunk> = world.par_iter().map(Chunk::simulate).collect();
    let poses: Vec<Vec<f32>> = next.par_iter().map(Chunk::animate).collect();
    let drawn = poses.par_chunks(GROUP).map(|group| cull(group.iter())).sum();
    (next, drawn)
}
