//! `Fiber` and `Suspender`: corosensei's coroutine, narrowed to what is sound and never unwound.
//!
//! What this adds to the switch itself:
//! - A panic is caught on the fiber's own stack and leaves it as a value, so no unwinding ever
//!   reaches a switch. corosensei is built without its `unwind` feature: it could neither carry a
//!   panic across nor unwind a suspended fiber.
//! - A fiber suspends only from its own stack, and only while its thread is not panicking.
//! - An unfinished stack is never freed.
//!
//! A started fiber stays on its thread. [`Fiber`] is `!Send` for this reason, and the code below
//! relies on it: an address of a thread-local may be kept in a register across a switch.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::thread;

use corosensei::stack as switch;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::stack::{Stack, StackRange};
use crate::thread_sanitizer::Context;

/// The most bytes that a fiber's closure may capture: what corosensei agrees to move to the stack.
const CAPTURE_BYTES_MAX: usize = 1024;

thread_local! {
    /// The suspender of the innermost fiber that this thread is running; null outside of fibers.
    static RUNNING: Cell<*const ()> = const { Cell::new(ptr::null()) };
}

/// Runs a closure on a stack of its own, which can suspend in the middle and be resumed later.
///
/// `Input` goes in with every [`resume`](Fiber::resume), `Yield` comes out of every suspension,
/// `Return` when the closure ends. A fiber begins at its first `resume`. It allocates nothing: the
/// closure moves to the stack.
///
/// A fiber cannot move to another thread, nor be seen from one:
///
/// ```compile_fail,E0277
/// fn assert_send<T: Send>() {}
/// assert_send::<fiber_stack::Fiber<(), (), ()>>();
/// ```
///
/// # Panics
///
/// Dropping a fiber that has started and not finished panics, since the values on its stack cannot
/// be dropped. They and the stack are leaked, so whatever still points there stays valid. If the
/// thread is panicking already, the message only goes to standard error. A fiber that has not
/// started drops its closure and frees its stack.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), fiber_stack::StackError> {
/// use fiber_stack::{Fiber, Resumed, Stack, StackSize, Suspender};
///
/// let stack = Stack::new(StackSize::default())?;
/// let mut fiber = Fiber::new(stack, |suspender: &Suspender<u32, u32>, first| {
///     let second = suspender.suspend(first + 1);
///     first * second
/// });
/// assert!(matches!(fiber.resume(6), Resumed::Suspended(7)));
/// assert!(matches!(fiber.resume(5), Resumed::Finished(Ok(30))));
/// let stack = fiber.into_stack(); // For the next fiber.
/// # Ok(())
/// # }
/// ```
pub struct Fiber<Input, Yield, Return> {
    coroutine: ManuallyDrop<Coroutine<Input, Yield, thread::Result<Return>, SwitchStack>>,
    stack: StackRange,
    context: Context,
    // Says here, too, what corosensei says: not `Send`. And not `Sync`, which nobody needs.
    thread_bound: PhantomData<*mut ()>,
}

/// Says why [`Fiber::resume`] came back.
#[derive(Debug)]
#[must_use = "a fiber that suspended must be resumed until it finishes, and it may have panicked"]
pub enum Resumed<Yield, Return> {
    /// The fiber suspended with this value and waits to be resumed.
    Suspended(Yield),
    /// The closure returned (`Ok`) or panicked (`Err`, the payload). The fiber is finished.
    Finished(thread::Result<Return>),
}

/// Suspends the fiber whose closure received it.
///
/// It exists on the stack of its fiber only, and the closure has it by a reference that cannot
/// leave the fiber. Neither by storing it:
///
/// ```compile_fail,E0521
/// use fiber_stack::{Fiber, Stack, StackSize, Suspender};
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// let outside: Rc<RefCell<Option<&Suspender<(), ()>>>> = Rc::default();
/// let inside = Rc::clone(&outside);
/// let stack = Stack::new(StackSize::default()).unwrap();
/// Fiber::new(stack, move |suspender: &Suspender<(), ()>, ()| {
///     *inside.borrow_mut() = Some(suspender);
/// });
/// ```
///
/// nor by returning it:
///
/// ```compile_fail
/// use fiber_stack::{Fiber, Stack, StackSize, Suspender};
///
/// let stack = Stack::new(StackSize::default()).unwrap();
/// Fiber::new(stack, |suspender: &Suspender<(), ()>, ()| suspender);
/// ```
///
/// nor by lending it to another thread:
///
/// ```compile_fail,E0277
/// use fiber_stack::{Fiber, Stack, StackSize, Suspender};
///
/// let stack = Stack::new(StackSize::default()).unwrap();
/// Fiber::new(stack, |suspender: &Suspender<(), ()>, ()| {
///     std::thread::scope(|scope| {
///         scope.spawn(|| suspender.suspend(()));
///     });
/// });
/// ```
///
/// nor to another fiber, whose closure is `'static` as well:
///
/// ```compile_fail,E0521
/// use fiber_stack::{Fiber, Stack, StackSize, Suspender};
///
/// let stack = Stack::new(StackSize::default()).unwrap();
/// Fiber::new(stack, |outer: &Suspender<(), ()>, ()| {
///     let stack = Stack::new(StackSize::default()).unwrap();
///     Fiber::new(stack, |_: &Suspender<(), ()>, ()| outer.suspend(()));
/// });
/// ```
///
/// There are crates that pass a reference through a thread-local and so around these rules
/// (`scoped_tls`, for one); [`suspend`](Suspender::suspend) therefore checks that its fiber is the
/// one that runs.
#[repr(transparent)]
pub struct Suspender<Input, Yield> {
    yielder: Yielder<Input, Yield>,
    // Nobody but its fiber may use it, so it is neither `Send` nor `Sync`.
    thread_bound: PhantomData<*mut ()>,
}

