//! What counts as written out: how far each partition's records have reached their reader.
//!
//! Into a file or terminal, what write returned for; into a pipe, what its reader took out of it.

use std::collections::{HashMap, VecDeque};

use super::output::unread;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// Bytes written at a time while marks are kept: what a pipe holds on Linux by default.
pub const WRITE_BYTES: usize = 64 * 1024;

/// Marks in the output, oldest first.
#[derive(Debug, Default)]
pub struct Marks {
    waiting: VecDeque<(TopicPartition, Offset, LeaderEpoch, u64)>,
    taken: HashMap<TopicPartition, (Offset, LeaderEpoch)>,
    written: u64,
}

impl Marks {
    /// The output up to byte `end` stands for all records of the partition below `next`.
    pub fn enter(&mut self, tp: &TopicPartition, next: Offset, epoch: LeaderEpoch, end: u64) {
        if let Some((last, offset, last_epoch, at)) = self.waiting.back_mut()
            && last == tp
            && *at == end
        {
            // A record that printed nothing is taken with the one before it.
            *offset = next;
            *last_epoch = epoch;
            return;
        }
        self.waiting.push_back((tp.clone(), next, epoch, end));
    }

    /// Tells how many bytes were written in all.
    pub fn written(&mut self, bytes: u64) {
        self.written = bytes;
    }

    /// Looks what has been taken by now.
    pub fn settle(&mut self) {
        self.settle_up_to(self.written.saturating_sub(unread().unwrap_or(0)));
    }

    /// Takes what was written for taken.
    pub fn settle_written(&mut self) {
        self.settle_up_to(self.written);
    }

    fn settle_up_to(&mut self, taken: u64) {
        while let Some((_, _, _, end)) = self.waiting.front()
            && *end <= taken
        {
            if let Some((tp, next, epoch, _)) = self.waiting.pop_front() {
                self.taken.insert(tp, (next, epoch));
            }
        }
    }

    /// Whether everything that was entered has been taken.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How far each partition has got, since this was last asked.
    pub fn take(&mut self) -> HashMap<TopicPartition, (Offset, LeaderEpoch)> {
        std::mem::take(&mut self.taken)
    }
}
