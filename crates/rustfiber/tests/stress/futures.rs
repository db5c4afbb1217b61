//! Random trees of futures that use everything at once: whoever wakes, cancels, joins or forgets
//! them, each is polled by one at a time, ends or is dropped once, and leaves no value behind.

use std::any::Any;
use std::future::{pending, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustfiber::sync::{CancelToken, Cancelled, Semaphore, channel, oneshot};
use rustfiber::{
    Abandoned, Runtime, block_on, blocking, current_worker, sleep, spawn, spawn_future, yield_now,
};

use crate::support::{must_end_or_tell, patience};
use crate::tally::{
    CANARY, Tally, Value, add, assert_on_purpose, caught, is_on_purpose, panic_on_purpose, read,
};

/// From so many futures on, a round makes no more.
const FUTURES_MAX: usize = if cfg!(debug_assertions) { 500 } else { 2000 };

const PERMITS: usize = 2;

/// What all futures of a round use.
struct Round {
    tally: Arc<Tally>,
    made: AtomicUsize,
    dropped: AtomicUsize,
    /// What must not be, where an assertion might not be heard.
    faults: AtomicUsize,
    /// To the threads that wake and cancel, in their own time.
    others: [mpsc::Sender<Errand>; 2],
    permits: Semaphore,
    held: AtomicUsize,
    values: (channel::Sender<Value>, channel::Receiver<Value>),
    /// One in so many futures panics; zero: none.
    panics: u32,
}

/// What is left to another thread.
enum Errand {
    Wake(Waker, Arc<AtomicBool>),
    Cancel(CancelToken),
}

/// How a future may end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    /// By its end, or a panic.
    Spawned,
    /// By being abandoned, or a panic.
    Abandoned,
    /// As its owner likes.
    Owned,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A future, as it is seen from outside.
struct Counted {
    round: Arc<Round>,
    future: Boxed<Value>,
    life: Life,
    /// Returned, or panicked.
    has_ended: bool,
    is_polled: AtomicBool,
    /// Says whether it is still what it was.
    canary: Box<u64>,
}

impl Counted {
    fn new(round: &Arc<Round>, depth: u32, life: Life, random: &mut Rng) -> Self {
        add(&round.made);
        let future: Boxed<Value> = match life {
            Life::Abandoned => Box::pin(goes_nowhere(Arc::clone(round), random.fork())),
            _ => Box::pin(works(Arc::clone(round), depth, random.fork())),
        };
        let (has_ended, is_polled) = (false, AtomicBool::new(false));
        let round = Arc::clone(round);
        Counted { round, future, life, has_ended, is_polled, canary: Box::new(CANARY) }
    }
}

impl Future for Counted {
    type Output = Value;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Value> {
        assert_eq!(*self.canary, CANARY, "a future was polled after its drop");
        assert!(!self.has_ended, "a future was polled after its end");
        assert!(!self.is_polled.swap(true, Ordering::Relaxed), "a future is polled by two");
        assert!(self.life == Life::Owned || current_worker().is_some(), "polled elsewhere");
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context)));
        self.is_polled.store(false, Ordering::Relaxed);
        self.has_ended = !matches!(polled, Ok(Poll::Pending));
        polled.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        add(&self.round.dropped);
        let is_whole = mem::replace(&mut *self.canary, 0) == CANARY
            && !*self.is_polled.get_mut()
            && (self.life != Life::Spawned || self.has_ended);
        if !is_whole {
            add(&self.round.faults);
        }
    }
}

/// Lets itself be polled again at once, some times.
async fn yields(mut times: u32) {
    poll_fn(|context| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls a future at most so often, and drops it.
async fn for_a_while<F: Future>(future: F, mut polls: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        context.waker().wake_by_ref();
        future.as_mut().poll(context).map(Some)
    })
    .await
}

impl Round {
    fn leave_to_others(&self, errand: Errand, random: &mut Rng) {
        self.others[random.usize(..2)].send(errand).expect("they live as long as the round");
    }

