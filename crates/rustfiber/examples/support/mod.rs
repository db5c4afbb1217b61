//! The option `--trace FILE` of the examples that have it.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustfiber::Runtime;

/// Returns the file that follows `--trace`, if this program can record at all.
pub(crate) fn trace_file(word: Option<OsString>) -> Result<PathBuf, Box<dyn Error>> {
    if cfg!(not(feature = "trace")) {
        return Err("built without feature `trace`; run with --features trace".into());
    }
    Ok(word.ok_or("--trace needs a file")?.into())
}

/// Writes what the runtime has recorded so far.
#[cfg(feature = "trace")]
pub(crate) fn write_trace(runtime: &Runtime, file: &Path) -> Result<(), Box<dyn Error>> {
    use std::{fs::File, io::BufWriter};

    let trace = runtime.trace();
    trace.write_chrome(BufWriter::new(File::create(file)?))?;
    let (count, dropped) = (trace.event_count(), trace.dropped_count());
    println!("{count} events in {}, {dropped} had no room", file.display());
    Ok(())
}

#[cfg(not(feature = "trace"))]
pub(crate) fn write_trace(_: &Runtime, _: &Path) -> Result<(), Box<dyn Error>> {
    unreachable!("`trace_file` returns no file")
}
