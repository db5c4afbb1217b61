//! Semaphores for tasks behind one trait: ours, the peers', and the two designs that ours was
//! chosen over (docs/adr/0009-one-wait-queue.md).

mod hybrid;
mod segmented;

pub use hybrid::Hybrid;
pub use segmented::Segmented;

/// Permits that tasks wait for. Each is used as its own users would use it.
pub trait TaskSemaphore: Send + Sync + 'static {
    /// The name of the system that it is part of.
    const NAME: &'static str;

    /// Gives the permit back when it is dropped.
    type Permit<'a>: Send;

    /// A permit, or what stands for one where a semaphore can be closed. Nobody closes these.
    type Acquired<'a>: Send;

    /// Makes a semaphore of so many permits.
    fn with_permits(permits: usize) -> Self;

    /// Takes a permit; waits for it if necessary. Dropped at any moment, the future loses its place
    /// in line and nothing else.
    fn acquire(&self) -> impl Future<Output = Self::Acquired<'_>> + Send;

    /// Takes a permit, if that takes no waiting.
    fn try_acquire(&self) -> Option<Self::Permit<'_>>;
}

/// The product: the intrusive queue, by way of `fiber_sync::Semaphore`.
pub type Intrusive = fiber_sync::Semaphore;

impl TaskSemaphore for Intrusive {
    const NAME: &'static str = "rustfiber";

    type Permit<'a> = fiber_sync::SemaphorePermit<'a>;

    type Acquired<'a> = Result<Self::Permit<'a>, fiber_sync::Closed>;

    fn with_permits(permits: usize) -> Self {
        Intrusive::new(permits)
    }

    fn acquire(&self) -> impl Future<Output = Self::Acquired<'_>> + Send {
        self.acquire_async()
    }

    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        Intrusive::try_acquire(self).ok()
    }
}

impl TaskSemaphore for tokio::sync::Semaphore {
    const NAME: &'static str = "tokio";

    type Permit<'a> = tokio::sync::SemaphorePermit<'a>;

    type Acquired<'a> = Result<Self::Permit<'a>, tokio::sync::AcquireError>;

    fn with_permits(permits: usize) -> Self {
        Self::new(permits)
    }

    fn acquire(&self) -> impl Future<Output = Self::Acquired<'_>> + Send {
        self.acquire()
    }

    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.try_acquire().ok()
    }
}

impl TaskSemaphore for async_lock::Semaphore {
    const NAME: &'static str = "async-lock";

    type Permit<'a> = async_lock::SemaphoreGuard<'a>;

    type Acquired<'a> = Self::Permit<'a>;

    fn with_permits(permits: usize) -> Self {
        Self::new(permits)
    }

    fn acquire(&self) -> impl Future<Output = Self::Acquired<'_>> + Send {
        self.acquire()
    }

    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.try_acquire()
    }
}
