//! Fork-join, a scope that borrows, and a job that waits without blocking its core.

use rustfiber::{Counter, join, scope, spawn};

fn sum(numbers: &[u64]) -> u64 {
    if numbers.len() <= 1000 {
        return numbers.iter().sum();
    }
    let (left, right) = numbers.split_at(numbers.len() / 2);
    let (left, right) = join(|| sum(left), || sum(right));
    left + right
}

fn main() {
    let numbers: Vec<u64> = (1..=1_000_000).collect();
    let both_ready = Counter::new(2);
    scope(|s| {
        for name in ["simulation", "audio"] {
            let both_ready = &both_ready;
            s.spawn(move || {
                println!("{name} is ready");
                both_ready.done();
                both_ready.wait(); // parks this fiber; the core takes other work
                println!("{name} starts");
            });
        }
    });
    let answer = spawn(|| 6 * 7);
    println!("the sum is {}, the answer {}", sum(&numbers), answer.join().expect("no panic"));
}
