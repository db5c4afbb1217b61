//! Every wait of a task, and what ends it.

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use fiber_sync::{
    AutoResetEvent, Barrier, CancelToken, Condvar, ManualResetEvent, Mutex, OnceCell,
    OwnedMutexGuard, OwnedRwLockWriteGuard, Policy, RwLock, Semaphore, WaitGroup, channel, oneshot,
};

use crate::common::Task;

pub(crate) type Waiting = Pin<Box<dyn Future<Output = ()>>>;

/// A primitive, and a way to wait for it.
pub(crate) trait Scene {
    /// Waits until a release. When this ends it lets the next go, unless all go at once.
    fn wait(self: Rc<Self>) -> Waiting;

    /// Lets those who wait go: all at once, or the first, and so all.
    fn release(&self);

    /// Checks that the primitive is whole, and that nothing is lost, when nobody waits any more.
    fn check(&self);

    /// Tells whether several may wait.
    fn is_shared(&self) -> bool {
        true
    }
}

/// More than one batch of the queue.
pub(crate) const CROWD: usize = 40;

/// Every wait of a task; and how many panics of three wakers are heard, of those that let go first,
/// early and in another batch. If all are woken at once, the first.
pub(crate) fn scenes() -> Vec<(&'static str, usize, Rc<dyn Scene>)> {
    vec![
        ("Semaphore", 3, Permits::new(Semaphore::new(0), 1)),
        ("Semaphore, many at once", 1, Permits::new(Semaphore::new(0), CROWD)),
        ("Semaphore, unfair", 3, Permits::new(Semaphore::unfair(0), 1)),
        ("Semaphore, unfair, many at once", 1, Permits::new(Semaphore::unfair(0), CROWD)),
        ("Semaphore, closed", 1, Rc::new(ClosedSemaphore(Semaphore::new(0)))),
        ("Semaphore, unfair, closed", 1, Rc::new(ClosedSemaphore(Semaphore::unfair(0)))),
        ("Mutex", 3, Locked::new()),
        ("RwLock, read", 1, Written::new(false)),
        ("RwLock, written", 3, Written::new(true)),
        ("Condvar", 3, Rc::new(Condition::default())),
        ("ManualResetEvent", 1, Rc::new(ManualResetEvent::new(false))),
        ("AutoResetEvent", 3, Rc::new(AutoResetEvent::new(false))),
        ("Barrier", 1, Rc::new(Barrier::new(CROWD + 1))),
        ("WaitGroup", 1, Rc::new(WaitGroup::new(1))),
        // The maker gives up; the next makes the value, for all.
        ("OnceCell, made", 2, Making::new(Ok(1))),
        ("OnceCell, not made", 3, Making::new(Err(()))),
        ("OnceCell, made by others", 1, Rc::new(OnceCell::<i32>::new())),
        ("channel, received from", 3, Circle::new(channel::bounded(CROWD))),
        ("channel, unbounded, received from", 3, Circle::new(channel::unbounded())),
        // Received values are not lost for it.
        ("channel, sent to", 0, Full::new()),
        ("channel, closed", 1, Closing::new()),
        ("oneshot, received from", 1, Sent::new()),
        ("oneshot, refused", 1, Refused::new()),
        ("CancelToken", 1, Rc::new(Tokens::default())),
    ]
}

struct Permits<P: Policy> {
    semaphore: Semaphore<P>,
    step: usize,
    released: Cell<usize>,
}

impl<P: Policy> Permits<P> {
    fn new(semaphore: Semaphore<P>, step: usize) -> Rc<Self> {
        Rc::new(Permits { semaphore, step, released: Cell::new(0) })
    }
}

impl<P: Policy + 'static> Scene for Permits<P> {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move { drop(self.semaphore.acquire_async().await.unwrap()) })
    }

    fn release(&self) {
        self.released.set(self.released.get() + self.step);
        self.semaphore.add_permits(self.step);
    }

    fn check(&self) {
        assert_eq!(self.semaphore.available_permits(), self.released.get());
    }
}

struct ClosedSemaphore<P: Policy>(Semaphore<P>);

impl<P: Policy + 'static> Scene for ClosedSemaphore<P> {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move { assert!(self.0.acquire_async().await.is_err()) })
    }

    fn release(&self) {
        self.0.close();
    }

    fn check(&self) {
        assert!(self.0.is_closed() && self.0.waiter_count() == 0);
    }
}

struct Locked {
    mutex: Arc<Mutex<()>>,
    guard: Cell<Option<OwnedMutexGuard<()>>>,
}

impl Locked {
    fn new() -> Rc<Self> {
        let mutex = Arc::new(Mutex::new(()));
        let guard = Cell::new(Some(Arc::clone(&mutex).lock_owned()));
        Rc::new(Locked { mutex, guard })
    }
}

