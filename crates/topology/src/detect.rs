//! Where the facts come from. Every backend fills the same [`Description`].

mod fallback;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
mod source;
mod sysfs;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use crate::cpu_set::CpuSet;
use crate::topology::{CoreSpeed, Topology};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use fallback::detect;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::detect;

/// Reports that a machine could not be described.
#[derive(Debug)]
#[non_exhaustive]
pub enum DetectError {
    /// The files name no online CPU: probably not a copy of sysfs, or not its root.
    NoCpus,
    /// None of the CPUs that the caller allows is online.
    NoneAllowed {
        /// The CPUs that were asked for.
        asked: CpuSet,
        /// The CPUs that there are.
        online: CpuSet,
    },
    /// The system does not tell how many CPUs there are.
    UnknownCount(io::Error),
}

impl fmt::Display for DetectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DetectError::NoCpus => f.write_str(
                "no online CPU found below sys/devices/system/cpu; \
                 give the directory that holds `sys`, or paths that begin with `sys/`",
            ),
            DetectError::NoneAllowed { asked, online } => write!(
                f,
                "asked to use CPUs \"{asked}\", but the machine has only {online} online; \
                 allow at least one of these"
            ),
            DetectError::UnknownCount(_) => {
                f.write_str("the system does not tell its number of CPUs")
            }
        }
    }
}

impl Error for DetectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            DetectError::UnknownCount(source) => Some(source),
            DetectError::NoCpus | DetectError::NoneAllowed { .. } => None,
        }
    }
}

/// Describes a machine as a backend sees it, before anything is made of it.
///
/// Sets name only online CPUs, and a CPU is a member of the sets that it names itself.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// The online CPUs.
    pub(crate) cpus: BTreeMap<usize, CpuFacts>,
    /// The NUMA nodes, with or without CPUs.
    pub(crate) nodes: Vec<NodeFacts>,
}

/// What one CPU says of itself; `None` where it says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuFacts {
    pub(crate) core: Option<CpuSet>,
    pub(crate) die: Option<CpuSet>,
    pub(crate) package: PackageKey,
    /// The cache of the highest level.
    pub(crate) cache: Option<CacheFacts>,
    pub(crate) speed: CoreSpeed,
}

/// What tells packages apart: their CPUs where the system names them, else the system's number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum PackageKey {
    #[default]
    Unknown,
    OsId(usize),
    Cpus(CpuSet),
}

#[derive(Clone, Debug)]
pub(crate) struct CacheFacts {
    pub(crate) level: u32,
    pub(crate) cpus: CpuSet,
    pub(crate) bytes: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct NodeFacts {
    pub(crate) os_id: usize,
    pub(crate) cpus: CpuSet,
    /// By index in [`Description::nodes`]; empty when unknown.
    pub(crate) distances: Vec<u32>,
}

pub(crate) fn from_root(root: &Path, allowed: Option<&CpuSet>) -> Result<Topology, DetectError> {
    let source = source::Directory::new(root);
    restricted(&sysfs::read(&source, &CpuSet::new()), allowed)
}

pub(crate) fn from_files(
    files: impl Iterator<Item = (String, String)>,
    allowed: Option<&CpuSet>,
) -> Result<Topology, DetectError> {
    let source = source::Files::new(files);
    restricted(&sysfs::read(&source, &CpuSet::new()), allowed)
}

fn restricted(
    description: &Description,
    allowed: Option<&CpuSet>,
) -> Result<Topology, DetectError> {
    let online: CpuSet = description.cpus.keys().copied().collect();
    if online.is_empty() {
        return Err(DetectError::NoCpus);
    }
    let usable = allowed.map_or_else(|| online.clone(), |allowed| allowed.intersection(&online));
    match allowed {
        Some(asked) if usable.is_empty() => {
            Err(DetectError::NoneAllowed { asked: asked.clone(), online })
        }
        _ => Ok(Topology::assemble(description, usable)),
    }
}
