//! From `async` code to fibers and back: tokio tasks await jobs, fibers run futures, the workers
//! poll futures, and calls that block their thread go elsewhere. Every step checks what it got.

use std::error::Error;
use std::fs;
use std::future::pending;
use std::time::Duration;

use rustfiber::sync::{CancelToken, Cancelled, channel};
use rustfiber::{block_on, blocking, join, spawn, spawn_future};

/// Work that keeps a core busy, and has no place on an executor's thread.
fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = join(|| fib(n - 1), || fib(n - 2));
    a + b
}

fn main() -> Result<(), Box<dyn Error>> {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;

    // A task awaits a job: tokio's thread is free while the workers compute.
    let answer = tokio.block_on(async { spawn(|| fib(20)).await }).expect("no panic");
    println!("a tokio task awaited fib(20) = {answer}");
    assert_eq!(answer, 6765);

    // A fiber waits for a task, here for one of tokio's timers: its worker takes other jobs.
    let handle = tokio.handle().clone();
    let slept = spawn(move || {
        let task = handle.spawn(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            "slept"
        });
        block_on(task)
    });
    let slept = slept.join().expect("no panic")?;
    println!("a fiber waited for a tokio task that {slept}");
    assert_eq!(slept, "slept");

    // A future on the workers: it holds no stack while it waits for the next number.
    let (sender, receiver) = channel::bounded::<u64>(4);
    let sum = spawn_future(async move {
        let mut sum = 0;
        while let Ok(number) = receiver.recv_async().await {
            sum += number;
        }
        sum
    });
    tokio.block_on(async move {
        for number in 1..=100 {
            sender.send_async(number).await.expect("the future receives");
        }
    });
    let sum = sum.join().expect("no panic");
    println!("a future on the workers summed up {sum}");
    assert_eq!(sum, 5050);

    // A call that blocks its thread: only the fiber waits.
    let program = std::env::current_exe()?;
    let bytes = spawn(move || blocking(|| fs::metadata(&program).map(|file| file.len())));
    let bytes = bytes.join().expect("no panic")?;
    println!("a helper thread asked for the size of this program: {bytes} bytes");
    assert!(bytes > 0);

    // Any future ends in time, wherever it runs.
    let limited = spawn(|| {
        let token = CancelToken::new().with_timeout(Duration::from_millis(5));
        token.run(pending::<()>())
    });
    assert_eq!(limited.join().expect("no panic"), Err(Cancelled));
    println!("a wait without an end was cancelled in time");
    Ok(())
}
