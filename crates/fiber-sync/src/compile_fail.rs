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
//!
//! A mutex is as good a place for what cannot be shared, not for what cannot be sent:
//!
//! ```
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::Mutex<std::cell::Cell<u8>>>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::Mutex<std::rc::Rc<u8>>>();
//! ```
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<fiber_sync::Mutex<std::rc::Rc<u8>>>();
//! ```
//!
//! A guard is shared as its value is:
//!
//! ```
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::MutexGuard<'static, u8>>();
//! is_sync::<fiber_sync::OwnedMutexGuard<u8>>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::MutexGuard<'static, std::cell::Cell<u8>>>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::OwnedMutexGuard<std::cell::Cell<u8>>>();
//! ```
//!
//! Nor by way of the mutex that it leads to, if the value cannot be sent:
//!
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::MutexGuard<'static, std::sync::MutexGuard<'static, u8>>>();
//! ```
//!
//! The value does not leave its guard:
//!
//! ```
//! let mutex = fiber_sync::Mutex::new(1);
//! let value = *mutex.lock();
//! assert_eq!(value, 1);
//! ```
//! ```compile_fail,E0597
//! let mutex = fiber_sync::Mutex::new(1);
//! let value: &i32 = {
//!     let guard = mutex.lock();
//!     &guard
//! };
//! assert_eq!(*value, 1);
//! ```
//!
//! A channel does not carry to others what cannot be sent:
//!
//! ```
//! fn is_send<T: Send>(_: T) {}
//! is_send(fiber_sync::channel::unbounded::<u8>());
//! is_send(fiber_sync::oneshot::channel::<u8>());
//! ```
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! is_send(fiber_sync::channel::unbounded::<std::rc::Rc<u8>>());
//! ```
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! is_send(fiber_sync::oneshot::channel::<std::rc::Rc<u8>>());
//! ```
//!
//! A cell is shared only if its value is, and sent from the thread that makes it only if that can
//! be sent:
//!
//! ```
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::OnceCell<u8>>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::OnceCell<std::cell::Cell<u8>>>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::OnceCell<std::sync::MutexGuard<'static, u8>>>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::Lazy<u8, Box<dyn FnOnce() -> u8>>>();
//! ```
//!
//! An `RwLock` is shared only if its value may be, for readers share it; its guards stay where it
//! is then:
//!
//! ```
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::RwLock<u8>>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::RwLock<std::cell::Cell<u8>>>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<fiber_sync::RwLock<std::sync::MutexGuard<'static, u8>>>();
//! ```
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<fiber_sync::RwLockReadGuard<'static, std::cell::Cell<u8>>>();
//! ```
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<fiber_sync::OwnedRwLockWriteGuard<std::cell::Cell<u8>>>();
//! ```
//!
//! Readers do not write:
//!
//! ```
//! *fiber_sync::RwLock::new(1).write() = 2;
//! ```
//! ```compile_fail,E0594
//! *fiber_sync::RwLock::new(1).read() = 2;
//! ```
//!
//! Without poisoning, a mutex is not for use after a panic, unless somebody says so:
//!
//! ```
//! use std::panic::{AssertUnwindSafe, catch_unwind};
//! let mutex = fiber_sync::Mutex::new(1);
//! assert!(catch_unwind(AssertUnwindSafe(|| *mutex.lock())).is_ok());
//! ```
//! ```compile_fail,E0277
//! use std::panic::catch_unwind;
//! let mutex = fiber_sync::Mutex::new(1);
//! assert!(catch_unwind(|| *mutex.lock()).is_ok());
//! ```
