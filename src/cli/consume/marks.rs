//! What counts as written out: how far the records of each assignment have reached the output's
//! reader.
//!
//! For a file or terminal, everything that a write returned for; for a pipe, what the reader took
//! out of it. Shared with the membership thread, which reads the marks while this run may be
//! blocked in a write.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cli::stdout::{reader_is_gone, unread};
use crate::client::{Delivered, Generation, OutputProgress};
use crate::types::{LeaderEpoch, Offset};

/// The most bytes of one write while marks are kept: the default capacity of a pipe on Linux.
pub const WRITE_BYTES: usize = 64 * 1024;

/// The output up to byte `end` contains all records of the assignment below `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The assignment.
    pub generation: Generation,
    /// The next offset.
    pub next: Offset,
    /// The leader epoch of the record before `next`.
    pub leader_epoch: LeaderEpoch,
    /// Where the output of these records ends, in bytes from the start of the run.
    pub end: u64,
}

/// Marks in the output, oldest first.
#[derive(Debug)]
pub struct Marks {
    inner: Mutex<Inner>,
    written: Arc<AtomicU64>,
    /// Whether written bytes count even if no reader took them yet.
    written_counts: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Mark>,
    taken: HashMap<Generation, (Offset, LeaderEpoch)>,
}

impl Marks {
    /// For an output that counts its written bytes in `written`.
    pub fn new(written: Arc<AtomicU64>) -> Self {
        Marks {
            inner: Mutex::default(),
            written,
            written_counts: AtomicBool::new(false),
        }
    }

    /// Enters marks, in the order of the output. Earlier marks that are settled are removed, so
    /// those of one flush and of a pipe's content remain.
    pub fn enter(&self, marks: &mut Vec<Mark>) {
        if !marks.is_empty() {
            self.settled().waiting.extend(marks.drain(..));
        }
    }

    /// Marks everything before `next` as delivered, although it produced no output.
    pub fn deliver(&self, generation: Generation, next: Offset, leader_epoch: LeaderEpoch) {
        self.lock().taken.insert(generation, (next, leader_epoch));
    }

    /// From now on, counts written bytes as taken.
    pub fn count_written(&self) {
        self.written_counts.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles the marks of the bytes that were taken by now.
    fn settled(&self) -> MutexGuard<'_, Inner> {
        // The order matters: bytes written between the two reads count as unread, not as taken.
        let written = self.written.load(Ordering::Acquire);
        let unread = if self.written_counts.load(Ordering::Acquire) {
            0
        } else {
            unread().unwrap_or(0)
        };
        let taken = written.saturating_sub(unread);
        let mut inner = self.lock();
        while let Some(mark) = inner.waiting.front().copied()
            && mark.end <= taken
        {
            inner.waiting.pop_front();
            inner
                .taken
                .insert(mark.generation, (mark.next, mark.leader_epoch));
        }
        inner
    }
}

impl OutputProgress for Marks {
    fn take(&self) -> Vec<Delivered> {
        let taken = std::mem::take(&mut self.settled().taken);
        taken
            .into_iter()
            .map(|(generation, (next, leader_epoch))| Delivered {
                generation,
                next,
                leader_epoch,
            })
            .collect()
    }

    fn is_settled(&self, generation: Generation) -> bool {
        !self
            .settled()
            .waiting
            .iter()
            .any(|mark| mark.generation == generation)
    }

    fn is_all_settled(&self) -> bool {
        self.settled().waiting.is_empty()
    }

    fn is_closed(&self) -> bool {
        reader_is_gone()
    }
}

/// Adds a mark. A mark without output of its own is merged into the one before it. `each`: the
/// reader's progress within the flush will be known, so each record has its own mark; else one mark
/// covers all.
pub fn add(marks: &mut Vec<Mark>, mark: Mark, each: bool) {
    match marks.last_mut() {
        Some(last) if last.generation == mark.generation && (!each || last.end == mark.end) => {
            *last = mark;
        }
        _ => marks.push(mark),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_once_its_bytes_are_written() {
        let written = Arc::new(AtomicU64::new(0));
        let marks = Marks::new(Arc::clone(&written));
        // The standard output of the test may be a pipe.
        marks.count_written();
        let mark = |generation, next, end| Mark {
            generation,
            next,
            leader_epoch: 0,
            end,
        };
        let mut entered = Vec::new();
        for one in [
            mark(1, 1, 10),
            mark(1, 2, 10),
            mark(2, 7, 20),
            mark(1, 3, 30),
        ] {
            add(&mut entered, one, true);
        }
        assert_eq!(entered.len(), 3);
        let mut together = Vec::new();
        for one in [mark(1, 1, 10), mark(1, 2, 20), mark(2, 7, 30)] {
            add(&mut together, one, false);
        }
        assert_eq!(together, [mark(1, 2, 20), mark(2, 7, 30)]);
        marks.enter(&mut entered);
        assert!(marks.take().is_empty());
        written.store(19, Ordering::Release);
        let taken = marks.take();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].generation, taken[0].next), (1, 2));
        assert!(!marks.is_settled(2) && !marks.is_all_settled());
        written.store(20, Ordering::Release);
        assert!(marks.is_settled(2) && !marks.is_settled(1));
        written.store(30, Ordering::Release);
        assert!(marks.is_all_settled());
        let next: HashMap<_, _> = marks
            .take()
            .iter()
            .map(|d| (d.generation, d.next))
            .collect();
        assert_eq!(next, HashMap::from([(1, 3), (2, 7)]));
    }
}
