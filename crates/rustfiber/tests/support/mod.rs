//! What several test files share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::env;
use std::panic::resume_unwind;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustfiber::Runtime;

const CHILD: &str = "RUSTFIBER_TEST_CHILD";

/// What a child prints when it reached its end, so that a filter that matched no test shows.
const REACHED_THE_END: &str = "the child reached its end";

/// How a child process ended.
pub(crate) struct Ended {
    pub(crate) output: Output,
    pub(crate) text: String,
}

/// Tells whether this process is the child of a test.
pub(crate) fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Runs the test called `name`, and it alone, in a child process.
pub(crate) fn run_child(name: &str) -> Ended {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ended { output, text }
}

/// Runs `body` in a child process of its own, which must succeed.
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    if is_child() {
        body();
        println!("{REACHED_THE_END}");
        return;
    }
    let Ended { output, text } = run_child(name);
    assert!(output.status.success() && text.contains(REACHED_THE_END), "{text}");
}

/// How long a test may take, in seconds, where that is to be less than a minute.
const PATIENCE: &str = "RUSTFIBER_TEST_SECONDS";

/// How long what is to end is waited for.
pub(crate) fn patience() -> Duration {
    let seconds = env::var(PATIENCE).map_or(60, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Runs `body`, which may hang if the property under test does not hold.
#[track_caller]
pub(crate) fn must_end(body: impl FnOnce() + Send + 'static) {
    must_end_or_tell(String::new, body);
}

/// As [`must_end`]; if `body` hangs, `tell` says more about it.
#[track_caller]
pub(crate) fn must_end_or_tell(
    tell: impl FnOnce() -> String,
    body: impl FnOnce() + Send + 'static,
) {
    let (ended, end) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _ended = ended; // hangs up when the body returns or panics
        body();
    });
    let patience = patience();
    if end.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("still running after {patience:?}\n{}", tell());
    }
    if let Err(payload) = thread.join() {
        resume_unwind(payload);
    }
}

pub(crate) fn runtime_with(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}
