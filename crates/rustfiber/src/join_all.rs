//! Fork-join of more than two closures.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

use crate::dump::Site;
use crate::join::join_at;
use crate::panic::drop_quietly;

/// Runs all closures of a tuple or an array, possibly in parallel, and returns their results in
/// order.
///
/// A tuple holds up to eight closures, each of a type of its own; an array any number of one type.
/// For more work of one kind than an array holds, [`par_for_each`](crate::par_for_each) and
/// [`par_map`](crate::par_map) split where another core asks for work.
///
/// Built on [`join`](crate::join), half with half: the first closure runs at once on the calling
/// fiber, and the others may be taken by other workers. Nothing is allocated. Two or more closures
/// outside any worker move into the default runtime.
///
/// # Panics
///
/// With the panic of the first closure, in order, that panicked. All that have begun have ended by
/// then; after a panic, closures that nobody had started may be dropped unrun.
///
/// # Blocking
///
/// As [`join`](crate::join).
///
/// # Examples
///
/// ```
/// let mut log = Vec::new();
/// let (sum, word, ()) = rustfiber::join_all((
///     || (1..=100).sum::<u32>(),
///     || "fiber".to_owned(),
///     || log.push("done"),
/// ));
/// assert_eq!((sum, word.as_str(), log), (5050, "fiber", vec!["done"]));
///
/// let squares = rustfiber::join_all([1, 2, 3].map(|number| move || number * number));
/// assert_eq!(squares, [1, 4, 9]);
/// ```
#[track_caller]
pub fn join_all<C: Closures>(closures: C) -> C::Results {
    closures.run(Location::caller())
}

/// What [`join_all`] takes: a tuple of closures, or an array. Nothing else can implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a tuple of up to eight closures nor an array of closures",
    note = "each closure takes no argument, is `Send`, and returns what is `Send`"
)]
pub trait Closures: Sealed {
    /// What they return, in the same shape.
    type Results;

    #[doc(hidden)]
    fn run(self, site: &'static Location<'static>) -> Self::Results;
}

/// Keeps other types from being [`Closures`].
pub trait Sealed {}

impl<F: FnOnce() -> R + Send, R: Send, const N: usize> Sealed for [F; N] {}

impl<F: FnOnce() -> R + Send, R: Send, const N: usize> Closures for [F; N] {
    type Results = [R; N];

    fn run(self, site: Site) -> [R; N] {
        let mut closures = self.map(Some);
        let mut results = [const { None }; N];
        let run = AssertUnwindSafe(|| run_slice(&mut closures, &mut results, site));
        if let Err(payload) = catch_unwind(run) {
            closures.into_iter().for_each(drop_quietly);
            results.into_iter().for_each(drop_quietly);
            resume_unwind(payload);
        }
        results.map(|result| result.expect("a closure that did not panic has a result"))
    }
}

fn run_slice<F, R>(closures: &mut [Option<F>], results: &mut [Option<R>], site: Site)
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    if let [closure] = closures {
        results[0] = closure.take().map(|closure| closure());
    } else if !closures.is_empty() {
        let half = closures.len().div_ceil(2);
        let (first, last) = closures.split_at_mut(half);
        let (first_results, last_results) = results.split_at_mut(half);
        let run_first = || run_slice(first, first_results, site);
        join_at(site, run_first, || run_slice(last, last_results, site));
    }
}

impl<A: FnOnce() -> RA + Send, RA: Send> Sealed for (A,) {}

impl<A: FnOnce() -> RA + Send, RA: Send> Closures for (A,) {
    type Results = (RA,);

    fn run(self, _: Site) -> (RA,) {
        (self.0(),)
    }
}

/// Implements `Closures` for a tuple, of which each half is a tuple that has it already.
/// `a: A -> RA` stands for a closure and its result.
macro_rules! halves {
    ($($a:ident: $A:ident -> $RA:ident),+; $($b:ident: $B:ident -> $RB:ident),+) => {
        impl<$($A, $RA,)+ $($B, $RB,)+> Sealed for ($($A,)+ $($B,)+)
        where
            $($A: FnOnce() -> $RA + Send, $RA: Send,)+
            $($B: FnOnce() -> $RB + Send, $RB: Send,)+
        {
        }

        impl<$($A, $RA,)+ $($B, $RB,)+> Closures for ($($A,)+ $($B,)+)
        where
            $($A: FnOnce() -> $RA + Send, $RA: Send,)+
            $($B: FnOnce() -> $RB + Send, $RB: Send,)+
        {
            type Results = ($($RA,)+ $($RB,)+);

            fn run(self, site: Site) -> Self::Results {
                let ($($a,)+ $($b,)+) = self;
                let (($($a,)+), ($($b,)+)) =
                    join_at(site, || ($($a,)+).run(site), || ($($b,)+).run(site));
                ($($a,)+ $($b,)+)
            }
        }
    };
}

halves!(a: A -> RA; b: B -> RB);
halves!(a: A -> RA, b: B -> RB; c: C -> RC);
halves!(a: A -> RA, b: B -> RB; c: C -> RC, d: D -> RD);
halves!(a: A -> RA, b: B -> RB, c: C -> RC; d: D -> RD, e: E -> RE);
halves!(a: A -> RA, b: B -> RB, c: C -> RC; d: D -> RD, e: E -> RE, f: F -> RF);
halves!(a: A -> RA, b: B -> RB, c: C -> RC, d: D -> RD; e: E -> RE, f: F -> RF, g: G -> RG);
halves!(
    a: A -> RA, b: B -> RB, c: C -> RC, d: D -> RD;
    e: E -> RE, f: F -> RF, g: G -> RG, h: H -> RH
);
