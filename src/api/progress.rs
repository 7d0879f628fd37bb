//! Which records of a group's consumer are done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::client::{Delivered, Generation, OutputProgress};
use crate::types::{LeaderEpoch, Offset};

/// How far each assignment is done, for the session's thread, which commits it.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<BTreeMap<Generation, (Offset, LeaderEpoch)>>);

impl Progress {
    /// All records of an assignment before `next` are done.
    pub(super) fn done(&self, generation: Generation, next: Offset, leader_epoch: LeaderEpoch) {
        self.lock().insert(generation, (next, leader_epoch));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Generation, (Offset, LeaderEpoch)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutputProgress for Progress {
    fn take(&self) -> Vec<Delivered> {
        let done = std::mem::take(&mut *self.lock());
        let delivered = done
            .into_iter()
            .map(|(generation, (next, leader_epoch))| Delivered {
                generation,
                next,
                leader_epoch,
            });
        delivered.collect()
    }

    // The consumer tells the session that it has stopped only once no more records will be done.
    fn is_settled(&self, _: Generation) -> bool {
        true
    }

    fn is_all_settled(&self) -> bool {
        true
    }

    fn is_closed(&self) -> bool {
        false
    }
}

/// The records of one assignment that were handed out.
#[derive(Debug)]
pub(super) struct HandedOut {
    /// The records that are not done.
    open: BTreeSet<Offset>,
    /// All records before it were handed out.
    next: Offset,
    /// From which offset on records were appended in which epoch, for the records that are not
    /// done.
    epochs: VecDeque<(Offset, LeaderEpoch)>,
}

impl HandedOut {
    /// No record was handed out yet; the first will be at `from` or later.
    pub(super) fn new(from: Offset) -> Self {
        HandedOut {
            open: BTreeSet::new(),
            next: from,
            epochs: VecDeque::new(),
        }
    }

    /// A record is handed out.
    pub(super) fn hand_out(&mut self, offset: Offset, leader_epoch: LeaderEpoch) {
        self.open.insert(offset);
        self.next = offset + 1;
        if self
            .epochs
            .back()
            .is_none_or(|(_, epoch)| *epoch != leader_epoch)
        {
            self.epochs.push_back((offset, leader_epoch));
        }
    }

    /// There are no records to hand out before `next`.
    pub(super) fn pass(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// A record is done; `false` if it was not handed out.
    pub(super) fn finish(&mut self, offset: Offset) -> bool {
        self.open.remove(&offset) || offset < self.next
    }

    /// All records before it are done, and the epoch of the last of them; -1: unknown.
    pub(super) fn done(&mut self) -> (Offset, LeaderEpoch) {
        let done = self.open.first().copied().unwrap_or(self.next);
        while let Some((from, _)) = self.epochs.get(1)
            && *from < done
        {
            self.epochs.pop_front();
        }
        let last = self.epochs.front().filter(|(from, _)| *from < done);
        (done, last.map_or(-1, |(_, epoch)| *epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_before_the_first_that_is_not_done_is_done() {
        let mut work = HandedOut::new(5);
        assert_eq!(work.done(), (5, -1));
        for (offset, epoch) in [(7, 1), (8, 1), (10, 2), (11, 2)] {
            work.hand_out(offset, epoch);
        }
        assert!(!work.finish(12), "not handed out");
        for (offset, done) in [
            (8, (7, -1)),
            (10, (7, -1)),
            (7, (11, 2)),
            (7, (11, 2)),
            (11, (12, 2)),
        ] {
            assert!(work.finish(offset), "{offset}");
            assert_eq!(work.done(), done, "{offset}");
        }
        // No record follows.
        work.pass(20);
        assert_eq!(work.done(), (20, 2));
    }

    #[test]
    fn a_done_of_one_epoch_says_that_epoch() {
        let mut work = HandedOut::new(0);
        for (offset, epoch) in [(0, 0), (1, 1), (2, 2)] {
            work.hand_out(offset, epoch);
        }
        for (offset, epoch) in [(0, 0), (1, 1), (2, 2)] {
            assert!(work.finish(offset));
            assert_eq!(work.done(), (offset + 1, epoch));
        }
    }
}
