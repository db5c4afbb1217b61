//! Values that are made once.
//!
//! | a cell is | `turn` | `made` | value | until |
//! |---|---|---|---|---|
//! | empty | one permit | open | none | somebody takes the turn |
//! | being made | none | open | none | its maker succeeds, or leaves the turn to the next |
//! | made | closed | closed | there | for ever; the value was first |
//!
//! Who would make the value waits for the turn; who only wants it waits in a line of its own, as at
//! the head of the other it would hold up those who make it.

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::Outcome;

use crate::blocker::Primitive;
use crate::primitive::{Mutex, OnceLock, const_fn};
use crate::wait::{self, Limit};

/// A value that is made once, by the first who needs it; the others wait meanwhile.
///
/// If making it fails, panics, or is a future that is dropped, the next in line makes it: there is
/// no poisoning. Making it must not need it, or it waits for ever. 80 bytes and a [`OnceLock`];
/// waiting allocates nothing.
///
/// # Examples
///
/// ```
/// use fiber_sync::OnceCell;
///
/// static NAME: OnceCell<String> = OnceCell::new();
///
/// assert_eq!(NAME.get(), None);
/// assert_eq!(NAME.get_or_init(|| "fiber".repeat(2)), "fiberfiber");
/// assert_eq!(NAME.get_or_init(|| unreachable!("there is one")), "fiberfiber");
/// ```
pub struct OnceCell<T> {
    value: OnceLock<T>,
    /// One permit: the right, and the turn, to make the value. Closed when there is one.
    turn: WaitQueue,
    /// Closed when there is a value.
    made: WaitQueue,
}

const WHAT: Primitive = Primitive::OnceCell;

impl<T> OnceCell<T> {
    const_fn! {
        /// Creates a cell without a value.
        #[must_use]
        pub const fn new() -> Self {
            Self::with(OnceLock::new())
        }
    }

    const_fn! {
        const fn with(value: OnceLock<T>) -> Self {
            OnceCell { value, turn: WaitQueue::new(1), made: WaitQueue::new(0) }
        }
    }

    /// Returns the value, if it has been made. Never blocks.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Returns the value; waits until somebody else has made it, or set it.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread; for ever if nobody makes the value.
    #[inline]
    #[track_caller]
    pub fn wait(&self) -> &T {
        match self.wait_within(Limit::Never) {
            Some(value) => value,
            None => unreachable!("without a limit"),
        }
    }

    /// As [`OnceCell::wait`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn wait_async(&self) -> &T {
        if self.get().is_none() {
            let _closed = self.made.wait().await;
        }
        self.made()
    }

    /// As [`OnceCell::wait`], but gives up after `timeout`: `None`.
    ///
    /// # Blocking
    ///
    /// As [`OnceCell::wait`], for at most about `timeout`.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        self.wait_within(Limit::After(timeout))
    }

    /// As [`OnceCell::wait_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`OnceCell::wait`], at most until about `deadline`.
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> Option<&T> {
        self.wait_within(Limit::At(deadline))
    }

    #[inline]
    #[track_caller]
    fn wait_within(&self, limit: Limit) -> Option<&T> {
        if self.get().is_none() {
            // Where the value and the end of time meet, the value wins.
            wait::until_closed(&self.made, WHAT, limit);
        }
        self.get()
    }

    /// Returns the value, if it has been made.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Returns the value, if it has been made.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Puts a value into the cell. If somebody is making one, this waits for what comes of it.
    ///
    /// # Errors
    ///
    /// The value, if there is one already.
    ///
    /// # Blocking
    ///
    /// As [`OnceCell::get_or_init`].
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        if self.get().is_none()
            && let Some(turn) = self.turn()
        {
            turn.finish(value.take().expect("it is set once"));
        }
        value.map_or(Ok(()), Err)
    }

    /// Returns the value; makes it, if there is none, or waits for whoever is making it.
    ///
    /// # Panics
    ///
    /// With what `make` panics with; the cell stays empty.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread, while somebody else makes the value.
    #[inline]
    #[track_caller]
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        match self.get() {
            Some(value) => value,
            None => match self.init(|| Ok::<T, Never>(make())) {
                Ok(value) => value,
                Err(never) => match never {},
            },
        }
    }

    /// As [`OnceCell::get_or_init`], for what may fail.
    ///
    /// # Errors
    ///
    /// With what `make` fails with; the cell stays empty.
    ///
    /// # Panics
    ///
    /// As [`OnceCell::get_or_init`].
    ///
    /// # Blocking
    ///
    /// As [`OnceCell::get_or_init`].
    #[track_caller]
    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        match self.get() {
            Some(value) => Ok(value),
            None => self.init(make),
        }
    }

    /// As [`OnceCell::get_or_init`], for tasks; the value is what the future returns.
    ///
    /// # Panics
    ///
    /// As [`OnceCell::get_or_init`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, so is what it made of `make`; the next in line makes the value.
    pub async fn get_or_init_async<F: Future<Output = T>>(&self, make: impl FnOnce() -> F) -> &T {
        match self.get_or_try_init_async(|| async { Ok::<T, Never>(make().await) }).await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`OnceCell::get_or_try_init`], for tasks.
    ///
    /// # Errors
    ///
    /// As [`OnceCell::get_or_try_init`].
    ///
    /// # Panics
    ///
    /// As [`OnceCell::get_or_init`].
    ///
    /// # Cancel safety
    ///
    /// As [`OnceCell::get_or_init_async`].
    pub async fn get_or_try_init_async<E, F: Future<Output = Result<T, E>>>(
        &self,
        make: impl FnOnce() -> F,
    ) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let outcome = self.turn.acquire(1).await;
        match Turn::of(self, outcome != Outcome::Closed) {
            Some(turn) => Ok(turn.finish(make().await?)),
            None => Ok(self.made()),
        }
    }

    #[cold]
    #[track_caller]
    fn init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        match self.turn() {
            Some(turn) => Ok(turn.finish(make()?)),
            None => Ok(self.made()),
        }
    }

    /// Waits for the turn to make the value. None: it has been made.
    #[track_caller]
    fn turn(&self) -> Option<Turn<'_, T>> {
        Turn::of(self, wait::acquire(&self.turn, 1, WHAT, Limit::Never).is_ok())
    }

    fn made(&self) -> &T {
        self.get().expect("the value is there before the queues are closed")
    }
}

