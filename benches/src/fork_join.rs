//! Fork-join programs. Each takes the system's own `join`, so that all do the same work, and each
//! comes with an oracle that knows the answer another way.

/// What fork-join systems have in common.
pub trait ForkJoin {
    /// What a call of `join` needs beside its closures; nothing for most systems.
    type Scope<'s>;

    /// Calls both closures, possibly in parallel.
    fn join<A, B, RA, RB>(scope: &mut Self::Scope<'_>, a: A, b: B) -> (RA, RB)
    where
        A: FnOnce(&mut Self::Scope<'_>) -> RA + Send,
        B: FnOnce(&mut Self::Scope<'_>) -> RB + Send,
        RA: Send,
        RB: Send;
}

/// The n-th Fibonacci number by two recursions: nothing but joins.
pub fn fibonacci<S: ForkJoin>(scope: &mut S::Scope<'_>, n: u32) -> u64 {
    if n < 2 {
        return n.into();
    }
    let (a, b) =
        S::join(scope, move |s| fibonacci::<S>(s, n - 1), move |s| fibonacci::<S>(s, n - 2));
    a + b
}

/// The oracle of [`fibonacci`].
#[must_use]
pub fn fibonacci_by_addition(n: u32) -> u64 {
    let step = |(a, b): (u64, u64), _| (b, a + b);
    (0..n).fold((0, 1), step).0
}

/// Skynet by joins: the sum of the numbers of `count` leaves, from `first` on.
pub fn skynet<S: ForkJoin>(scope: &mut S::Scope<'_>, first: u64, count: u64) -> u64 {
    if count == 1 {
        return first;
    }
    let left = count / 2;
    let (a, b) = S::join(
        scope,
        move |s| skynet::<S>(s, first, left),
        move |s| skynet::<S>(s, first + left, count - left),
    );
    a + b
}

/// The oracle of [`skynet`] from zero on.
#[must_use]
pub fn skynet_by_formula(count: u64) -> u64 {
    count * (count - 1) / 2
}

/// Ways to put `size` queens on a board: an irregular tree, whose nodes fork by halving the row's
/// free squares. The masks hold the squares that the queens above attack.
pub fn queens<S: ForkJoin>(scope: &mut S::Scope<'_>, size: u32) -> u64 {
    row::<S>(scope, Board { all: (1 << size) - 1, columns: 0, left: 0, right: 0 })
}

/// The squares of the next row, as bits.
#[derive(Clone, Copy)]
struct Board {
    all: u32,
    columns: u32,
    left: u32,
    right: u32,
}

impl Board {
    fn free(self) -> u32 {
        self.all & !(self.columns | self.left | self.right)
    }

    fn with(self, square: u32) -> Board {
        Board {
            all: self.all,
            columns: self.columns | square,
            left: (self.left | square) << 1,
            right: (self.right | square) >> 1,
        }
    }
}

fn row<S: ForkJoin>(scope: &mut S::Scope<'_>, board: Board) -> u64 {
    if board.columns == board.all {
        return 1;
    }
    squares::<S>(scope, board, board.free())
}

fn squares<S: ForkJoin>(scope: &mut S::Scope<'_>, board: Board, free: u32) -> u64 {
    match free.count_ones() {
        0 => 0,
        1 => row::<S>(scope, board.with(free)),
        _ => {
            let first = free & free.wrapping_neg();
            let (a, b) = S::join(
                scope,
                |s| row::<S>(s, board.with(first)),
                |s| squares::<S>(s, board, free & !first),
            );
            a + b
        }
    }
}

/// The oracle of [`queens`]: OEIS A000170.
///
/// # Panics
///
/// Panics for boards of more than 14 squares a side.
#[must_use]
pub fn queens_by_table(size: u32) -> u64 {
    [1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14_200, 73_712, 365_596][size as usize]
}

/// A node of a boxed tree.
#[derive(Debug)]
pub struct Tree {
    value: u64,
    children: Option<Box<(Tree, Tree)>>,
}

impl Tree {
    /// Makes a full tree of `2^levels - 1` nodes with the values 1, 2 and so on, in level order.
    #[must_use]
    pub fn full(levels: u32) -> Tree {
        Tree::grow(1, levels, |node, levels| {
            let value = node.value;
            (levels > 1).then(|| [(2 * value, levels - 1), (2 * value + 1, levels - 1)])
        })
    }

    /// Makes a tree of about `nodes` nodes in which each node's children share what is left of it
    /// in a ratio between 1:1 and 1:15, by a fixed sequence.
    #[must_use]
    pub fn unbalanced(nodes: u64) -> Tree {
        Tree::grow(1, nodes, |node, nodes| {
            let mixed = node.value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
            node.value %= 1000;
            (nodes > 2).then(|| {
                let left = (nodes * (1 + mixed % 8) / 16).max(1);
                [(mixed, left), (!mixed, nodes - 1 - left)]
            })
        })
    }

    /// Grows a tree from a root of `value`, level by level, so that memory favours neither systems
    /// that go left first nor those that go right first. `children` tells value and size of both.
    fn grow<N>(
        value: u64,
        size: N,
        children: impl Fn(&mut Tree, N) -> Option<[(u64, N); 2]>,
    ) -> Tree {
        let leaf = |value| Tree { value, children: None };
        let mut root = leaf(value);
        let mut level = vec![(&mut root, size)];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (node, size) in level {
                let Some([left, right]) = children(node, size) else { continue };
                let pair = node.children.insert(Box::new((leaf(left.0), leaf(right.0))));
                let (first, second) = &mut **pair;
                next.extend([(first, left.1), (second, right.1)]);
            }
            level = next;
        }
        root
    }

    /// The oracle of [`tree_sum`].
    #[must_use]
    pub fn sum(&self) -> u64 {
        let children = self.children.as_ref();
        self.value + children.map_or(0, |children| children.0.sum() + children.1.sum())
    }
}

/// The sum of all values, with a join at each inner node: no cut-off.
pub fn tree_sum<S: ForkJoin>(scope: &mut S::Scope<'_>, tree: &Tree) -> u64 {
    let Some(children) = &tree.children else { return tree.value };
    let (left, right) = &**children;
    let (a, b) = S::join(scope, |s| tree_sum::<S>(s, left), |s| tree_sum::<S>(s, right));
    tree.value + a + b
}

/// Below this many numbers a part is sorted in place.
const SORT_CUT: usize = 2048;

/// Merge sort with a parallel merge, as in Cilk.
pub fn cilksort<S: ForkJoin>(scope: &mut S::Scope<'_>, numbers: &mut [u32], spare: &mut [u32]) {
    if numbers.len() <= SORT_CUT {
        numbers.sort_unstable();
        return;
    }
    let middle = numbers.len() / 2;
    let (left, right) = numbers.split_at_mut(middle);
    let (left_spare, right_spare) = spare.split_at_mut(middle);
    S::join(
        scope,
        |s| cilksort::<S>(s, left, left_spare),
        |s| cilksort::<S>(s, right, right_spare),
    );
    merge::<S>(scope, left, right, spare);
    numbers.copy_from_slice(spare);
}

fn merge<S: ForkJoin>(scope: &mut S::Scope<'_>, a: &[u32], b: &[u32], into: &mut [u32]) {
    if into.len() <= SORT_CUT || a.is_empty() || b.is_empty() {
        return merge_here(a, b, into);
    }
    if a.len() < b.len() {
        return merge::<S>(scope, b, a, into);
    }
    let middle = a.len() / 2;
    let cut = b.partition_point(|number| *number < a[middle]);
    let (low, high) = into.split_at_mut(middle + cut);
    let ((a_low, a_high), (b_low, b_high)) = (a.split_at(middle), b.split_at(cut));
    S::join(scope, |s| merge::<S>(s, a_low, b_low, low), |s| merge::<S>(s, a_high, b_high, high));
}

fn merge_here<'n>(mut a: &'n [u32], mut b: &'n [u32], into: &mut [u32]) {
    for place in into {
        let from_a = b.is_empty() || a.first().is_some_and(|first| *first <= b[0]);
        let side = if from_a { &mut a } else { &mut b };
        let (first, rest) = side.split_first().expect("as many places as numbers");
        (*place, *side) = (*first, rest);
    }
}

/// A parallel loop over `items` by halving, each of which costs `work` steps of a generator.
pub fn parallel_for<S: ForkJoin>(
    scope: &mut S::Scope<'_>,
    items: std::ops::Range<u64>,
    work: u32,
) -> u64 {
    let count = items.end - items.start;
    if count == 1 {
        return mix(items.start, work);
    }
    let middle = items.start + count / 2;
    let (low, high) = (items.start..middle, middle..items.end);
    let (a, b) =
        S::join(scope, |s| parallel_for::<S>(s, low, work), |s| parallel_for::<S>(s, high, work));
    a.wrapping_add(b)
}

/// The oracle of [`parallel_for`]: a plain loop.
#[must_use]
pub fn plain_for(items: std::ops::Range<u64>, work: u32) -> u64 {
    items.map(|item| mix(item, work)).fold(0, u64::wrapping_add)
}

pub(crate) fn mix(item: u64, work: u32) -> u64 {
    let step = |z: u64, _| {
        let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    (0..work).fold(item, step)
}
