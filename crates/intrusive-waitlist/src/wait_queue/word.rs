//! The state word: either a count of permits, or a queue.

/// Somebody waits: the rest of the word is the newest node of the inbox, not a count.
const QUEUED: usize = 1;
/// A holder has the list to itself.
const LOCKED: usize = 2;
/// Of a queue that is held: the holder is to look again before it unlocks.
const PENDING: usize = 4;
/// Of a queue that is not held, the same bit: one waits, for one permit, in the inbox.
const ALONE: usize = PENDING;
/// Nobody may begin to wait any more.
const CLOSED: usize = 8;

const FLAGS: usize = QUEUED | LOCKED | PENDING | CLOSED;
const COUNT_SHIFT: u32 = FLAGS.count_ones();

/// What [`Word::locked`] leaves of a word, for `fetch_and`.
pub(super) const LOCKED_MASK: usize = QUEUED | LOCKED | CLOSED;

pub(super) const COUNT_MAX: usize = usize::MAX >> COUNT_SHIFT;

/// One reading of the state word.
#[derive(Clone, Copy)]
pub(super) struct Word(pub(super) usize);

impl Word {
    /// Nobody waits, and there are `count` permits.
    pub(super) const fn of_count(count: usize) -> Word {
        Word(count << COUNT_SHIFT)
    }

    pub(super) fn is_queued(self) -> bool {
        self.0 & QUEUED != 0
    }

    /// Implies `is_queued`.
    pub(super) fn is_locked(self) -> bool {
        self.0 & LOCKED != 0
    }

    pub(super) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// One waits, for one permit, and nobody holds.
    pub(super) fn is_alone(self) -> bool {
        self.0 & FLAGS == QUEUED | ALONE
    }

    /// The permits there are; of a word that is not queued.
    pub(super) fn count(self) -> usize {
        debug_assert!(!self.is_queued());
        self.0 >> COUNT_SHIFT
    }

    /// The address of the newest node in the inbox, or 0; of a word that is queued.
    pub(super) fn newest(self) -> usize {
        debug_assert!(self.is_queued());
        self.0 & !FLAGS
    }

    /// Nobody waits, and there are `count` permits; as closed as before.
    pub(super) fn with_count(self, count: usize) -> Word {
        Word(count << COUNT_SHIFT | self.0 & CLOSED)
    }

    /// The node at `address`, which waits for `permits`, is the newest in the inbox. A holder stays
    /// one.
    pub(super) fn with_newest(self, address: usize, permits: usize) -> Word {
        debug_assert_eq!(address & FLAGS, 0);
        let flags = match self {
            word if word.is_locked() => word.0 & FLAGS,
            word if word.is_queued() || permits != 1 => word.0 & CLOSED,
            word => ALONE | word.0 & CLOSED,
        };
        Word(address | QUEUED | flags)
    }

    /// Held, with an empty inbox and nothing pending.
    pub(super) fn held(is_closed: bool) -> Word {
        Word(if is_closed { QUEUED | LOCKED | CLOSED } else { QUEUED | LOCKED })
    }

    /// Held, with an empty inbox; as closed as before.
    pub(super) fn locked(self) -> Word {
        Word(QUEUED | LOCKED | self.0 & CLOSED)
    }

    /// Queued with an empty inbox, and not held.
    pub(super) fn unlocked(self) -> Word {
        Word(QUEUED | self.0 & CLOSED)
    }

    pub(super) fn with_pending(self) -> Word {
        Word(self.0 | PENDING)
    }

    pub(super) fn with_closed(self) -> Word {
        Word(self.0 | CLOSED)
    }
}
