//! Why something was not had.

use std::error::Error;
use std::fmt;

/// It was closed: there is no use in waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Closed;

/// Why a `try_` form has nothing to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TryError {
    /// It would take waiting.
    WouldBlock,
    /// It was closed.
    Closed,
}

/// Why a `_timeout` or `_deadline` form has nothing to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeoutError {
    /// The time was up.
    TimedOut,
    /// It was closed.
    Closed,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is closed")
    }
}

impl fmt::Display for TryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryError::WouldBlock => "it would take waiting",
            TryError::Closed => "it is closed",
        })
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimeoutError::TimedOut => "the time was up",
            TimeoutError::Closed => "it is closed",
        })
    }
}

impl Error for Closed {}
impl Error for TryError {}
impl Error for TimeoutError {}

impl From<Closed> for TryError {
    fn from(_: Closed) -> Self {
        TryError::Closed
    }
}

impl From<Closed> for TimeoutError {
    fn from(_: Closed) -> Self {
        TimeoutError::Closed
    }
}