impl Scene for Locked {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move { drop(self.mutex.lock_async().await) })
    }

    fn release(&self) {
        drop(self.guard.take());
    }

    fn check(&self) {
        assert!(self.mutex.try_lock().is_some());
    }
}

struct Written {
    lock: Arc<RwLock<()>>,
    guard: Cell<Option<OwnedRwLockWriteGuard<()>>>,
    writes: bool,
}

impl Written {
    fn new(writes: bool) -> Rc<Self> {
        let lock = Arc::new(RwLock::new(()));
        let guard = Cell::new(Some(Arc::clone(&lock).write_owned()));
        Rc::new(Written { lock, guard, writes })
    }
}

impl Scene for Written {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move {
            match self.writes {
                true => drop(self.lock.write_async().await),
                false => drop(self.lock.read_async().await),
            }
        })
    }

    /// By way of reading, where others read.
    fn release(&self) {
        match self.guard.take() {
            Some(guard) if !self.writes => drop(OwnedRwLockWriteGuard::downgrade(guard)),
            guard => drop(guard),
        }
    }

    fn check(&self) {
        assert!(self.lock.try_write().is_some());
    }
}

#[derive(Default)]
struct Condition {
    mutex: Mutex<()>,
    changed: Condvar,
}

impl Scene for Condition {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move {
            let guard = self.mutex.lock_async().await;
            drop(self.changed.wait_async(guard).await);
        })
    }

    fn release(&self) {
        self.changed.notify_all();
    }

    fn check(&self) {
        assert!(!self.changed.notify_one() && self.mutex.try_lock().is_some());
    }
}

impl Scene for ManualResetEvent {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move { self.wait_async().await })
    }

    fn release(&self) {
        self.set();
    }

    fn check(&self) {
        assert!(self.is_set());
    }
}

impl Scene for AutoResetEvent {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move {
            self.wait_async().await;
            self.set();
        })
    }

    fn release(&self) {
        self.set();
    }

    fn check(&self) {
        assert!(self.try_wait() && !self.try_wait());
    }
}

/// Arrives until the barrier opens. Returns how often.
fn open(barrier: &Barrier) -> usize {
    let mut arrived = Vec::new();
    loop {
        let mut task = Task::new(barrier.wait_async());
        if task.poll().is_some() {
            return arrived.len() + 1;
        }
        arrived.push(task);
    }
}

impl Scene for Barrier {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move { assert!(!self.wait_async().await.is_leader()) })
    }

    fn release(&self) {
        open(self);
    }

    fn check(&self) {
        assert_eq!(open(self), CROWD + 1);
    }
}

impl Scene for WaitGroup {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move { self.wait_async().await })
    }

    fn release(&self) {
        if self.count() != 0 {
            self.done();
        }
    }

    fn check(&self) {
        assert_eq!(self.count(), 0);
    }
}

struct Making {
    cell: Rc<OnceCell<i32>>,
    maker: Cell<Option<Waiting>>,
    made: Result<i32, ()>,
}

impl Making {
    fn new(made: Result<i32, ()>) -> Rc<Self> {
        let cell = Rc::new(OnceCell::new());
        let shared = Rc::clone(&cell);
        let mut maker: Waiting =
            Box::pin(async move { _ = shared.get_or_init_async(pending::<i32>).await });
        assert!(maker.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        Rc::new(Making { cell, maker: Cell::new(Some(maker)), made })
    }
}

impl Scene for Making {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move {
            let made = self.cell.get_or_try_init_async(|| ready(self.made)).await;
            assert_eq!(made, self.made.as_ref().map_err(|_| ()));
        })
    }

    fn release(&self) {
        drop(self.maker.take());
    }

    fn check(&self) {
        assert_eq!(self.cell.get_or_init(|| 1), &1);
    }
}

impl Scene for OnceCell<i32> {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move { assert_eq!(self.wait_async().await, &1) })
    }

    fn release(&self) {
        _ = self.set(1);
    }

    fn check(&self) {
        assert_eq!(self.get_or_init(|| 2), &1);
    }
}

/// Who receives a value sends it to the next.
struct Circle {
    sender: channel::Sender<()>,
    receiver: channel::Receiver<()>,
    sent: Cell<usize>,
}

impl Circle {
    fn new((sender, receiver): (channel::Sender<()>, channel::Receiver<()>)) -> Rc<Self> {
        Rc::new(Circle { sender, receiver, sent: Cell::new(0) })
    }
}

impl Scene for Circle {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move {
            self.receiver.recv_async().await.unwrap();
            self.sender.try_send(()).unwrap();
        })
    }

    fn release(&self) {
        self.sent.set(self.sent.get() + 1);
        self.sender.try_send(()).unwrap();
    }

    fn check(&self) {
        assert_eq!(self.receiver.len(), self.sent.get());
        self.sent.take();
        (0..self.receiver.len()).for_each(|_| self.receiver.try_recv().unwrap());
    }
}

