//! A pass, and the note of it in `cleanup.json`.

use std::sync::Arc;
use std::time::Duration;

use super::pass::{Compacted, Effort, PassStatus, Progress, pass_unnoted};
use crate::error::{Kind, Result};
use crate::partition::replica::Replica;
use crate::partition::retention::CleanupFile;
use crate::store::StoreDir;
use crate::types::{BrokerId, TopicPartition};

/// Compacts a broker's replica of a partition, the leader's or a follower's, as its topic's configs say.
/// `timeout` bounds each wait for a lock. `go_on` is called with each batch; its error ends the pass.
///
/// # Errors
/// `go_on`'s; [`Kind::DiskFull`], [`Kind::Busy`], [`Kind::Io`]; those of an append and of a group commit.
/// The log is whole after each. What was compacted stays so.
pub fn pass(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
    effort: Effort,
    timeout: Duration,
    go_on: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Compacted> {
    let done = pass_unnoted(store, tp, broker, effort, timeout, go_on);
    let (error, keyless) = match &done {
        Ok(done) if matches!(done.status, PassStatus::Done | PassStatus::More) => {
            (done.damaged.first().cloned(), Some(done.keyless))
        }
        // Nothing was done, or it was stopped.
        Ok(_) => return done,
        Err(e)
            if matches!(
                e.kind(),
                Kind::Interrupted | Kind::Busy | Kind::UnknownTopic
            ) =>
        {
            return done;
        }
        Err(e) => (Some(e.to_string()), None),
    };
    if let Ok(replica) = Replica::open(store, tp, broker) {
        let now_ms = store.clock().now_ms();
        CleanupFile::note_compaction(&**replica.dir(), now_ms, error, keyless);
    }
    done
}