    /// Waits for a wake by another thread; each poll's waker may be the one that is woken.
    async fn is_woken(&self, random: &mut Rng) {
        let is_woken = Arc::new(AtomicBool::new(false));
        poll_fn(|context| {
            if is_woken.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            let errand = Errand::Wake(context.waker().clone(), Arc::clone(&is_woken));
            self.leave_to_others(errand, random);
            Poll::Pending
        })
        .await;
    }

    /// A token that is cancelled some time.
    fn token(&self, random: &mut Rng) -> CancelToken {
        let root = CancelToken::new();
        let token = if random.bool() { root.child() } else { root.clone() };
        self.leave_to_others(Errand::Cancel(root), random);
        token
    }

    /// Holds a permit; nobody who does waits for anybody.
    async fn holds_a_permit(&self, random: &mut Rng) {
        let permit = match random.u32(..4) {
            0 => self.permits.try_acquire().ok(),
            1 => self.permits.acquire_timeout(moment(random)).ok(),
            2 => for_a_while(self.permits.acquire_async(), random.u32(..4))
                .await
                .transpose()
                .unwrap(),
            _ => Some(self.permits.acquire_async().await.unwrap()),
        };
        if permit.is_some() {
            let held = Held::new(self);
            yields(random.u32(..3)).await;
            drop(held);
        }
    }

    async fn passes_values_on(&self, random: &mut Rng) {
        let (sender, receiver) = &self.values;
        let received = match random.u32(..4) {
            0 => receiver.try_recv().ok(),
            1 => receiver.recv_timeout(moment(random)).ok(),
            2 => for_a_while(receiver.recv_async(), random.u32(..4)).await.transpose().unwrap(),
            _ => {
                sender.send(Value::new(&self.tally, random)).expect("it is not closed");
                None
            }
        };
        received.into_iter().for_each(Value::take);
    }
}

/// Whoever has a permit; also if it is dropped with it.
struct Held<'a>(&'a Round);

