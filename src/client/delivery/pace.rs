//! When appends are synced that no caller waits for: `flush.ms` after their partition's last sync,
//! by the present topic file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::store::{StoreDir, TopicConfigs, TopicHandle};
use crate::types::{PartitionId, TopicName};

/// How often the topic file is read while a sync is delayed: a change may require the sync earlier.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The last sync of each partition, and how long the next one may wait.
#[derive(Debug)]
pub(crate) struct SyncPace {
    store: Arc<StoreDir>,
    name: TopicName,
    topic: Option<TopicHandle>,
    observed: Duration,
    synced: BTreeMap<PartitionId, Duration>,
}

impl SyncPace {
    pub fn new(store: &Arc<StoreDir>, name: &TopicName) -> Self {
        SyncPace {
            topic: TopicHandle::open(store, name).ok(),
            observed: store.clock().monotonic(),
            store: Arc::clone(store),
            name: name.clone(),
            synced: BTreeMap::new(),
        }
    }

    /// Reads the topic file if `POLL_INTERVAL` has passed.
    pub fn observe(&mut self, now: Duration) {
        if now.saturating_sub(self.observed) < POLL_INTERVAL {
            return;
        }
        self.observed = now;
        let current = |topic: &TopicHandle| topic.is_current().unwrap_or(false);
        if !self.topic.as_ref().is_some_and(current) {
            // While it cannot be read, no sync is delayed: the sync reports the error.
            self.topic = TopicHandle::open(&self.store, &self.name).ok();
        }
    }

    /// A sync of the partition has ended.
    pub fn synced(&mut self, partition: PartitionId, now: Duration) {
        self.synced.insert(partition, now);
    }

    /// Whether the partition's next sync has waited for its full delay.
    pub fn is_due(&self, partition: PartitionId, now: Duration) -> bool {
        self.left(partition, now).is_zero()
    }

    /// How long until the first of these partitions needs its sync.
    pub fn pause<'a>(
        &self,
        waiting: impl Iterator<Item = &'a PartitionId>,
        now: Duration,
    ) -> Duration {
        let observe = (self.observed + POLL_INTERVAL).saturating_sub(now);
        let left = waiting.map(|partition| self.left(*partition, now));
        left.fold(observe, Duration::min)
    }

    fn left(&self, partition: PartitionId, now: Duration) -> Duration {
        let configs = self.topic.as_ref().map(TopicHandle::configs);
        let timed = configs
            .filter(|configs| !configs.every_message() && configs.flush_ms != TopicConfigs::NEVER);
        match (timed, self.synced.get(&partition)) {
            (Some(configs), Some(synced)) => {
                let due = synced.saturating_add(Duration::from_millis(configs.flush_ms));
                due.saturating_sub(now)
            }
            _ => Duration::ZERO,
        }
    }
}