/// As yet unstable as `!`.
enum Never {}

/// The turn to make a value. Dropped without one, the turn is the next one's.
struct Turn<'a, T> {
    cell: &'a OnceCell<T>,
}

impl<'a, T> Turn<'a, T> {
    /// Whoever has been granted the permit has the turn, unless its last owner made the value.
    fn of(cell: &'a OnceCell<T>, is_granted: bool) -> Option<Self> {
        let turn = is_granted.then(|| Turn { cell })?;
        cell.get().is_none().then_some(turn)
    }

    fn finish(self, value: T) -> &'a T {
        let cell = self.cell;
        mem::forget(self);
        let value = cell.value.get_or_init(|| value);
        wait::close_both(&cell.turn, &cell.made);
        value
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.cell.turn.release(1);
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        OnceCell::with(OnceLock::from(value))
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_tuple("OnceCell");
        match self.get() {
            Some(value) => debug.field(value),
            None => debug.field(&format_args!("<empty>")),
        };
        debug.finish()
    }
}

/// A value that is made when it is first used.
///
/// Using it blocks as [`OnceCell::get_or_init`] does. If making it panics it can never be used: the
/// closure is gone.
///
/// # Examples
///
/// ```
/// use fiber_sync::Lazy;
///
/// static SQUARES: Lazy<Vec<u32>> = Lazy::new(|| (0..10).map(|n| n * n).collect());
///
/// assert_eq!(SQUARES[3], 9);
/// ```
pub struct Lazy<T, F = fn() -> T> {
    cell: OnceCell<T>,
    /// Locked for a few instructions.
    make: Mutex<Option<F>>,
}

impl<T, F: FnOnce() -> T> Lazy<T, F> {
    const_fn! {
        /// Creates a value that `make` makes when it is first used.
        pub const fn new(make: F) -> Self {
            Lazy { cell: OnceCell::new(), make: Mutex::new(Some(make)) }
        }
    }

    /// Returns the value, and makes it if it has not been made.
    ///
    /// # Panics
    ///
    /// Panics if making it panics, or has panicked.
    ///
    /// # Blocking
    ///
    /// As [`OnceCell::get_or_init`].
    #[inline]
    #[track_caller]
    pub fn force(this: &Self) -> &T {
        this.cell.get_or_init(|| this.take_make()())
    }

    /// As [`Lazy::force`], for tasks, which wait while somebody else makes the value.
    ///
    /// # Panics
    ///
    /// As [`Lazy::force`].
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn force_async(this: &Self) -> &T {
        this.cell.get_or_init_async(|| async { this.take_make()() }).await
    }

    /// Returns the value, if it has been made. Never blocks.
    pub fn get(this: &Self) -> Option<&T> {
        this.cell.get()
    }

    fn take_make(&self) -> F {
        let make = self.make.lock().unwrap_or_else(PoisonError::into_inner).take();
        make.expect("lazy contract: a value whose making has panicked is not used again")
    }
}

impl<T, F: FnOnce() -> T> Deref for Lazy<T, F> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        Lazy::force(self)
    }
}

impl<T: Default> Default for Lazy<T> {
    fn default() -> Self {
        Lazy::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Lazy<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.cell).finish()
    }
}
