//! Debian's packages, by `apt-get`.

use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::process::Log;

const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How often to try: an unpacking that failed has been seen to succeed when it was run again.
const TRIES: usize = 2;

/// Installs packages.
pub(super) fn install(packages: &[&str], log: &mut Log) -> Result<()> {
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    for _ in 0..TRIES {
        // Old lists of packages may do.
        let _ = apt_get(&["update"], log)?;
        if apt_get(&install, log)? {
            return Ok(());
        }
    }
    Err(format!("as root: apt-get {}", install.join(" ")).into())
}

/// Runs `apt-get`, and tells whether it succeeded.
fn apt_get(arguments: &[&str], log: &mut Log) -> Result<bool> {
    let mut command = Command::new("apt-get");
    command.arg("-q").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    Ok(log.run(command, LIMIT)?.end.is_success())
}
