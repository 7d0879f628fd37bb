//! Contiguous ranges of each topic, whatever the current assignment.

use super::subscriber::SubscribedTopic;
use crate::types::TopicPartition;

/// The partitions of each member; the members are numbered below `members`.
pub(super) fn assign(members: usize, topics: &[SubscribedTopic<'_>]) -> Vec<Vec<TopicPartition>> {
    let mut owned = vec![Vec::new(); members];
    for topic in topics {
        let each = topic.partitions / topic.subscribers.len();
        let one_more = topic.partitions % topic.subscribers.len();
        let mut from = 0;
        for (at, member) in topic.subscribers.iter().enumerate() {
            let until = from + each + usize::from(at < one_more);
            owned[*member].extend((from..until).map(|n| topic.partition(n)));
            from = until;
        }
    }
    owned
}
