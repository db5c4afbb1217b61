//! `fibonacci N`: the number by joins on one worker, for whoever counts instructions from outside,
//! and prints how many joins that took.

use std::error::Error;

use rustfiber::{Runtime, join};
use rustfiber_benches::fork_join::fibonacci_by_addition;

fn main() -> Result<(), Box<dyn Error>> {
    let n: u32 = std::env::args().nth(1).ok_or("which number?")?.parse()?;
    let runtime = Runtime::builder().workers(1).build()?;
    assert_eq!(runtime.run(|| fibonacci(n)), fibonacci_by_addition(n));
    // Every call forks but those for 0 and 1.
    println!("{}", fibonacci_by_addition(n + 1) - 1);
    Ok(())
}

fn fibonacci(n: u32) -> u64 {
    if n < 2 {
        return n.into();
    }
    let (a, b) = join(|| fibonacci(n - 1), || fibonacci(n - 2));
    a + b
}
