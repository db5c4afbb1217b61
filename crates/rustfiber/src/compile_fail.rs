//! What must not compile, each beside the same code made right.
//!
//! An `Rc` cannot go to the other half of a join:
//!
//! ```
//! let shared = std::sync::Arc::new(1);
//! rustfiber::join(|| (), || drop(shared));
//! ```
//! ```compile_fail,E0277
//! let shared = std::rc::Rc::new(1);
//! rustfiber::join(|| (), || drop(shared));
//! ```
//!
//! Nor come back from it:
//!
//! ```
//! rustfiber::join(|| (), || std::sync::Arc::new(1));
//! ```
//! ```compile_fail,E0277
//! rustfiber::join(|| (), || std::rc::Rc::new(1));
//! ```
//!
//! Nor from the half that runs here, since the whole call may move to a worker:
//!
//! ```
//! rustfiber::join(|| std::sync::Arc::new(1), || ());
//! ```
//! ```compile_fail,E0277
//! rustfiber::join(|| std::rc::Rc::new(1), || ());
//! ```
//!
//! Nor to any closure of many:
//!
//! ```
//! let shared = std::sync::Arc::new(1);
//! rustfiber::join_all((|| (), || (), || drop(shared)));
//! ```
//! ```compile_fail,E0277
//! let shared = std::rc::Rc::new(1);
//! rustfiber::join_all((|| (), || (), || drop(shared)));
//! ```
//!
//! A scope's job may borrow what outlives the scope, not what lives in its body:
//!
//! ```
//! let number = 1;
//! rustfiber::scope(|s| {
//!     s.spawn(|| assert_eq!(number, 1));
//! });
//! ```
//! ```compile_fail,E0373
//! rustfiber::scope(|s| {
//!     let number = 1;
//!     s.spawn(|| assert_eq!(number, 1));
//! });
//! ```
//!
//! Nor wait with a counter that does:
//!
//! ```
//! let counter = rustfiber::Counter::new(1);
//! rustfiber::scope(|s| {
//!     s.spawn_counted(&counter, || ());
//! });
//! ```
//! ```compile_fail,E0597
//! rustfiber::scope(|s| {
//!     let counter = rustfiber::Counter::new(1);
//!     s.spawn_counted(&counter, || ());
//! });
//! ```
//!
//! A scope's reference does not leave the scope:
//!
//! ```
//! let mut outside: Option<String> = None;
//! rustfiber::scope(|s| outside = Some(format!("{s:?}")));
//! ```
//! ```compile_fail,E0521
//! let mut outside: Option<&rustfiber::Scope<'_, '_>> = None;
//! rustfiber::scope(|s| outside = Some(s));
//! ```
//!
//! What two jobs of a scope share must allow it:
//!
//! ```
//! let cell = std::sync::Mutex::new(1);
//! rustfiber::scope(|s| s.spawn(|| *cell.lock().unwrap() = 2));
//! ```
//! ```compile_fail,E0277
//! let cell = std::cell::Cell::new(1);
//! rustfiber::scope(|s| s.spawn(|| cell.set(2)));
//! ```
//!
//! A spawned job borrows nothing:
//!
//! ```
//! let text = String::from("owned");
//! rustfiber::spawn(move || assert_eq!(text, "owned"));
//! ```
//! ```compile_fail,E0373
//! let text = String::from("owned");
//! rustfiber::spawn(|| assert_eq!(text, "owned"));
//! ```
//!
//! And returns only what may change its thread:
//!
//! ```
//! let job: rustfiber::JoinHandle<std::sync::Arc<i32>> =
//!     rustfiber::spawn(|| std::sync::Arc::new(1));
//! ```
//! ```compile_fail,E0277
//! let job: rustfiber::JoinHandle<std::rc::Rc<i32>> =
//!     rustfiber::spawn(|| std::rc::Rc::new(1));
//! ```
//!
//! A handle does not change the type of its result, not even to one with a shorter life:
//!
//! ```
//! fn same<'a>(job: rustfiber::JoinHandle<&'a str>) -> rustfiber::JoinHandle<&'a str> {
//!     job
//! }
//! ```
//! ```compile_fail
//! fn shorter<'a>(job: rustfiber::JoinHandle<&'static str>) -> rustfiber::JoinHandle<&'a str> {
//!     job
//! }
//! ```
//!
//! The same of a runtime's `run`:
//!
//! ```
//! let runtime = rustfiber::Runtime::new().unwrap();
//! runtime.run(|| std::sync::Arc::new(1));
//! ```
//! ```compile_fail,E0277
//! let runtime = rustfiber::Runtime::new().unwrap();
//! runtime.run(|| std::rc::Rc::new(1));
//! ```
//!
//! A ticket does not outlive its counter:
//!
//! ```
//! let counter = rustfiber::Counter::new(1);
//! let ticket = counter.ticket();
//! drop(ticket);
//! ```
//! ```compile_fail,E0505
//! let counter = rustfiber::Counter::new(1);
//! let ticket = counter.ticket();
//! drop(counter);
//! drop(ticket);
//! ```
//!
//! Nor does it go to a job that borrows nothing:
//!
//! ```
//! let counter = std::sync::Arc::new(rustfiber::Counter::new(1));
//! let ticket = std::sync::Arc::clone(&counter).ticket_owned();
//! rustfiber::spawn(move || drop(ticket));
//! counter.wait();
//! ```
//! ```compile_fail,E0597
//! let counter = std::sync::Arc::new(rustfiber::Counter::new(1));
//! let ticket = counter.ticket();
//! rustfiber::spawn(move || drop(ticket));
//! counter.wait();
//! ```
