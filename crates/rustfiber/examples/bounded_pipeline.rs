//! A pipeline of two bounded channels whose stages run as fibers and as tokio tasks, side by side:
//! whoever is first in line gets the next value, and a full channel holds its senders back.
//!
//! Usage: `bounded_pipeline [NUMBERS]`. Prints which kind did how much, and checks that each number
//! came through once.

use std::env;
use std::error::Error;

use rustfiber::sync::channel::{self, Receiver, Sender};

/// Fibers and tasks in each stage, of each kind.
const EACH: usize = 2;

/// Values that a channel has room for.
const ROOM: usize = 16;

#[derive(Clone, Copy, PartialEq)]
enum By {
    Fiber,
    Task,
}

/// A number's square, and who made it.
type Square = (u64, By);

/// A stage on a fiber: it suspends while the one channel is empty, or the other full.
fn square_on_a_fiber(numbers: &Receiver<u64>, squares: &Sender<Square>) {
    while let Ok(number) = numbers.recv() {
        if squares.send((number * number, By::Fiber)).is_err() {
            return;
        }
    }
}

/// The same as a task: it gives its thread back to tokio meanwhile.
async fn square_in_a_task(numbers: Receiver<u64>, squares: Sender<Square>) {
    while let Ok(number) = numbers.recv_async().await {
        if squares.send_async((number * number, By::Task)).await.is_err() {
            return;
        }
    }
}

/// Sends the numbers of one source. The sources of fibers and of tasks take turns.
fn source(index: usize, count: u64) -> impl Iterator<Item = u64> {
    (index as u64..count).step_by(2 * EACH)
}

fn main() -> Result<(), Box<dyn Error>> {
    let count = env::args().nth(1).map_or(Ok(10_000), |count| count.parse::<u64>())?;
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let (to_square, numbers) = channel::bounded::<u64>(ROOM);
    let (to_sum, squares) = channel::bounded::<Square>(ROOM);

    for index in 0..EACH {
        let sender = to_square.clone();
        rustfiber::spawn(move || {
            source(index, count)
                .for_each(|number| sender.send(number).expect("the stages receive"));
        });
        let sender = to_square.clone();
        tokio.spawn(async move {
            for number in source(EACH + index, count) {
                sender.send_async(number).await.expect("the stages receive");
            }
        });
        let (numbers, to_sum) = (numbers.clone(), to_sum.clone());
        tokio.spawn(square_in_a_task(numbers.clone(), to_sum.clone()));
        rustfiber::spawn(move || square_on_a_fiber(&numbers, &to_sum));
    }
    // The channels end with their last sender.
    drop((to_square, to_sum));

    let (mut sum, mut by_fibers, mut by_tasks) = (0, 0, 0);
    while let Ok((square, by)) = squares.recv() {
        sum += square;
        *(if by == By::Fiber { &mut by_fibers } else { &mut by_tasks }) += 1;
    }
    println!("{by_fibers} squares by fibers and {by_tasks} by tokio tasks add up to {sum}");
    assert_eq!(by_fibers + by_tasks, count, "each number comes through once");
    assert_eq!(sum, (0..count).map(|number| number * number).sum::<u64>());
    Ok(())
}
