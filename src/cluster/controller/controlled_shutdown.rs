//! The leadership transfers of a controlled shutdown.

use std::sync::Arc;

use super::leadership_transfer::{LeadershipTransfer, TransferProgress};
use crate::error::Result;
use crate::partition::Replica;
use crate::store::topics::topic_file;
use crate::store::{Liveness, StoreDir};
use crate::types::{BrokerId, Offset, TopicPartition};

/// The transfers that leave a broker with nothing to lead, as far as other live brokers are in
/// sync.
///
/// # Errors
/// [`crate::error::Kind::Io`] if the topics cannot be listed.
pub fn shutdown_transfers(
    store: &Arc<StoreDir>,
    broker: BrokerId,
) -> Result<Vec<LeadershipTransfer>> {
    let liveness = Liveness::new(store);
    let mut moves = Vec::new();
    for name in topic_file::list(store)? {
        // Other parts report a topic file that cannot be read.
        let Ok(Some((meta, _))) = topic_file::read_if_there(store, &name) else {
            continue;
        };
        for partition in meta.partitions.iter().filter(|p| p.leader == broker) {
            let others = partition.replicas.iter().map(|replica| replica.broker);
            let to = others
                .filter(|id| *id != broker && partition.is_in_sync(*id))
                .find(|id| liveness.is_alive(*id));
            if let Some(to) = to {
                moves.push(LeadershipTransfer {
                    tp: TopicPartition::new(name.clone(), partition.partition),
                    topic_id: meta.topic_id,
                    from: broker,
                    epoch: partition.leader_epoch,
                    to,
                    drop_from_isr: Vec::new(),
                });
            }
        }
    }
    Ok(moves)
}

/// What an ending broker still has to transfer to other live brokers: partitions, and the records
/// that their targets lack. What cannot be probed counts as nothing.
pub fn shutdown_progress(store: &Arc<StoreDir>, broker: BrokerId) -> TransferProgress {
    let end = |tp: &TopicPartition, broker: BrokerId| -> Option<Offset> {
        let page = Replica::open(store, tp, broker).ok()?.read_page().ok()??;
        Some(page.tail.end)
    };
    let moves = shutdown_transfers(store, broker).unwrap_or_default();
    let lacks = moves.iter().filter_map(|one| {
        let (has, goal) = (end(&one.tp, one.to)?, end(&one.tp, one.from)?);
        Some(goal.saturating_sub(has).max(0).unsigned_abs())
    });
    TransferProgress {
        records: lacks.sum(),
        partitions: moves.len(),
    }
}
