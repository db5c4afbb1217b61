//! The token that the queues move: one opaque word.

use std::ptr::NonNull;

/// A job, as the scheduler sees it: one word that means something to whoever pushed it.
///
/// A token is neither copied nor dropped silently by this crate: what is pushed comes out once.
#[derive(Debug, PartialEq, Eq)]
pub struct Job(NonNull<()>);

// SAFETY: to this crate a token is a number; `Job::new` makes its owner vouch for what it means.
unsafe impl Send for Job {}

impl Job {
    /// Makes a token.
    ///
    /// # Safety
    ///
    /// Whatever `pointer` means to the caller must be usable from any worker's thread.
    #[must_use]
    pub const unsafe fn new(pointer: NonNull<()>) -> Self {
        Job(pointer)
    }

    /// Returns the pointer that the token was made from.
    #[must_use]
    pub fn into_pointer(self) -> NonNull<()> {
        self.0
    }

    /// Returns the pointer, and leaves the token as it is.
    #[must_use]
    pub fn pointer(&self) -> NonNull<()> {
        self.0
    }

    /// Tells whether this is the token made from `pointer`.
    #[must_use]
    pub fn is(&self, pointer: NonNull<()>) -> bool {
        self.0 == pointer
    }
}