/// Who has sent a value receives one, which makes room for the next.
struct Full {
    sender: channel::Sender<()>,
    receiver: channel::Receiver<()>,
    sent: Cell<usize>,
    received: Cell<usize>,
}

impl Full {
    fn new() -> Rc<Self> {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(()).unwrap();
        Rc::new(Full { sender, receiver, sent: Cell::new(1), received: Cell::new(0) })
    }
}

impl Scene for Full {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move {
            self.sender.send_async(()).await.unwrap();
            self.sent.set(self.sent.get() + 1);
            self.release();
        })
    }

    fn release(&self) {
        let received = usize::from(self.receiver.try_recv().is_ok());
        self.received.set(self.received.get() + received);
    }

    fn check(&self) {
        assert_eq!(self.sent.get(), self.received.get() + self.receiver.len());
        while self.receiver.try_recv().is_ok() {}
        assert!(self.sender.try_send(()).is_ok() && self.sender.try_send(()).is_err());
    }
}

/// Senders and receivers wait at once: somebody was granted room, and has not sent.
struct Closing {
    sender: channel::Sender<()>,
    receiver: channel::Receiver<()>,
    granted: Cell<Option<Waiting>>,
    receives: Cell<bool>,
}

impl Closing {
    fn new() -> Rc<Self> {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(()).unwrap();
        let shared = sender.clone();
        let mut granted: Waiting = Box::pin(async move { _ = shared.send_async(()).await });
        assert!(granted.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        receiver.try_recv().unwrap();
        let granted = Cell::new(Some(granted));
        Rc::new(Closing { sender, receiver, granted, receives: Cell::new(false) })
    }
}

impl Scene for Closing {
    fn wait(self: Rc<Self>) -> Waiting {
        let receives = self.receives.replace(!self.receives.get());
        Box::pin(async move {
            match receives {
                true => assert!(self.receiver.recv_async().await.is_err()),
                false => assert!(self.sender.send_async(()).await.is_err()),
            }
        })
    }

    fn release(&self) {
        self.receiver.close();
    }

    fn check(&self) {
        drop(self.granted.take());
        assert!(self.sender.is_closed() && self.receiver.is_empty());
    }
}

struct Sent {
    sender: Cell<Option<oneshot::Sender<Rc<()>>>>,
    receiver: Cell<Option<oneshot::Receiver<Rc<()>>>>,
    value: Rc<()>,
}

impl Sent {
    fn new() -> Rc<Self> {
        let (sender, receiver) = oneshot::channel();
        let (sender, receiver) = (Cell::new(Some(sender)), Cell::new(Some(receiver)));
        Rc::new(Sent { sender, receiver, value: Rc::new(()) })
    }
}

impl Scene for Sent {
    fn wait(self: Rc<Self>) -> Waiting {
        let receiver = self.receiver.take();
        Box::pin(async move {
            if let Some(mut receiver) = receiver {
                assert!(Rc::ptr_eq(&receiver.recv_async().await.unwrap(), &self.value));
            }
        })
    }

    fn release(&self) {
        if let Some(sender) = self.sender.take() {
            _ = sender.send(Rc::clone(&self.value));
        }
    }

    fn check(&self) {
        assert_eq!(Rc::strong_count(&self.value), 1, "received, given back or dropped");
    }

    fn is_shared(&self) -> bool {
        false
    }
}

struct Refused {
    sender: oneshot::Sender<()>,
    receiver: Cell<Option<oneshot::Receiver<()>>>,
}

impl Refused {
    fn new() -> Rc<Self> {
        let (sender, receiver) = oneshot::channel();
        Rc::new(Refused { sender, receiver: Cell::new(Some(receiver)) })
    }
}

impl Scene for Refused {
    fn wait(self: Rc<Self>) -> Waiting {
        Box::pin(async move { self.sender.closed_async().await })
    }

    fn release(&self) {
        drop(self.receiver.take());
    }

    fn check(&self) {
        assert!(self.sender.is_closed());
    }
}

/// Waits are for the one, the other, and both in turn.
struct Tokens {
    tokens: [CancelToken; 3],
    next: Cell<usize>,
}

impl Default for Tokens {
    fn default() -> Self {
        let root = CancelToken::new();
        Tokens { tokens: [root.child().child(), root.child(), root], next: Cell::new(0) }
    }
}

impl Scene for Tokens {
    fn wait(self: Rc<Self>) -> Waiting {
        let index = self.next.replace((self.next.get() + 1) % 3);
        Box::pin(async move {
            match index {
                0 => self.tokens[0].cancelled().await,
                _ => assert!(self.tokens[index].run_async(pending::<()>()).await.is_err()),
            }
        })
    }

    fn release(&self) {
        self.tokens[2].cancel();
    }

    fn check(&self) {
        assert!(self.tokens.iter().all(CancelToken::is_cancelled));
    }
}
