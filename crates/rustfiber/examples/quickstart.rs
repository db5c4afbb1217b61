//! Fork-join, and jobs that wait without blocking their core: the README's example.

use rustfiber::{Counter, join, scope};

fn main() {
    let (left, right) = join(|| (1..=500).sum::<u32>(), || (501..=1000).sum::<u32>());
    println!("the sum is {}", left + right);

    let both_ready = Counter::new(2);
    scope(|s| {
        for name in ["simulation", "audio"] {
            let both_ready = &both_ready;
            s.spawn(move || {
                both_ready.done();
                both_ready.wait(); // parks this fiber; the core takes other work
                println!("{name} starts");
            });
        }
    });
}
