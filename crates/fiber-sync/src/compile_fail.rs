//! What must not compile, each beside the same code made right.
//!
//! A blocker is installed for the thread that did it:
//!
//! ```
//! fn is_debug<T: std::fmt::Debug>() {}
//! is_debug::<fiber_sync::blocker::Installed>();
//! ```
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<fiber_sync::blocker::Installed>();
//! ```
//!
//! Permits do not outlive their semaphore, unless they keep it alive:
//!
//! ```
//! let permit = std::sync::Arc::new(fiber_sync::Semaphore::new(1)).acquire_owned();
//! drop(permit);
//! ```
//! ```compile_fail,E0716
//! let permit = fiber_sync::Semaphore::new(1).acquire();
//! drop(permit);
//! ```
