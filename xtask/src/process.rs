//! Runs a program: its output goes to a log, its time is limited, and when it is stopped, so is
//! everything that it started.

use std::fmt::{self, Display};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

#[cfg(unix)]
#[path = "process/unix.rs"]
mod group;
#[cfg(not(unix))]
#[path = "process/other.rs"]
mod group;

pub(crate) use group::stop_children_with_this_process;

/// How long to sleep between two looks at a running program.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What of a log also goes to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    Nothing,
    /// What `say` writes.
    OwnLines,
    /// And what programs print.
    Everything,
}

/// A log file, and the programs that write to it.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    echo: Echo,
    deadline: Option<Instant>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(ExitStatus),
    /// It was stopped.
    TimedOut(Duration),
}

/// A program that has ended.
pub(crate) struct Run {
    pub(crate) end: End,
    /// What it printed.
    pub(crate) text: String,
    pub(crate) time: Duration,
}

impl Log {
    /// Opens an empty log.
    pub(crate) fn create(path: &Path, echo: Echo) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        File::create(path)?;
        // Appending, so that several writers do not write over each other.
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Log { path: path.to_path_buf(), file, echo, deadline: None })
    }

    /// Stops programs at `deadline` though their own limit is later.
    pub(crate) fn with_deadline(self, deadline: Instant) -> Self {
        Log { deadline: Some(deadline), ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line to the log alone.
    pub(crate) fn note(&mut self, line: impl Display) -> Result<()> {
        Ok(writeln!(self.file, "{line}")?)
    }

    /// Writes a line.
    pub(crate) fn say(&mut self, line: impl Display) -> Result<()> {
        self.note(&line)?;
        if self.echo != Echo::Nothing {
            println!("{line}");
        }
        Ok(())
    }

    /// Runs `command` until it ends, or for `limit` at most.
    pub(crate) fn run(&mut self, command: impl Into<Command>, limit: Duration) -> Result<Run> {
        let mut command = command.into();
        command.env("CARGO_TERM_COLOR", "never");
        writeln!(self.file, "$ {command:?}")?;
        let limit = match self.deadline {
            Some(deadline) => limit.min(deadline.saturating_duration_since(Instant::now())),
            None => limit,
        };
        let mut printed = Printed::after(&self.path, self.echo == Echo::Everything)?;
        let output = (self.file.try_clone()?, self.file.try_clone()?);
        command.stdin(Stdio::null()).stdout(output.0).stderr(output.1);
        let start = Instant::now();
        let mut child = group::spawn(&mut command)
            .map_err(|error| format!("{:?} did not start: {error}", command.get_program()))?;
        let end = wait(&mut child, start + limit, limit, &mut printed);
        group::ended();
        let end = end?;
        printed.read()?;
        writeln!(self.file, "$ {end}\n")?;
        Ok(Run { end, text: printed.into_text(), time: start.elapsed() })
    }
}

fn wait(
    child: &mut Child,
    deadline: Instant,
    limit: Duration,
    printed: &mut Printed,
) -> Result<End> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exited(status));
        }
        if Instant::now() >= deadline {
            group::stop(child)?;
            child.wait()?;
            return Ok(End::TimedOut(limit));
        }
        printed.read()?;
        // SLEEP: std has no wait with a time limit.
        thread::sleep(LOOK_INTERVAL);
    }
}

impl End {
    pub(crate) fn is_success(self) -> bool {
        matches!(self, End::Exited(status) if status.success())
    }
}

impl Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exited(status) => write!(f, "ended with {status}"),
            End::TimedOut(limit) => write!(f, "stopped after {} s", limit.as_secs()),
        }
    }
}

/// What programs have appended to a log.
struct Printed {
    file: File,
    bytes: Vec<u8>,
    echo: bool,
}

impl Printed {
    fn after(path: &Path, echo: bool) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Printed { file, bytes: Vec::new(), echo })
    }

    fn read(&mut self) -> io::Result<()> {
        let known = self.bytes.len();
        self.file.read_to_end(&mut self.bytes)?;
        if self.echo && self.bytes.len() > known {
            let mut terminal = io::stdout().lock();
            terminal.write_all(&self.bytes[known..])?;
            terminal.flush()?;
        }
        Ok(())
    }

    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Run {
        static NUMBER: std::sync::Mutex<u32> = std::sync::Mutex::new(0);
        // One at a time, as in the commands: there is one record of the running group.
        let mut number = NUMBER.lock().unwrap();
        *number += 1;
        let name = format!("xtask-process-{}-{}", std::process::id(), *number);
        let path = std::env::temp_dir().join(name);
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let run = Log::create(&path, Echo::Nothing).unwrap().run(command, limit).unwrap();
        fs::remove_file(path).unwrap();
        run
    }

    #[test]
    fn output_and_status_are_seen() {
        let run = shell("echo out; echo err >&2; exit 3", Duration::from_secs(60));
        assert_eq!(run.text, "out\nerr\n");
        assert!(matches!(run.end, End::Exited(status) if status.code() == Some(3)));
    }

    #[test]
    fn a_hang_is_stopped_with_all_its_children() {
        let run = shell("sleep 60 & echo $!; wait", Duration::from_millis(300));
        assert!(matches!(run.end, End::TimedOut(_)));
        let child: u32 = run.text.trim().parse().unwrap();
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let start = Instant::now();
        while cfg!(target_os = "linux") && !gone() {
            assert!(start.elapsed() < Duration::from_secs(10), "the child outlived its group");
            thread::yield_now();
        }
    }
}
