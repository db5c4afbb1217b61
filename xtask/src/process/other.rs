//! A program and all that it starts, where there are no process groups: Windows.

use std::io;
use std::process::{Child, Command, Stdio};

/// Starts a program.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    command.spawn()
}

/// Notes that the program has ended.
pub(super) fn ended() {}

/// Ends a program and everything that it started.
pub(super) fn stop(child: &mut Child) -> io::Result<()> {
    let id = child.id().to_string();
    let tree = Command::new("taskkill").args(["/F", "/T", "/PID", &id]).stdout(Stdio::null());
    match tree.status() {
        Ok(status) if status.success() => Ok(()),
        _ => child.kill(),
    }
}

/// Ctrl-C reaches every program of a console, so nothing is needed.
pub(crate) fn stop_children_with_this_process() {}
