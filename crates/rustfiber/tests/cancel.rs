//! Cancelling jobs of scopes: who waits by the token stops, and what must not end early does not.

mod support;

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustfiber::sync::{CancelToken, Cancelled, Semaphore};
use rustfiber::{Counter, join, scope, scope_with_token, yield_now};
use support::{must_end, runtime_with};

#[test]
fn nothing_that_others_borrow_from_ends_early() {
    must_end(|| {
        runtime_with(2).run(|| {
            let token = CancelToken::new();
            token.cancel();
            let (ended, gate) = (AtomicUsize::new(0), Counter::new(4));
            scope_with_token(&token, |s| {
                for _ in 0..4 {
                    s.spawn(|| {
                        assert!(s.cancel_token().is_cancelled());
                        (0..10).for_each(|_| yield_now());
                        gate.done();
                        gate.wait();
                        let (a, b) = join(yield_now, yield_now);
                        assert_eq!((a, b), ((), ()));
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                }
                s.cancel_token().cancel();
            });
            assert_eq!(ended.into_inner(), 4);
        });
    });
}

#[test]
fn a_panic_of_a_job_or_of_the_body_cancels_the_others() {
    must_end(|| {
        let runtime = runtime_with(2);
        for in_body in [false, true] {
            let cancelled = AtomicUsize::new(0);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                runtime.run(|| {
                    let waiting = Counter::new(3);
                    scope(|s| {
                        for _ in 0..3 {
                            s.spawn(|| {
                                let token = s.cancel_token();
                                waiting.done();
                                assert_eq!(token.run(pending::<()>()), Err(Cancelled));
                                cancelled.fetch_add(1, Ordering::SeqCst);
                            });
                        }
                        waiting.wait();
                        if in_body {
                            panic_any("first");
                        }
                        s.spawn(|| panic_any("first"));
                    });
                });
            }));
            assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "first");
            assert_eq!(cancelled.into_inner(), 3);
        }
    });
}

#[test]
fn a_scope_has_a_token_of_its_own_below_the_one_it_was_given() {
    let token = CancelToken::new();
    scope_with_token(&token, |s| {
        s.cancel_token().cancel();
        assert!(s.cancel_token().is_cancelled());
    });
    assert!(!token.is_cancelled());
    scope_with_token(&token, |s| {
        token.cancel();
        assert!(s.cancel_token().is_cancelled());
    });
    scope(|s| assert!(!s.cancel_token().is_cancelled()));
}

#[test]
fn a_deadline_ends_the_waits_of_a_scopes_jobs() {
    must_end(|| {
        let timeout = Duration::from_millis(10);
        for workers in 1..=2 {
            runtime_with(workers).run(|| {
                let (start, cancelled) = (Instant::now(), AtomicUsize::new(0));
                scope_with_token(&CancelToken::new().with_timeout(timeout), |s| {
                    for _ in 0..4 {
                        s.spawn(|| {
                            s.cancel_token().run(pending::<()>()).unwrap_err();
                            cancelled.fetch_add(1, Ordering::SeqCst);
                        });
                    }
                });
                assert!(start.elapsed() >= timeout);
                assert_eq!(cancelled.into_inner(), 4);
            });
        }
    });
}

/// Permits are released while their waiters are cancelled.
#[test]
fn no_permit_is_lost_between_grants_and_cancellations() {
    must_end(|| {
        const FIBERS: usize = 20;
        let runtime = runtime_with(2);
        for _ in 0..100 {
            runtime.run(|| {
                let (permits, granted) = (Semaphore::new(0), AtomicUsize::new(0));
                scope(|s| {
                    for _ in 0..FIBERS {
                        s.spawn(|| {
                            if let Ok(permit) = s.cancel_token().run(permits.acquire_async()) {
                                permit.unwrap().forget();
                                granted.fetch_add(1, Ordering::SeqCst);
                            }
                        });
                    }
                    s.spawn(|| (0..FIBERS / 2).for_each(|_| permits.add_permits(1)));
                    s.spawn(|| {
                        yield_now();
                        s.cancel_token().cancel();
                    });
                });
                assert_eq!(granted.into_inner() + permits.available_permits(), FIBERS / 2);
            });
        }
    });
}
