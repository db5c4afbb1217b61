//! Victim orders: plain data that says whom each worker steals from first.

use std::fmt;

/// What is wrong with a set of victim orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VictimError {
    worker: usize,
    worker_count: usize,
}

impl fmt::Display for VictimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the victim order of worker {} must name each of the other {} workers once",
            self.worker,
            self.worker_count.saturating_sub(1)
        )
    }
}

impl std::error::Error for VictimError {}

/// Checks that each worker's order names every other worker exactly once: an order that leaves
/// somebody out could strand that worker's jobs.
///
/// # Errors
///
/// Names the first worker whose order is not a permutation of the others.
pub fn check_victims(orders: &[Vec<usize>]) -> Result<(), VictimError> {
    for (worker, order) in orders.iter().enumerate() {
        let mut seen: Vec<usize> = order.clone();
        seen.push(worker);
        seen.sort_unstable();
        if !seen.iter().copied().eq(0..orders.len()) {
            return Err(VictimError { worker, worker_count: orders.len() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_must_be_permutations_of_the_others() {
        assert_eq!(check_victims(&[vec![1, 2], vec![2, 0], vec![0, 1]]), Ok(()));
        assert_eq!(check_victims(&[vec![]]), Ok(()));
        for wrong in [vec![vec![1], vec![]], vec![vec![0], vec![0]], vec![vec![1, 1], vec![0]]] {
            assert!(check_victims(&wrong).is_err(), "{wrong:?}");
        }
    }
}
