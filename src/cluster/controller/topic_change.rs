//! What a new version of a topic file changes for a broker. A failover of thousands of leaders
//! makes several versions, and checking each partition for each of them would take seconds.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::TopicMeta;
use crate::types::{BrokerId, PartitionId, TopicName};

/// By topic.
pub(crate) type TopicChanges = BTreeMap<TopicName, ChangedPartitions>;

/// The partitions of a topic that have to be checked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangedPartitions {
    /// Each.
    All,
    /// These.
    Some(BTreeSet<PartitionId>),
}

impl Default for ChangedPartitions {
    fn default() -> Self {
        ChangedPartitions::Some(BTreeSet::new())
    }
}

impl ChangedPartitions {
    /// The changes from one version to the next, for `broker`: partitions whose row differs, and
    /// partitions in which the broker is not in sync, since joining depends on the file's version.
    /// All partitions, if there was no version before, or configs changed.
    pub fn between(before: Option<&TopicMeta>, after: &TopicMeta, broker: BrokerId) -> Self {
        let Some(before) = before.filter(|before| {
            before.topic_id == after.topic_id && before.explicit == after.explicit
        }) else {
            return ChangedPartitions::All;
        };
        let mut rows = before.partitions.iter();
        let changed = after.partitions.iter().filter(|partition| {
            let before = rows.next();
            let joins = partition.uuid_of(broker).is_some() && !partition.is_in_sync(broker);
            before != Some(partition) || joins
        });
        ChangedPartitions::Some(changed.map(|partition| partition.partition).collect())
    }

    /// Whether a partition is among them.
    pub fn concerns(&self, partition: PartitionId) -> bool {
        match self {
            ChangedPartitions::All => true,
            ChangedPartitions::Some(some) => some.contains(&partition),
        }
    }

    /// Adds the changes of a later version.
    pub fn add(&mut self, later: ChangedPartitions) {
        match (&mut *self, later) {
            (ChangedPartitions::Some(some), ChangedPartitions::Some(more)) => some.extend(more),
            (_, ChangedPartitions::All) => *self = ChangedPartitions::All,
            (ChangedPartitions::All, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{PartitionMeta, ReplicaMeta};
    use crate::types::Uuid;

    fn topic(in_sync: [&[BrokerId]; 3]) -> TopicMeta {
        let uuid = Uuid([7; 16]);
        let partition = |(at, isr): (usize, &&[BrokerId])| PartitionMeta {
            partition: PartitionId::try_from(at).unwrap(),
            leader: 1,
            leader_epoch: 0,
            replicas: [1, 2].map(|broker| ReplicaMeta { broker, uuid }).into(),
            isr: isr.to_vec(),
            reassignment: None,
        };
        TopicMeta {
            name: TopicName::new("t").unwrap(),
            topic_id: uuid,
            version: 1,
            explicit: BTreeMap::new(),
            partitions: in_sync.iter().enumerate().map(partition).collect(),
            retired: Vec::new(),
        }
    }

    #[test]
    fn only_what_a_version_changes_is_looked_at() {
        let before = topic([&[1, 2], &[1, 2], &[1]]);
        let mut after = before.clone();
        after.version += 1;
        after.partitions[1].leader_epoch += 1;
        let changed = |broker| ChangedPartitions::between(Some(&before), &after, broker);
        // Broker 2 is about to join partition 2.
        assert_eq!(changed(1), ChangedPartitions::Some([1].into()));
        assert_eq!(changed(2), ChangedPartitions::Some([1, 2].into()));
        assert_eq!(
            ChangedPartitions::between(None, &after, 1),
            ChangedPartitions::All
        );
        after.explicit.insert("flush.ms".to_owned(), "1".to_owned());
        assert_eq!(
            ChangedPartitions::between(Some(&before), &after, 1),
            ChangedPartitions::All
        );

        let mut sum = ChangedPartitions::default();
        sum.add(ChangedPartitions::Some([1].into()));
        sum.add(ChangedPartitions::Some([3].into()));
        assert!(sum.concerns(1) && sum.concerns(3) && !sum.concerns(2));
        sum.add(ChangedPartitions::All);
        assert!(sum.concerns(2));
    }
}