impl<Input, Yield, Return> Fiber<Input, Yield, Return> {
    /// Creates a fiber that will run `f` on `stack`.
    ///
    /// `f` may capture 1024 bytes, aligned to 1024 at most; more does not compile. Box the rest.
    ///
    /// ```compile_fail,E0080
    /// use fiber_stack::{Fiber, Stack, StackSize, Suspender};
    ///
    /// let captured = [0_u8; 1025];
    /// let stack = Stack::new(StackSize::default()).unwrap();
    /// Fiber::new(stack, move |_: &Suspender<(), ()>, ()| captured[0]);
    /// ```
    pub fn new<F>(stack: Stack, f: F) -> Self
    where
        F: FnOnce(&Suspender<Input, Yield>, Input) -> Return + 'static,
        Input: 'static,
        Yield: 'static,
        Return: 'static,
    {
        const {
            assert!(
                size_of::<F>() <= CAPTURE_BYTES_MAX && align_of::<F>() <= CAPTURE_BYTES_MAX,
                "fiber-stack: a fiber's closure captures more than 1024 bytes: box what it captures"
            );
        }
        let range = stack.range();
        let coroutine = Coroutine::with_stack(SwitchStack(stack), move |yielder, input| {
            let suspender = Suspender::of(yielder);
            RUNNING.set(suspender.identity());
            // Unwind safe as a thread's closure is: what the panic left behind on this side is
            // dropped with `f`, and whoever resumed learns of the panic.
            catch_unwind(AssertUnwindSafe(|| f(suspender, input)))
        });
        let coroutine = ManuallyDrop::new(coroutine);
        Fiber { coroutine, stack: range, context: Context::new(), thread_bound: PhantomData }
    }

    /// Runs the fiber until it suspends or ends.
    ///
    /// The first `input` goes to the closure, the others are what [`Suspender::suspend`] returns.
    /// A panic of the closure is a value here; the message has been printed by the panic hook.
    ///
    /// A fiber may be resumed while this thread is panicking (by a destructor), but it aborts the
    /// process if it suspends before that is over.
    ///
    /// # Panics
    ///
    /// If the fiber is finished.
    #[inline]
    pub fn resume(&mut self, input: Input) -> Resumed<Yield, Return> {
        assert!(!self.is_finished(), "fiber-stack: a finished fiber was resumed");
        let outer = RUNNING.get();
        let resumer = self.context.enter();
        // Comes back here in any case: the fiber's panics are caught on its own stack.
        let result = self.coroutine.resume(input);
        resumer.enter();
        RUNNING.set(outer);
        match result {
            CoroutineResult::Yield(value) => Resumed::Suspended(value),
            CoroutineResult::Return(result) => Resumed::Finished(result),
        }
    }

    /// Returns whether the closure has returned or panicked.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.coroutine.done()
    }

    /// Returns the addresses of the fiber's stack.
    pub fn stack(&self) -> StackRange {
        self.stack
    }

    /// Ends the fiber and returns its stack for reuse; one that never started drops its closure.
    ///
    /// # Panics
    ///
    /// If the fiber has started and not finished: it is leaked, as if dropped. If a destructor of a
    /// never started closure panics, that panic goes on here, and the stack is unmapped.
    pub fn into_stack(self) -> Stack {
        let mut this = ManuallyDrop::new(self);
        if this.is_suspended() {
            panic!("{}", this.leak_message());
        }
        this.context.retire();
        let closure_dropped = this.drop_closure();
        // SAFETY: `this` is neither used again nor dropped.
        let coroutine = unsafe { ManuallyDrop::take(&mut this.coroutine) };
        let SwitchStack(stack) = coroutine.into_stack();
        match closure_dropped {
            Ok(()) => stack,
            Err(payload) => {
                drop(stack);
                resume_unwind(payload)
            }
        }
    }

    /// Returns whether frames of the closure are on the stack.
    fn is_suspended(&self) -> bool {
        self.coroutine.started() && !self.is_finished()
    }

    /// Drops the closure if the fiber has not started, and keeps a destructor's panic.
    ///
    /// Caught because corosensei would turn such a panic into an abort.
    fn drop_closure(&mut self) -> Result<(), Box<dyn Any + Send>> {
        // Does nothing to a finished fiber, and drops the closure of one that has not started.
        let dropped = catch_unwind(AssertUnwindSafe(|| self.coroutine.force_unwind()));
        if dropped.is_err() {
            // SAFETY: the fiber never ran, so its stack held nothing but the closure, and the
            // unwinding went through that to the end.
            unsafe { self.coroutine.force_reset() };
        }
        dropped
    }

    fn leak_message(&self) -> String {
        let bytes = self.stack.size().bytes();
        format!(
            "fiber-stack: a fiber was dropped before it finished; \
             its stack of {bytes} bytes is leaked"
        )
    }
}

