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

/// A value that was not sent, because nobody can receive it any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SendError<T>(pub T);

/// A value that a `try_` form did not send.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrySendError<T> {
    /// There is no room.
    Full(T),
    /// Nobody can receive it any more.
    Closed(T),
}

/// A value that a `_timeout` or `_deadline` form did not send.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendTimeoutError<T> {
    /// There was no room in time.
    TimedOut(T),
    /// Nobody can receive it any more.
    Closed(T),
}

impl<T> SendError<T> {
    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// Returns the value.
    pub fn into_inner(self) -> T {
        let (TrySendError::Full(value) | TrySendError::Closed(value)) = self;
        value
    }
}

impl<T> SendTimeoutError<T> {
    /// Returns the value.
    pub fn into_inner(self) -> T {
        let (SendTimeoutError::TimedOut(value) | SendTimeoutError::Closed(value)) = self;
        value
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(SendError(value): SendError<T>) -> Self {
        TrySendError::Closed(value)
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(SendError(value): SendError<T>) -> Self {
        SendTimeoutError::Closed(value)
    }
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

/// Not with the value, which need not be `Debug`.
macro_rules! debug_and_error {
    ($error:ident) => {
        impl<T> fmt::Debug for $error<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($error))
            }
        }

        impl<T> Error for $error<T> {}
    };
}

debug_and_error!(SendError);
debug_and_error!(TrySendError);
debug_and_error!(SendTimeoutError);

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel is closed")
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Closed(_) => "the channel is closed",
        })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendTimeoutError::TimedOut(_) => "the channel was full until the time was up",
            SendTimeoutError::Closed(_) => "the channel is closed",
        })
    }
}
