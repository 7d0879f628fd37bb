//! Repairs of replicas, and their limits by the other replicas of the partition.
//!
//! 1. A follower cuts what the leader does not have. So a repair that ends the leader's log at its
//!    damage also removes the records behind it from the sound replicas.
//! 2. So the repair is refused if another replica, in sync or not, of a live broker or a dead one,
//!    has more sound records than the repair would leave: that replica must lead instead.
//! 3. For the same reason a follower that has more than a damaged leader is not replaced.

use super::admin::Admin;
use super::verify::Verified;
use crate::error::{Error, Kind, Result};
use crate::partition::{PartitionWriter, StatePage};
use crate::store::TopicHandle;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

impl Admin {
    /// Ends the log at the first damage, sets the bytes behind it aside, rewrites unsynced bytes,
    /// and clears an offline mark. The caller has asked for consent;
    /// [`crate::store::StoreDir::take_cuts`] returns what was cut. A replica that cannot be read
    /// forbids nothing.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] where another replica has more than would be left ([`refused`]).
    pub fn repair(&self, tp: &TopicPartition) -> Result<StatePage> {
        let topic = TopicHandle::open(self.store(), &tp.topic)?;
        let partition = topic.partition(tp.partition)?;
        let leader = self.verify_replica(tp, partition.leader, true)?;
        if leader.may_lose() {
            let others = partition.replicas.iter().map(|replica| replica.broker);
            let others: Vec<_> = others
                .filter(|broker| *broker != partition.leader)
                .filter_map(|broker| self.verify_replica(tp, broker, true).ok())
                .collect();
            if let Some(e) = refused(&leader, &others.iter().collect::<Vec<_>>()) {
                return Err(e);
            }
        }
        PartitionWriter::open(self.store(), tp, self.timeout())?.repair()
    }
}

impl Verified {
    /// Whether a repair may leave less than the replica held.
    pub fn may_lose(&self) -> bool {
        self.page_lost || self.sound_end < self.log_end
    }

    fn has_more_than(&self, other: &Verified) -> bool {
        self.broker != other.broker && self.tp == other.tp && self.sound > other.sound
    }
}

/// Why the repair of a replica would cost records that another replica of the partition has, or
/// that this one has and the leader does not. `observed`: the states of replicas, of other
/// partitions too.
pub fn refused(damaged: &Verified, observed: &[&Verified]) -> Option<Error> {
    if damaged.follows {
        let mut leaders = observed.iter().filter(|other| !other.follows);
        let leader = leaders.find(|l| l.may_lose() && damaged.has_more_than(l))?;
        let text = format!(
            "{} on broker {} is not recreated from its leader, broker {}: the leader's log is \
             damaged, and sound only up to offset {}, this one up to offset {}",
            damaged.tp, damaged.broker, leader.broker, leader.sound_end, damaged.sound_end
        );
        let error = Error::new(Kind::BrokerState, text);
        return Some(error.cure("repair the leader first, as its own message says"));
    }
    if !damaged.may_lose() {
        return None;
    }
    let best = best_other(damaged, observed)?;
    let (tp, leader, other) = (&damaged.tp, damaged.broker, best.broker);
    let text = format!(
        "{tp} is not repaired: its leader, broker {leader}, would end at offset {}, and so would broker \
         {other}, whose replica has sound records up to offset {}",
        damaged.sound_end, best.sound_end
    );
    let cure = match (best.in_sync, damaged.offline.is_some()) {
        (true, true) => format!(
            "start that broker, then the controller gives it the leadership: 'mq-broker start --id {other}'"
        ),
        (false, true) => format!(
            "let that replica lead while its broker runs: 'mq-broker elect unclean {tp} --to {other}'"
        ),
        (_, false) => format!(
            "once that broker runs and its replica is in sync, 'mq-broker drain {leader}' gives it the \
             leadership; then repair this one"
        ),
    };
    Some(Error::new(Kind::BrokerState, text).cure(cure))
}

/// The replica with the most records, if it has more than the repair of the leader's would leave.
fn best_other<'a>(damaged: &Verified, observed: &[&'a Verified]) -> Option<&'a Verified> {
    let more = observed.iter().copied().filter(|other| {
        // An offline replica cannot lead.
        other.offline.is_none() && other.has_more_than(damaged)
    });
    let most = |other: &&Verified| -> Option<(LeaderEpoch, Offset)> { other.sound };
    more.max_by_key(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Covered;
    use crate::partition::Offline;
    use crate::types::TopicName;

    fn observe(broker: i32, sound: Option<(LeaderEpoch, Offset)>, log_end: Offset) -> Verified {
        Verified {
            tp: TopicPartition::new(TopicName::new("t").expect("a name"), 0),
            broker,
            follows: broker != 1,
            in_sync: true,
            findings: Vec::new(),
            covered: Covered::default(),
            offline: None,
            sound_end: sound.map_or(0, |(_, end)| end),
            sound,
            log_end,
            page_lost: false,
            bytes_behind: 0,
            sound_behind: 0,
            renewed: Vec::new(),
        }
    }

    #[test]
    fn what_another_replica_has_is_not_repaired_away() {
        let refusal = |leader: &Verified, other: &Verified| refused(leader, &[leader, other]);
        for (leader, other, is_refused) in [
            // All of it is there, or as much as the other has.
            (
                observe(1, Some((3, 100)), 100),
                observe(2, Some((3, 150)), 150),
                false,
            ),
            (
                observe(1, Some((3, 60)), 100),
                observe(2, Some((3, 60)), 60),
                false,
            ),
            (observe(1, Some((3, 60)), 100), observe(2, None, 0), false),
            // More of an epoch that this leader's log is beyond.
            (
                observe(1, Some((3, 60)), 100),
                observe(2, Some((2, 90)), 90),
                false,
            ),
            (
                observe(1, Some((3, 60)), 100),
                observe(2, Some((3, 61)), 61),
                true,
            ),
            (observe(1, None, 100), observe(2, Some((0, 1)), 1), true),
        ] {
            let e = refusal(&leader, &other);
            assert_eq!(e.is_some(), is_refused, "{leader:?} {other:?}");
            let e = e.or_else(|| refused(&other, &[&leader, &other]));
            assert_eq!(e.is_some(), is_refused, "{leader:?} {other:?}");
        }
        let lost = Verified {
            page_lost: true,
            ..observe(1, Some((3, 60)), 60)
        };
        let mut other = observe(2, Some((3, 61)), 61);
        assert!(refusal(&lost, &other).is_some());
        other.offline = Some(Offline::SyncFailed);
        assert!(refusal(&lost, &other).is_none(), "it cannot lead");
        assert!(refused(&other, &[&lost, &other]).is_some(), "it is kept");
    }
}
