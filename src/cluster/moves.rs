//! Planned moves of leadership: what is asked for, and who carries it out.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::store::StoreDir;
use crate::store::fenced_lock::FencedGuard;
use crate::types::{BrokerId, LeaderEpoch, TopicPartition, Uuid};

/// One partition's leadership is to go from one broker to another, with nothing lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub tp: TopicPartition,
    /// The topic's id: one made anew is another.
    pub topic_id: Uuid,
    /// Who leads it now.
    pub from: BrokerId,
    /// In which epoch.
    pub epoch: LeaderEpoch,
    /// Who is to lead it in the next.
    pub to: BrokerId,
    /// Who leaves the in-sync set in the same change: brokers that are not alive.
    pub drop_from_isr: Vec<BrokerId>,
}

/// Whether whoever moves still may: asked in the hold of the metadata lock in which topic files
/// are replaced.
pub type Authority<'a> = &'a (dyn Fn(&FencedGuard) -> Result<bool> + Sync);

/// Carries out planned moves.
pub trait Mover: Send + Sync {
    /// Moves all of them, together, and waits for it: one outcome each, in order. What was not
    /// moved within `deadline` has failed; its old leader's page may be left sealed.
    fn move_leaders(
        &self,
        store: &Arc<StoreDir>,
        moves: &[Move],
        authority: Authority<'_>,
        deadline: Duration,
    ) -> Vec<Result<()>>;
}
