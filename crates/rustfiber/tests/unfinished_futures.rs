//! Futures that wait for a wake are what keeps a runtime from its end, so its report names them.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rustfiber::sync::Semaphore;
use support::runtime_with;

#[test]
fn a_shutdown_that_times_out_names_the_future_that_waits() {
    let (runtime, permits) = (runtime_with(1), Arc::new(Semaphore::new(0)));
    let futures_permits = Arc::clone(&permits);
    let handle = runtime.spawn_future(async move {
        futures_permits.acquire_async().await.unwrap().forget();
    });
    runtime.run(|| ()); // the future has been polled, or is about to be
    let report = runtime.shutdown(Duration::from_millis(100)).unwrap_err().to_string();
    permits.add_permits(1);
    handle.join().unwrap();
    assert!(report.contains("unfinished_futures.rs"), "{report}");
}