impl<'a> Held<'a> {
    fn new(round: &'a Round) -> Self {
        if round.held.fetch_add(1, Ordering::SeqCst) >= PERMITS {
            add(&round.faults);
        }
        Held(round)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

fn moment(random: &mut Rng) -> Duration {
    Duration::from_micros(random.u64(..100))
}

/// What came out of a handle must have been meant.
fn settle(result: thread::Result<Value>) {
    match result {
        Ok(value) => value.take(),
        Err(payload) if payload.is::<Abandoned>() => {}
        Err(payload) => assert_on_purpose(payload),
    }
}

/// Waits for wakes, and then for one that nobody can make.
async fn goes_nowhere(round: Arc<Round>, mut random: Rng) -> Value {
    for _ in 0..random.u32(..3) {
        round.is_woken(&mut random).await;
    }
    pending().await
}

async fn works(round: Arc<Round>, depth: u32, mut random: Rng) -> Value {
    for _ in 0..random.u32(..4) {
        step(&round, depth, &mut random).await;
    }
    if round.panics != 0 && random.u32(..round.panics) == 0 {
        panic_on_purpose();
    }
    Value::new(&round.tally, &mut random)
}

async fn step(round: &Arc<Round>, depth: u32, random: &mut Rng) {
    let may_grow = depth != 0 && read(&round.made) < FUTURES_MAX;
    match random.u32(..if may_grow { 12 } else { 6 }) {
        0 => yields(random.u32(..5)).await,
        1 => round.is_woken(random).await,
        2 => round.holds_a_permit(random).await,
        3 => round.passes_values_on(random).await,
        // A poll may wait as any job may.
        4 => match random.u32(..8) {
            0 => blocking(thread::yield_now),
            1 => sleep(moment(random)),
            _ => yield_now(),
        },
        5 => one_value(round, random).await,
        6 | 7 => spawns(round, depth - 1, random).await,
        8 => {
            let child = Counted::new(round, depth - 1, Life::Owned, random);
            child.await.take();
        }
        9 => {
            let child = Counted::new(round, depth - 1, Life::Owned, random);
            let polls = random.u32(..3);
            for_a_while(child, polls).await.into_iter().for_each(Value::take);
        }
        10 => cancelled(round, depth - 1, random).await,
        _ => {
            let child = Counted::new(round, depth - 1, Life::Owned, random);
            if random.bool() {
                settle(spawn(|| block_on(child)).await);
            } else {
                block_on(child).take();
            }
        }
    }
}

/// A value comes from a job or a future, or does not.
async fn one_value(round: &Arc<Round>, random: &mut Rng) {
    let (sender, mut receiver) = oneshot::channel();
    let value = random.bool().then(|| Value::new(&round.tally, random));
    let is_sent = value.is_some();
    let send = move || {
        if let Some(Err(refused)) = value.map(|value| sender.send(value)) {
            refused.0.take();
        }
    };
    match random.bool() {
        true => drop(spawn(send)),
        false => drop(spawn_future(async move { send() })),
    }
    let received = match random.u32(..3) {
        0 => receiver.recv_timeout(moment(random)).map_err(|_| ()),
        1 => receiver.recv().map_err(|_| ()),
        _ => receiver.recv_async().await.map_err(|_| ()),
    };
    if received.is_ok() && !is_sent {
        add(&round.faults);
    }
    // Or it is dropped with the receiver.
    received.into_iter().for_each(Value::take);
}

fn life(random: &mut Rng) -> Life {
    if random.u32(..6) == 0 { Life::Abandoned } else { Life::Spawned }
}

async fn spawns(round: &Arc<Round>, depth: u32, random: &mut Rng) {
    let mut handles: Vec<_> = (0..random.u32(1..5))
        .map(|_| {
            let life = life(random);
            spawn_future(Counted::new(round, depth, life, random))
        })
        .collect();
    random.shuffle(&mut handles);
    for mut handle in handles {
        match random.u32(..5) {
            0 => drop(handle),
            1 => settle(handle.join()),
            2 => {
                let polls = random.u32(..3);
                for_a_while(&mut handle, polls).await.into_iter().for_each(settle);
            }
            _ => settle(handle.await),
        }
    }
}

async fn cancelled(round: &Arc<Round>, depth: u32, random: &mut Rng) {
    let token = round.token(random);
    let child = Counted::new(round, depth, Life::Owned, random);
    let result = match random.u32(..4) {
        0 => token.run_async(child).await,
        1 => token.run(child),
        2 => token.with_timeout(moment(random)).run(child),
        // The handle is given up, not the future.
        _ => {
            let handle = spawn_future(Counted::new(round, depth, Life::Spawned, random));
            token.run_async(handle).await.into_iter().for_each(settle);
            Err(Cancelled)
        }
    };
    result.into_iter().for_each(Value::take);
}

/// Wakes and cancels, a few at a time, in any order; some twice, and some too late.
fn runs_errands(errands: &mpsc::Receiver<Errand>, mut random: Rng) {
    let mut late: Vec<Waker> = Vec::new();
    loop {
        let first = match errands.try_recv() {
            Ok(errand) => errand,
            // Wakers that are kept would keep a future from being abandoned.
            Err(_) => {
                late.drain(..).for_each(|waker| {
                    if random.bool() {
                        waker.wake()
                    }
                });
                let Ok(errand) = errands.recv() else { return };
                errand
            }
        };
        let mut batch = vec![first];
        batch.extend(errands.try_iter().take(random.usize(..8)));
        random.shuffle(&mut batch);
        for errand in batch {
            match errand {
                Errand::Cancel(token) => token.cancel(),
                Errand::Wake(waker, is_woken) => {
                    if random.u32(..4) == 0 {
                        late.push(waker.clone());
                    }
                    if random.u32(..4) == 0 {
                        waker.wake_by_ref(); // in vain
                    }
                    is_woken.store(true, Ordering::Release);
                    waker.wake();
                }
            }
        }
    }
}

/// What a plain thread does: it makes futures for all runtimes, and uses their handles anywhere.
fn takes_part(round: &Arc<Round>, runtimes: &[Arc<Runtime>], random: &mut Rng) {
    let depth = random.u32(1..4);
    for _ in 0..random.u32(1..6) {
        let [runtime, other] = [(); 2].map(|()| &runtimes[random.usize(..runtimes.len())]);
        if random.u32(..6) == 0 {
            let future = Counted::new(round, depth, Life::Owned, random);
            caught(|| runtime.run(|| block_on(future)).take());
            continue;
        }
        let life = life(random);
        let handle = runtime.spawn_future(Counted::new(round, depth, life, random));
        match random.u32(..7) {
            0 => drop(handle),
            1 => settle(handle.join()),
            2 => settle(other.run(|| handle.join())),
            3 => settle(block_on(handle)),
            4 => settle(other.run(|| block_on(handle))),
            5 => {
                while !handle.is_finished() {
                    thread::yield_now();
                }
                settle(handle.join());
            }
            _ => {
                let token = round.token(random).with_timeout(10 * moment(random));
                token.run(handle).into_iter().for_each(settle);
            }
        }
    }
}

fn runtimes(round: &Arc<Round>, random: &mut Rng) -> Vec<Arc<Runtime>> {
    let workers = [1, 1, 2, 3, 4];
    let runtime = |random: &mut Rng| {
        let faults = Arc::downgrade(round);
        let handler = move |payload: Box<dyn Any + Send>| {
            if !is_on_purpose(&*payload) && !payload.is::<Abandoned>() {
                add(&faults.upgrade().expect("the round outlives its runtimes").faults);
            }
        };
        Runtime::builder()
            .workers(workers[random.usize(..workers.len())])
            .fenced(random.bool())
            .panic_handler(handler)
            .build()
            .unwrap()
    };
    (0..random.usize(1..3)).map(|_| Arc::new(runtime(random))).collect()
}

pub(crate) fn run_round(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let (others, errands): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel()).unzip();
    let errand_runners = errands.into_iter().map(|errands| {
        let random = random.fork();
        thread::spawn(move || runs_errands(&errands, random))
    });
    let errand_runners: Vec<_> = errand_runners.collect();
    let tally = Arc::<Tally>::default();
    let round = Arc::new(Round {
        tally: Arc::clone(&tally),
        made: AtomicUsize::new(0),
        dropped: AtomicUsize::new(0),
        faults: AtomicUsize::new(0),
        others: others.try_into().expect("two"),
        permits: Semaphore::new(PERMITS),
        held: AtomicUsize::new(0),
        values: channel::unbounded(),
        panics: [0, 0, 50, 10][random.usize(..4)],
    });
    let runtimes = runtimes(&round, &mut random);
    let dumps = || runtimes.iter().map(|runtime| format!("{}\n", runtime.dump())).collect();
    let (shared, shared_runtimes) = (Arc::clone(&round), runtimes.clone());
    must_end_or_tell(dumps, move || {
        thread::scope(|s| {
            for mut random in (0..random.u32(1..5)).map(|_| random.fork()).collect::<Vec<_>>() {
                let (round, runtimes) = (&shared, &shared_runtimes);
                s.spawn(move || takes_part(round, runtimes, &mut random));
            }
        });
    });
    // Whom nobody waits for ends now. The report of a shutdown in vain has a dump.
    for runtime in runtimes {
        let runtime = Arc::into_inner(runtime).expect("nobody else has it");
        runtime.shutdown(patience()).unwrap_or_else(|error| panic!("{error}"));
    }
    let round = Arc::into_inner(round).expect("no future is left");
    let (sender, receiver) = round.values;
    sender.close();
    receiver.into_iter().for_each(Value::take);
    assert_eq!(read(&round.made), read(&round.dropped));
    assert_eq!((read(&round.faults), read(&round.held)), (0, 0));
    assert_eq!(round.permits.available_permits(), PERMITS);
    assert_eq!(read(&tally.values_made), read(&tally.values_dropped), "{tally:?}");
    drop(round.others);
    errand_runners.into_iter().for_each(|thread| thread.join().unwrap());
}
