//! The one error of this crate: a stack that could not be had, and what to change.

use std::error::Error;
use std::fmt;
use std::io;

use crate::stack::StackSize;

/// Says why a stack could not be had, and what to change.
///
/// The message names what was asked, the limit, and the remedy. Where the operating system refused,
/// [`source`](Error::source) is its [`io::Error`].
#[derive(Debug)]
pub struct StackError {
    reason: Reason,
}

/// Classifies a [`StackError`], for callers that treat the reasons differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackErrorKind {
    /// The size is below [`StackSize::MIN_BYTES`].
    TooSmall,
    /// The size is above [`StackSize::MAX_BYTES`].
    TooLarge,
    /// The [`StackPool`](crate::StackPool) has as many stacks as it may have.
    PoolLimit,
    /// The process has as many stacks as [`stack_limit`](crate::stack_limit) allows.
    ProcessLimit,
    /// The operating system refused the memory.
    Refused,
}

#[derive(Debug)]
pub(crate) enum Reason {
    TooSmall { requested: usize },
    TooLarge { requested: usize },
    PoolLimit { limit: usize },
    ProcessLimit { limit: usize, max_map_count: usize },
    Refused { requested: usize, live_count: usize, live_bytes: usize, source: io::Error },
}

impl StackError {
    pub(crate) fn new(reason: Reason) -> StackError {
        StackError { reason }
    }

    /// Returns the class of this error.
    pub fn kind(&self) -> StackErrorKind {
        match self.reason {
            Reason::TooSmall { .. } => StackErrorKind::TooSmall,
            Reason::TooLarge { .. } => StackErrorKind::TooLarge,
            Reason::PoolLimit { .. } => StackErrorKind::PoolLimit,
            Reason::ProcessLimit { .. } => StackErrorKind::ProcessLimit,
            Reason::Refused { .. } => StackErrorKind::Refused,
        }
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::TooSmall { requested } => write!(
                f,
                "stack of {requested} bytes is below the {minimum}-byte minimum: \
                 ask for at least {minimum} bytes",
                minimum = StackSize::MIN_BYTES
            ),
            Reason::TooLarge { requested } => write!(
                f,
                "stack of {requested} bytes is above the {maximum}-byte maximum: \
                 ask for at most {maximum} bytes and keep large data on the heap",
                maximum = StackSize::MAX_BYTES
            ),
            Reason::PoolLimit { limit } => write!(
                f,
                "the pool already has all of the {limit} stacks it may have: \
                 raise the pool's limit, or let fewer fibers wait at once"
            ),
            Reason::ProcessLimit { limit, max_map_count } => write!(
                f,
                "the process already has all of the {limit} stacks that vm.max_map_count = \
                 {max_map_count} leaves room for: raise it (sysctl -w vm.max_map_count=N), \
                 or let fewer fibers wait at once"
            ),
            Reason::Refused { requested, live_count, live_bytes, source: _ } => write!(
                f,
                "the system refused a stack of {requested} bytes while {live_count} stacks \
                 ({live_bytes} bytes) are live: {REFUSED_REMEDY}, ask for smaller stacks, \
                 or let fewer fibers wait at once"
            ),
        }
    }
}

const REFUSED_REMEDY: &str = if cfg!(target_os = "linux") {
    "raise RLIMIT_AS (ulimit -v), vm.max_map_count or the memory limit"
} else if cfg!(unix) {
    "raise RLIMIT_AS (ulimit -v) or the memory limit"
} else {
    "raise the commit limit (a larger page file)"
};

impl Error for StackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::Refused { source, .. } => Some(source),
            _ => None,
        }
    }
}
