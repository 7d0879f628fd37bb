//! Partitions that this member gave up before everything delivered of them was committed.

use std::collections::BTreeMap;

use crate::client::group_session::orders::Generation;
use crate::error::{Error, Kind, Result};
use crate::types::{Offset, TopicPartition};

/// How many partitions a message names; the rest is counted.
const NAMED_MAX: usize = 5;

/// The last assignment of each partition that was given up.
#[derive(Debug, Default)]
pub(crate) struct GivenUp(BTreeMap<TopicPartition, Former>);

#[derive(Debug)]
struct Former {
    generation: Generation,
    committed: Offset,
    /// Everything before it was delivered.
    delivered: Offset,
}

impl GivenUp {
    /// Adds an assignment that was given up.
    pub(crate) fn add(
        &mut self,
        tp: &TopicPartition,
        generation: Generation,
        committed: Offset,
        delivered: Offset,
    ) {
        let former = Former {
            generation,
            committed,
            delivered,
        };
        self.0.insert(tp.clone(), former);
    }

    /// Notes how much was delivered of an assignment, which may be one of these.
    pub(crate) fn delivered(&mut self, generation: Generation, next: Offset) {
        let mut formers = self.0.values_mut();
        if let Some(former) = formers.find(|former| former.generation == generation) {
            former.delivered = former.delivered.max(next);
        }
    }

    /// Fails once if more was delivered than is committed.
    ///
    /// # Errors
    /// [`Kind::Rebalanced`].
    pub(crate) fn notify(&mut self, group: &str) -> Result<()> {
        let mut names = Vec::new();
        for (tp, former) in &mut self.0 {
            if former.delivered > former.committed {
                names.push(tp.to_string());
                former.committed = former.delivered;
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(Error::new(
            Kind::Rebalanced,
            format!(
                "REBALANCE_IN_PROGRESS: a rebalance took {}{more} from this member of group '{}' before \
                 all that was delivered was committed; the rest is committed",
                names.join(", "),
                group.escape_debug()
            ),
        )
        .cure("their new owner reads on from what is committed: commit before a partition is given up"))
    }
}
