//! Workloads with oracles. Each takes the system's own `join`, so that all do the same work.

/// What fork-join systems have in common.
pub trait Join: Sync {
    /// Calls both closures, possibly in parallel.
    fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send;
}

/// [`rustfiber::join`].
#[derive(Debug)]
pub struct RustFiber;

impl Join for RustFiber {
    #[inline]
    fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        rustfiber::join(a, b)
    }
}

/// `rayon::join`.
#[derive(Debug)]
pub struct Rayon;

impl Join for Rayon {
    #[inline]
    fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        rayon::join(a, b)
    }
}

/// Fork-join at its finest grain: the n-th Fibonacci number by two recursions.
#[must_use]
pub fn fibonacci<J: Join>(n: u32) -> u64 {
    if n < 2 {
        return n.into();
    }
    let (a, b) = J::join(|| fibonacci::<J>(n - 1), || fibonacci::<J>(n - 2));
    a + b
}

/// The oracle of [`fibonacci`].
#[must_use]
pub fn fibonacci_by_addition(n: u32) -> u64 {
    let step = |(a, b): (u64, u64), _| (b, a + b);
    (0..n).fold((0, 1), step).0
}

/// Fork-join at a usual grain: a sum by halving, in chunks of a thousand.
#[must_use]
pub fn sum<J: Join>(numbers: &[u64]) -> u64 {
    if numbers.len() <= 1000 {
        return numbers.iter().copied().fold(0, u64::wrapping_add);
    }
    let (left, right) = numbers.split_at(numbers.len() / 2);
    let (left, right) = J::join(|| sum::<J>(left), || sum::<J>(right));
    left.wrapping_add(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_systems_agree_with_the_oracles() {
        let numbers: Vec<u64> = (0..100_000).collect();
        for (fibonacci, sum) in [
            (fibonacci::<RustFiber> as fn(u32) -> u64, sum::<RustFiber> as fn(&[u64]) -> u64),
            (fibonacci::<Rayon>, sum::<Rayon>),
        ] {
            (0..20).for_each(|n| assert_eq!(fibonacci(n), fibonacci_by_addition(n)));
            assert_eq!(sum(&numbers), 100_000 * 99_999 / 2);
        }
    }
}
