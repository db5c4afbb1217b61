//! The systems that are compared, each with its own pool of as many workers.

use std::hint::black_box;
use std::num::NonZero;

use rustfiber::Runtime;

use crate::fork_join::ForkJoin;

/// No system: the closures are called one after the other.
#[derive(Debug)]
pub struct Sequential;

/// The same, with results that the compiler knows nothing about, so that it cannot fold several
/// calls into one.
#[derive(Debug)]
pub struct Opaque;

/// [`rustfiber::join`].
#[derive(Debug)]
pub struct RustFiber;

/// `rayon::join`.
#[derive(Debug)]
pub struct Rayon;

/// `chili::Scope::join`. With three jobs in its queue it calls both closures of 63 joins out of 64
/// directly, so that nobody can steal them.
#[derive(Debug)]
pub struct Chili;

/// chili with a job for each join, as the others make it.
#[derive(Debug)]
pub struct ChiliEachJoin;

impl ForkJoin for Sequential {
    type Scope<'s> = ();

    #[inline(always)]
    fn join<A, B, RA, RB>(scope: &mut (), a: A, b: B) -> (RA, RB)
    where
        A: FnOnce(&mut ()) -> RA + Send,
        B: FnOnce(&mut ()) -> RB + Send,
        RA: Send,
        RB: Send,
    {
        (a(scope), b(scope))
    }
}

impl ForkJoin for Opaque {
    type Scope<'s> = ();

    #[inline(always)]
    fn join<A, B, RA, RB>(scope: &mut (), a: A, b: B) -> (RA, RB)
    where
        A: FnOnce(&mut ()) -> RA + Send,
        B: FnOnce(&mut ()) -> RB + Send,
        RA: Send,
        RB: Send,
    {
        (black_box(a(scope)), black_box(b(scope)))
    }
}

impl ForkJoin for RustFiber {
    type Scope<'s> = ();

    #[inline(always)]
    fn join<A, B, RA, RB>(_: &mut (), a: A, b: B) -> (RA, RB)
    where
        A: FnOnce(&mut ()) -> RA + Send,
        B: FnOnce(&mut ()) -> RB + Send,
        RA: Send,
        RB: Send,
    {
        rustfiber::join(|| a(&mut ()), || b(&mut ()))
    }
}

impl ForkJoin for Rayon {
    type Scope<'s> = ();

    #[inline(always)]
    fn join<A, B, RA, RB>(_: &mut (), a: A, b: B) -> (RA, RB)
    where
        A: FnOnce(&mut ()) -> RA + Send,
        B: FnOnce(&mut ()) -> RB + Send,
        RA: Send,
        RB: Send,
    {
        rayon::join(|| a(&mut ()), || b(&mut ()))
    }
}

impl ForkJoin for Chili {
    type Scope<'s> = chili::Scope<'s>;

    #[inline(always)]
    fn join<A, B, RA, RB>(scope: &mut chili::Scope<'_>, a: A, b: B) -> (RA, RB)
    where
        A: FnOnce(&mut chili::Scope<'_>) -> RA + Send,
        B: FnOnce(&mut chili::Scope<'_>) -> RB + Send,
        RA: Send,
        RB: Send,
    {
        scope.join(a, b)
    }
}

impl ForkJoin for ChiliEachJoin {
    type Scope<'s> = chili::Scope<'s>;

    #[inline(always)]
    fn join<A, B, RA, RB>(scope: &mut chili::Scope<'_>, a: A, b: B) -> (RA, RB)
    where
        A: FnOnce(&mut chili::Scope<'_>) -> RA + Send,
        B: FnOnce(&mut chili::Scope<'_>) -> RB + Send,
        RA: Send,
        RB: Send,
    {
        scope.join_with_heartbeat_every::<1, _, _, _, _>(a, b)
    }
}

/// A pool of each system.
#[derive(Debug)]
pub struct Pools {
    /// Ours.
    pub rustfiber: Runtime,
    /// rayon's.
    pub rayon: rayon::ThreadPool,
    /// chili's.
    pub chili: chili::ThreadPool,
    /// tokio's.
    pub tokio: tokio::runtime::Runtime,
    /// Workers of each.
    pub workers: usize,
}

impl Pools {
    /// Starts the pools.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses the threads.
    #[must_use]
    pub fn start(workers: usize) -> Self {
        Pools {
            rustfiber: rustfiber(workers),
            rayon: rayon(workers),
            chili: chili(workers),
            tokio: tokio(workers),
            workers,
        }
    }

    /// Runs a future as a task on tokio's workers.
    pub(crate) fn tokio_run<R: Send + 'static>(
        &self,
        future: impl Future<Output = R> + Send + 'static,
    ) -> R {
        let task = self.tokio.spawn(future);
        self.tokio.block_on(task).expect("no task panics")
    }
}

pub(crate) fn rustfiber(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().expect("threads are to be had")
}

pub(crate) fn rayon(workers: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build();
    pool.expect("threads are to be had")
}

pub(crate) fn chili(workers: usize) -> chili::ThreadPool {
    let thread_count = Some(NonZero::new(workers).expect("a pool has workers"));
    chili::ThreadPool::with_config(chili::Config { thread_count, ..chili::Config::default() })
}

pub(crate) fn tokio(workers: usize) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build();
    runtime.expect("threads are to be had")
}
