//! Products of square matrices, by halving the rows.

use crate::fork_join::ForkJoin;

/// A square matrix, row after row.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    size: usize,
    cells: Vec<f32>,
}

/// Rows of the result that one job computes.
const ROWS: usize = 32;
/// A part of the right matrix, this many rows by this many columns, stays in a core's cache.
const DEPTH: usize = 64;
const WIDTH: usize = 512;

impl Matrix {
    /// Makes a matrix of small integers, which single precision multiplies and adds exactly as long
    /// as no sum exceeds 2^24.
    #[must_use]
    pub(crate) fn random(size: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Matrix { size, cells: (0..size * size).map(|_| f32::from(random.u8(..8))).collect() }
    }

    /// Tells whether this is `a` times `b`, with a probability of error below 2^-60: what it does
    /// to a random vector must be what `b` and then `a` do to it.
    pub(crate) fn is_product_of(&self, a: &Matrix, b: &Matrix) -> bool {
        let mut random = fastrand::Rng::with_seed(self.size as u64);
        let vector: Vec<u64> = (0..self.size).map(|_| random.u64(..)).collect();
        self.times(&vector) == a.times(&b.times(&vector))
    }

    /// In integers modulo 2^64.
    fn times(&self, vector: &[u64]) -> Vec<u64> {
        let row = |row: &[f32]| {
            let products = row.iter().zip(vector);
            products.fold(0, |sum: u64, (cell, number)| {
                sum.wrapping_add((*cell as u64).wrapping_mul(*number))
            })
        };
        self.cells.chunks(self.size).map(row).collect()
    }
}

/// Returns `a` times `b`.
pub(crate) fn multiply<S: ForkJoin>(scope: &mut S::Scope<'_>, a: &Matrix, b: &Matrix) -> Matrix {
    let mut cells = vec![0.0; a.size * a.size];
    rows::<S>(scope, &a.cells, b, &mut cells);
    Matrix { size: a.size, cells }
}

/// Computes some rows of the result from the same rows of the left matrix.
fn rows<S: ForkJoin>(scope: &mut S::Scope<'_>, left: &[f32], right: &Matrix, into: &mut [f32]) {
    let count = into.len() / right.size;
    if count <= ROWS {
        return rows_here(left, right, into);
    }
    let middle = count / 2 * right.size;
    let (top, bottom) = into.split_at_mut(middle);
    let (left_top, left_bottom) = left.split_at(middle);
    S::join(
        scope,
        |s| rows::<S>(s, left_top, right, top),
        |s| rows::<S>(s, left_bottom, right, bottom),
    );
}

fn rows_here(left: &[f32], right: &Matrix, into: &mut [f32]) {
    let size = right.size;
    for column in (0..size).step_by(WIDTH) {
        let columns = column..size.min(column + WIDTH);
        for depth in (0..size).step_by(DEPTH) {
            for (left, into) in left.chunks(size).zip(into.chunks_mut(size)) {
                let into = &mut into[columns.clone()];
                let factors = left[depth..].iter().take(DEPTH);
                for (factor, right) in factors.zip(right.cells.chunks(size).skip(depth)) {
                    let right = &right[columns.clone()];
                    into.iter_mut().zip(right).for_each(|(sum, cell)| *sum += factor * cell);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Sequential;

    #[test]
    fn the_product_is_right_and_the_check_sees_a_wrong_one() {
        let (a, b) = (Matrix::random(100, 1), Matrix::random(100, 2));
        let mut product = multiply::<Sequential>(&mut (), &a, &b);
        let cell = |row: usize, column: usize| {
            (0..100).map(|k| a.cells[row * 100 + k] * b.cells[k * 100 + column]).sum::<f32>()
        };
        assert_eq!(product.cells[0], cell(0, 0));
        assert_eq!(product.cells[99 * 100 + 37], cell(99, 37));
        assert!(product.is_product_of(&a, &b));
        product.cells[4321] += 1.0;
        assert!(!product.is_product_of(&a, &b));
    }
}
