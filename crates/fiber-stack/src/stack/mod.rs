//! Stack memory: one mapping with a guard page, its size, how many there may be, and pools of them.

mod limit;
mod pool;
mod size;

use std::fmt;

use corosensei::stack::{DefaultStack, Stack as _};

pub use self::limit::{live_stack_count, stack_limit};
pub use self::pool::{StackCache, StackPool};
pub use self::size::StackSize;

use self::limit::ProcessPermit;
use self::pool::PoolPermit;
use crate::error::{Reason, StackError};

/// Owns the memory of one stack, with a guard page below it; dropping it unmaps the memory.
pub struct Stack {
    // The permits follow the mapping, so that a stack is unmapped before it stops counting.
    mapping: DefaultStack,
    size: StackSize,
    _process_permit: ProcessPermit,
    pool_permit: Option<PoolPermit>,
}

impl Stack {
    /// Maps a new stack.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), fiber_stack::StackError> {
    /// use fiber_stack::{Stack, StackSize};
    ///
    /// let stack = Stack::new(StackSize::new(256 * 1024)?)?;
    /// assert_eq!(stack.size().bytes(), 256 * 1024);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ProcessLimit`](crate::StackErrorKind::ProcessLimit) when the process already has
    /// [`stack_limit`] stacks, and [`Refused`](crate::StackErrorKind::Refused) when the system has
    /// no memory or no address space left for it.
    pub fn new(size: StackSize) -> Result<Stack, StackError> {
        Stack::map(size, None)
    }

    fn map(size: StackSize, pool_permit: Option<PoolPermit>) -> Result<Stack, StackError> {
        let process_permit = ProcessPermit::acquire(size)?;
        match DefaultStack::new(size.bytes()) {
            Ok(mapping) => {
                Ok(Stack { mapping, size, _process_permit: process_permit, pool_permit })
            }
            Err(source) => {
                drop(process_permit);
                let requested = size.bytes();
                let (live_count, live_bytes) = limit::live();
                let reason = Reason::Refused { requested, live_count, live_bytes, source };
                Err(StackError::new(reason))
            }
        }
    }

    /// Returns the number of usable bytes.
    pub fn size(&self) -> StackSize {
        self.size
    }

    /// Returns whether `address` lies in the usable bytes; the guard page does not count.
    pub fn contains(&self, address: usize) -> bool {
        self.range().contains(address)
    }

    /// Returns the addresses of the usable bytes.
    pub fn range(&self) -> StackRange {
        StackRange { base: self.mapping.base().get(), size: self.size }
    }

    pub(crate) fn mapping(&self) -> &DefaultStack {
        &self.mapping
    }

    #[cfg(windows)]
    pub(crate) fn mapping_mut(&mut self) -> &mut DefaultStack {
        &mut self.mapping
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stack").field(&self.range()).finish()
    }
}

/// Names the usable addresses of a stack, as plain numbers that outlive it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StackRange {
    base: usize,
    size: StackSize,
}

impl StackRange {
    /// Returns the number of usable bytes.
    pub fn size(self) -> StackSize {
        self.size
    }

    /// Returns the lowest usable address; the guard page ends here.
    pub fn lowest(self) -> usize {
        self.base - self.size.bytes()
    }

    /// Returns the address just above the highest usable byte, from which the stack grows down.
    pub fn base(self) -> usize {
        self.base
    }

    /// Returns whether `address` lies in the usable bytes; the guard page does not count.
    pub fn contains(self, address: usize) -> bool {
        (self.lowest()..self.base).contains(&address)
    }
}

impl fmt::Debug for StackRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.lowest(), self.base)
    }
}
