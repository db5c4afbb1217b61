//! The examples check their own results; here they run.

use std::env;
use std::process::Command;

#[track_caller]
fn example_succeeds(name: &str, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    // Flags that the tests were built with, such as a sanitizer's, do not fit build scripts.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    let example = ["run", "--quiet", "-p", "rustfiber", "--example", name, "--"];
    let output = command.args(example).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !output.stdout.is_empty(), "{text}");
}

#[test]
fn fibers_and_tokio_tasks_share_bounded_channels() {
    example_succeeds("bounded_pipeline", &["2000"]);
}

#[test]
fn async_code_and_fibers_wait_for_each_other() {
    example_succeeds("async_bridge", &[]);
}