impl<Input, Yield, Return> Drop for Fiber<Input, Yield, Return> {
    fn drop(&mut self) {
        self.context.retire();
        if self.is_suspended() {
            // The coroutine is not dropped: its stack stays mapped.
            let message = self.leak_message();
            if !thread::panicking() {
                panic!("{message}");
            }
            print_error(&message);
            return;
        }
        let closure_dropped = self.drop_closure();
        // SAFETY: this is the destructor, so nobody uses the coroutine afterwards.
        unsafe { ManuallyDrop::drop(&mut self.coroutine) };
        if let Err(payload) = closure_dropped {
            resume_unwind(payload);
        }
    }
}

impl<Input, Yield, Return> fmt::Debug for Fiber<Input, Yield, Return> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fiber")
            .field("stack", &self.stack)
            .field("started", &self.coroutine.started())
            .field("finished", &self.is_finished())
            .finish()
    }
}

impl<Input, Yield> Suspender<Input, Yield> {
    /// Switches to whoever resumed this fiber, and returns the input of the next `resume`.
    ///
    /// # Panics
    ///
    /// If this suspender's fiber is not the one that runs: it is suspended itself, or it is
    /// resuming another fiber, from which this was called.
    ///
    /// # Aborts
    ///
    /// If the thread is panicking, that is, in a destructor that unwinding calls. The thread's
    /// count of panics would go over to whatever fiber the thread runs next. Code that may run in a
    /// destructor asks [`std::thread::panicking`] first.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, never the thread.
    #[inline(always)] // a frame in between costs a mispredicted return
    pub fn suspend(&self, value: Yield) -> Input {
        if thread::panicking() {
            abort_suspend_while_panicking();
        }
        if !self.is_running() {
            panic_suspend_from_outside();
        }
        let input = self.yielder.suspend(value);
        RUNNING.set(self.identity());
        input
    }

    /// Tells whether this suspender's fiber is the one that runs, so that it may suspend.
    #[inline(always)]
    #[must_use]
    pub fn is_running(&self) -> bool {
        RUNNING.get() == self.identity()
    }

    fn of(yielder: &Yielder<Input, Yield>) -> &Suspender<Input, Yield> {
        // SAFETY: `Suspender` is a transparent wrapper of `Yielder`, and the borrow is the same.
        unsafe { &*ptr::from_ref(yielder).cast::<Suspender<Input, Yield>>() }
    }

    #[inline(always)]
    fn identity(&self) -> *const () {
        ptr::from_ref(self).cast()
    }
}

impl<Input, Yield> fmt::Debug for Suspender<Input, Yield> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspender").finish_non_exhaustive()
    }
}

#[cold]
#[inline(never)]
fn panic_suspend_from_outside() -> ! {
    panic!("fiber-stack: a suspender was used while its fiber was not the one running");
}

#[cold]
#[inline(never)]
fn abort_suspend_while_panicking() -> ! {
    print_error(
        "fiber-stack: a fiber was suspended while its thread was panicking; a destructor must not \
         wait during unwinding (ask std::thread::panicking() first); aborting",
    );
    std::process::abort();
}

fn print_error(message: &str) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Lends a [`Stack`] to corosensei, whose trait thereby stays out of the public interface.
struct SwitchStack(Stack);

// SAFETY: forwards to `DefaultStack`, which keeps the trait's contract: a guard page below at least
// `MIN_STACK_SIZE` usable bytes.
unsafe impl switch::Stack for SwitchStack {
    #[inline]
    fn base(&self) -> switch::StackPointer {
        self.0.mapping().base()
    }

    #[inline]
    fn limit(&self) -> switch::StackPointer {
        self.0.mapping().limit()
    }

    #[cfg(windows)]
    #[inline]
    fn teb_fields(&self) -> switch::StackTebFields {
        self.0.mapping().teb_fields()
    }

    #[cfg(windows)]
    #[inline]
    fn update_teb_fields(&mut self, stack_limit: usize, guaranteed_stack_bytes: usize) {
        self.0.mapping_mut().update_teb_fields(stack_limit, guaranteed_stack_bytes);
    }
}
