//! Where panics go that nobody waits for.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// What the user wants done with the panics of jobs whose handles are gone.
pub(crate) type PanicHandler = Arc<dyn Fn(Payload) + Send + Sync>;

/// Gives a panic that nobody waits for to the user's handler.
pub(crate) fn handle_panic(handler: &PanicHandler, payload: Payload) {
    if catch_unwind(AssertUnwindSafe(|| handler(payload))).is_err() {
        abort("the panic handler of a runtime panicked itself");
    }
}

/// Ends the process: an invariant is broken, and going on would be undefined behaviour.
#[cold]
pub(crate) fn abort(why: &str) -> ! {
    eprintln!("rustfiber: fatal: {why}");
    std::process::abort()
}

/// Drops a value of the user's, whose destructor may panic; returns the payload if it did.
pub(crate) fn drop_caught<T>(value: T) -> Option<Payload> {
    catch_unwind(AssertUnwindSafe(|| drop(value))).err()
}

/// Drops a value whose destructor may panic, and a payload whose destructor may panic too.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Some(payload) = drop_caught(value)
        && let Some(worse) = drop_caught(payload)
    {
        // A payload whose destructor panics with another such payload: leaking it ends the chain.
        std::mem::forget(worse);
    }
}
