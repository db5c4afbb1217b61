//! The live Linux machine: sysfs for the facts, the affinity mask for what is allowed.

use std::path::Path;

use super::{DetectError, fallback, source, sysfs};
use crate::affinity;
use crate::topology::Topology;

pub(crate) fn detect() -> Result<Topology, DetectError> {
    // Only a sandbox refuses to tell the mask; then every online CPU counts as allowed.
    let allowed = affinity::current_affinity().unwrap_or_default();
    let description = sysfs::read(&source::Directory::new(Path::new("/")), &allowed);
    if description.cpus.is_empty() {
        return fallback::detect();
    }
    super::restricted(&description, Some(&allowed).filter(|set| !set.is_empty()))
}
