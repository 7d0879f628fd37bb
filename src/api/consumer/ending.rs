//! Where a consumer ends.

use std::ops::ControlFlow;
use std::time::Duration;

use super::Consumer;
use crate::client::Fetched;
use crate::error::Result;
use crate::record::Decompressor;
use crate::types::{Offset, TopicPartition};

impl Consumer {
    /// Whether no more records come.
    pub(super) fn is_done(&self) -> bool {
        let ends = self.options.to_end || self.options.until.is_some();
        // What cannot be opened was reported; a consumer with an end does not wait for it.
        self.buffer.rest().is_none() && self.engine.is_done() && (ends || self.failing.is_empty())
    }

    /// Ends a fetch before the first record that is not older than the partition's end, if that end
    /// is a time. The partition ends there, too.
    pub(super) fn cut_at_time(&mut self, fetched: &mut Fetched) -> Result<()> {
        let Some(bound) = self.time_bounds.get(&fetched.tp).copied() else {
            return Ok(());
        };
        let end = fetched.for_each(&mut Decompressor::default(), |_, record| {
            if record.timestamp >= bound {
                ControlFlow::Break(record.offset)
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if let Some(end) = end {
            fetched.until = end;
            self.time_bounds.remove(&fetched.tp);
            self.engine.seek(&fetched.tp, end)?;
            self.end_at(&fetched.tp.clone(), end);
        }
        Ok(())
    }

    /// All available records were read: a partition whose end time the clock has passed ends there.
    pub(super) fn pass_times(&mut self) {
        if self.time_bounds.is_empty() {
            return;
        }
        let now = self.store.clock().now_ms();
        let passed = self.time_bounds.iter().filter(|(_, bound)| **bound <= now);
        let passed: Vec<TopicPartition> = passed.map(|(tp, _)| tp.clone()).collect();
        for tp in passed {
            if let Some(position) = self.engine.position(&tp) {
                self.end_at(&tp, position);
            }
            self.time_bounds.remove(&tp);
        }
    }

    fn end_at(&mut self, tp: &TopicPartition, end: Offset) {
        self.engine.limit(tp, end);
        if let Some(assigned) = self.partitions.get_mut(tp) {
            assigned.until = Some(end);
        }
    }

    /// How long until the clock passes the next end time.
    pub(super) fn times_due(&self) -> Duration {
        let Some(next) = self.time_bounds.values().min() else {
            return Duration::MAX;
        };
        let left = next.saturating_sub(self.store.clock().now_ms());
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}
