//! A program and all that it starts, as a Unix process group.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicI32, Ordering};

/// The group that runs now; 0: none. Commands run one program at a time.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// Starts a program in a group of its own.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let child = command.process_group(0).spawn()?;
    RUNNING.store(group_of(&child), Ordering::Relaxed);
    Ok(child)
}

/// Notes that the program has ended and been waited for.
pub(super) fn ended() {
    RUNNING.store(0, Ordering::Relaxed);
}

/// Ends a program that has not been waited for, and everything that it started.
pub(super) fn stop(child: &mut Child) -> io::Result<()> {
    // SAFETY: takes plain numbers. The group's number is not reused before the child is waited for.
    match unsafe { libc::killpg(group_of(child), libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets Ctrl-C and its like, which a group of its own does not see, end the running group too.
pub(crate) fn stop_children_with_this_process() {
    let handler = on_signal as extern "C" fn(libc::c_int);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler has the right type and calls only async-signal-safe functions.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    let group = RUNNING.load(Ordering::Relaxed);
    if group != 0 {
        // SAFETY: async-signal-safe, and takes plain numbers.
        unsafe { libc::killpg(group, libc::SIGKILL) };
    }
    // SAFETY: async-signal-safe; ends the process without running anything else of it.
    unsafe { libc::_exit(128 + signal) }
}

fn group_of(child: &Child) -> libc::pid_t {
    libc::pid_t::try_from(child.id()).expect("a process number fits its own type")
}
