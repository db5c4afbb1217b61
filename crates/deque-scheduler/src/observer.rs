//! Who is told of a worker's steals and sleeps: with the feature `observe` whoever asked for it,
//! without it nobody.

/// What a worker's scheduling tells its observer: see
/// [`WorkerQueues::set_observer`](crate::WorkerQueues::set_observer). Needs the feature `observe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(not(feature = "observe"), expect(unreachable_pub, reason = "then it is not exported"))]
pub enum Observed {
    /// It has taken a job from the worker of this index.
    Steal {
        /// Whom it was taken from.
        victim: usize,
    },
    /// It announces that it sleeps. [`Observed::Unpark`] follows, at once if its last look around
    /// finds something.
    Park,
    /// It is awake again.
    Unpark,
}

/// One worker's observer.
#[derive(Default)]
pub(crate) struct Observer {
    #[cfg(feature = "observe")]
    callback: Option<Box<dyn Fn(Observed) + Send>>,
}

impl Observer {
    #[cfg(feature = "observe")]
    pub(crate) fn new(callback: impl Fn(Observed) + Send + 'static) -> Self {
        Observer { callback: Some(Box::new(callback)) }
    }

    #[cfg(feature = "observe")]
    pub(crate) fn tell(&self, what: Observed) {
        if let Some(callback) = &self.callback {
            callback(what);
        }
    }

    #[cfg(not(feature = "observe"))]
    #[inline(always)]
    pub(crate) fn tell(&self, _: Observed) {}
}

// Without the feature it takes no room.
#[cfg(not(feature = "observe"))]
const _: () = assert!(size_of::<Observer>() == 0);
