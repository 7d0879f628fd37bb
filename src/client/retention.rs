//! What a change of configs lets retention remove.

use super::admin::Admin;
use super::leader_reader::open_now;
use crate::error::Result;
use crate::partition::{RetentionLimits, retention_plan};
use crate::store::{TopicConfigs, TopicMeta};
use crate::types::{Offset, TopicPartition};

/// Records that are due for removal once a topic has other configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRemoval {
    /// The partition.
    pub tp: TopicPartition,
    /// The log start.
    pub from: Offset,
    /// The log start afterwards.
    pub to: Offset,
}

impl Admin {
    /// What a topic's partitions would lose by configs that it does not have yet, beside what they lose
    /// by those that it has.
    ///
    /// # Errors
    /// [`crate::error::Kind::Damaged`], [`crate::error::Kind::Io`]; those of a reader.
    pub fn removals_by(&self, meta: &TopicMeta, configs: &TopicConfigs) -> Result<Vec<DueRemoval>> {
        let Some(limits) = RetentionLimits::of(configs) else {
            return Ok(Vec::new());
        };
        let before = RetentionLimits::of(&meta.configs()?);
        if !limits.keep_less_than(before) {
            return Ok(Vec::new());
        }
        let now_ms = self.store().clock().now_ms();
        let mut removals = Vec::new();
        for partition in &meta.partitions {
            let tp = TopicPartition::new(meta.name.clone(), partition.partition);
            let reader = open_now(self.store(), &tp)?;
            // A wall clock that is not believed only delays it.
            let starts = |limits| -> Result<(Offset, Offset)> {
                let (page, plan) = retention_plan(reader.replica(), limits, now_ms, true)?;
                let from = page.tail.log_start;
                Ok((from, plan.due.last().copied().unwrap_or(from)))
            };
            let (from, to) = starts(limits)?;
            let known = before.map_or(Ok(from), |limits| starts(limits).map(|(_, to)| to))?;
            if to > known {
                removals.push(DueRemoval { tp, from, to });
            }
        }
        Ok(removals)
    }
}
