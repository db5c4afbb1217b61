//! The workloads: their sizes, their oracles, and which systems run each.

mod contention;
mod fibers;
mod fork_join;
mod frame_loop;
mod schedules;
mod sorting;
mod spawning;
mod speed_up;
mod sync;
mod waking;

use std::path::PathBuf;

use crate::child;
use crate::paired::{Crash, Run, System};
use crate::peers::Pools;

pub(crate) use contention::{MAY as CONTENDING, run as contend};
pub(crate) use sync::{SHARERS, Turns};
pub(crate) use waking::submit;

/// How much work each workload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Some tens of milliseconds a run: for a look.
    Quick,
    /// What is recorded.
    Full,
}

/// What every workload is made from.
#[derive(Debug)]
pub struct Context {
    /// A pool of each system, with a worker for each CPU.
    pub pools: Pools,
    /// The same with one worker.
    pub single: Pools,
    /// How much is done.
    pub size: Size,
    /// The program that runs systems in processes of their own; without it they are left out.
    pub program: Option<PathBuf>,
}

impl Context {
    fn pick<T>(&self, quick: T, full: T) -> T {
        match self.size {
            Size::Quick => quick,
            Size::Full => full,
        }
    }

    /// Returns may's way to run a workload.
    fn may(&self, workload: &'static str) -> Option<System<'static>> {
        self.program.as_ref().map(|program| child::may(program, workload, self.size))
    }
}

/// A program that several systems run.
pub struct Workload {
    /// `group/name`.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// What no system can beat.
    pub bound: &'static str,
    make: fn(&Context, With<'_>),
}

/// What is done with a workload's systems while its data is there.
type With<'a> = &'a mut dyn FnMut(&[System<'_>]);

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Workload {
    /// Prepares the data, and calls `with` with the systems, ours first.
    pub fn with_systems(&self, context: &Context, with: With<'_>) {
        (self.make)(context, with);
    }

    /// As [`Workload::with_systems`], with ours on each context's workers.
    pub fn with_workers(&self, contexts: &[Context], with: With<'_>) {
        self.collect_runs(contexts, &[], with);
    }

    fn collect_runs(&self, contexts: &[Context], runs: &[OurRun<'_>], with: With<'_>) {
        let Some((context, rest)) = contexts.split_first() else {
            let systems: Vec<System<'_>> = runs.iter().map(OurRun::as_system).collect();
            return with(&systems);
        };
        self.with_systems(context, &mut |systems| {
            let ours = OurRun { workers: context.pools.workers, run: &systems[0].run };
            self.collect_runs(rest, &[runs, &[ours]].concat(), with);
        });
    }
}

/// Our system with so many workers.
#[derive(Clone, Copy)]
struct OurRun<'a> {
    workers: usize,
    run: &'a dyn Fn() -> Result<Run, Crash>,
}

impl OurRun<'_> {
    fn as_system(&self) -> System<'_> {
        System { name: "rustfiber", workers: Some(self.workers), run: Box::new(self.run) }
    }
}

/// Returns all workloads.
pub fn workloads() -> impl Iterator<Item = &'static Workload> {
    let groups = [
        fork_join::WORKLOADS,
        sorting::WORKLOADS,
        spawning::WORKLOADS,
        fibers::WORKLOADS,
        sync::WORKLOADS,
        contention::WORKLOADS,
        waking::WORKLOADS,
        schedules::WORKLOADS,
        frame_loop::WORKLOADS,
        speed_up::WORKLOADS,
    ];
    groups.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_computes_the_answer_of_every_workload() {
        let context = Context {
            pools: Pools::start(2),
            single: Pools::start(1),
            size: Size::Quick,
            program: None,
        };
        for workload in workloads() {
            let mut systems_run = 0;
            workload.with_systems(&context, &mut |systems| {
                for system in systems {
                    let run = (system.run)().unwrap();
                    assert!(run.seconds > 0.0, "{}: {}", workload.name, system.name);
                }
                systems_run = systems.len();
            });
            assert!(systems_run >= 2, "{} compares nothing", workload.name);
        }
    }

    /// The record in docs/performance.md leaves none out.
    #[test]
    fn every_workload_is_recorded() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");
        let record = std::fs::read_to_string(path).unwrap();
        for Workload { name, about, .. } in workloads() {
            assert!(record.contains(&format!("| {name} | {about} |")), "{name}: what it is");
            assert!(record.contains(&format!("| {name} | rustfiber")), "{name}: its figures");
        }
    }

    #[test]
    fn names_are_unique_and_grouped() {
        let mut names: Vec<&str> = workloads().map(|workload| workload.name).collect();
        assert!(names.iter().all(|name| name.split('/').count() == 2), "{names:?}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
