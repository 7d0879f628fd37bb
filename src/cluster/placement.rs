//! Which brokers get the replicas of a topic's partitions. Pure: no I/O, no randomness.
//!
//! 1. Leaders rotate: if the number of partitions is a multiple of the number of brokers, each
//!    broker is the preferred leader of equally many.
//! 2. The replicas of a partition are on as many racks as possible; if there are more replicas than
//!    racks, equally many are on each rack, as far as it has brokers.
//! 3. If every rack has equally many brokers, each broker gets equally many replicas of such a
//!    number of partitions (KIP-36). From round to round a leader has other followers, so that the
//!    load of a dead broker spreads over many.
//! 4. A drained broker gets a replica only if the others are too few, and leads only if all are
//!    drained.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, PartitionId};

/// A broker that may get replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub id: BrokerId,
    /// Its rack. Brokers without one share a rack.
    pub rack: Option<String>,
    /// Whether it gets only what no other broker can take.
    pub drained: bool,
}

/// What to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The first partition's number: above 0 if partitions are added.
    pub first: PartitionId,
    /// The number of partitions.
    pub partitions: PartitionId,
    /// The number of replicas of each.
    pub replication_factor: usize,
    /// The position in the round for partition 0: any number for a new topic; for an existing
    /// topic, the position of partition 0's preferred leader ([`place_of`]).
    pub start: usize,
}

/// The brokers of each partition, its preferred leader first.
///
/// # Errors
/// [`Kind::BrokerState`] (INVALID_REPLICATION_FACTOR) for more replicas than brokers, or none.
pub fn place(candidates: &[Candidate], wanted: Wanted) -> Result<Vec<Vec<BrokerId>>> {
    let ids: Vec<_> = candidates.iter().map(|candidate| candidate.id).collect();
    check_factor(&ids, wanted.replication_factor)?;
    let (willing, drained) = rings(candidates);
    let (ring, rest) = if willing.is_empty() {
        (drained, Vec::new())
    } else {
        (willing, drained)
    };
    let of_ring = wanted.replication_factor.min(ring.len());
    let first = usize::try_from(wanted.first).unwrap_or(0);
    let count = usize::try_from(wanted.partitions).unwrap_or(0);
    let placed = (first..first + count).map(|partition| {
        let turn = wanted.start + partition;
        let mut brokers = around(&ring, turn, of_ring);
        brokers.extend(around(&rest, turn, wanted.replication_factor - of_ring));
        brokers
    });
    Ok(placed.collect())
}

/// A broker's position in the round; 0 for one that is not in it.
pub fn place_of(candidates: &[Candidate], leader: BrokerId) -> usize {
    let (willing, drained) = rings(candidates);
    let ring = if willing.is_empty() { drained } else { willing };
    let mut places = ring.iter();
    places.position(|broker| broker.id == leader).unwrap_or(0)
}

/// Refuses a replication factor that these brokers, which may get replicas, cannot carry.
///
/// # Errors
/// [`Kind::BrokerState`].
pub fn check_factor(able: &[BrokerId], replication_factor: usize) -> Result<()> {
    if (1..=able.len()).contains(&replication_factor) {
        return Ok(());
    }
    let able = match able {
        [one] => format!("only broker {one} can take one now"),
        _ => {
            let names: Vec<_> = able.iter().map(BrokerId::to_string).collect();
            format!("{} can take one now: {}", able.len(), names.join(", "))
        }
    };
    Err(Error::new(
        Kind::BrokerState,
        format!(
            "INVALID_REPLICATION_FACTOR: {replication_factor} replicas need as many live brokers, \
             and {able}"
        ),
    )
    .cure("start more with 'mq-broker start --id N', or ask for fewer replicas"))
}

/// The brokers that take replicas and the drained ones, each in the order of their turns:
/// neighbours are on different racks, as far as possible.
fn rings(candidates: &[Candidate]) -> (Vec<&Candidate>, Vec<&Candidate>) {
    let ring = |drained| {
        let mut racks: BTreeMap<Option<&str>, Vec<&Candidate>> = BTreeMap::new();
        for broker in candidates.iter().filter(|c| c.drained == drained) {
            racks
                .entry(broker.rack.as_deref())
                .or_default()
                .push(broker);
        }
        let mut turns: Vec<(usize, Option<&str>, &Candidate)> = Vec::new();
        for (rack, mut brokers) in racks {
            brokers.sort_unstable_by_key(|broker| broker.id);
            turns.extend(
                (brokers.into_iter().enumerate()).map(|(turn, broker)| (turn, rack, broker)),
            );
        }
        turns.sort_by_key(|(turn, rack, _)| (*turn, *rack));
        turns.into_iter().map(|(_, _, broker)| broker).collect()
    };
    (ring(false), ring(true))
}

/// `count` brokers of a ring, beginning with the one whose turn it is.
fn around(ring: &[&Candidate], turn: usize, count: usize) -> Vec<BrokerId> {
    let len = ring.len();
    if len == 0 || count == 0 {
        return Vec::new();
    }
    // The leader's followers begin one further on in each round.
    let shift = turn / len;
    let order = std::iter::once(0).chain((0..len - 1).map(|at| 1 + (shift + at) % (len - 1)));
    let mut left: Vec<&Candidate> = order
        .filter_map(|step| ring.get((turn + step) % len).copied())
        .collect();
    let mut used: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !left.is_empty() {
        let on_rack = |broker: &&Candidate| used.get(&broker.rack.as_deref()).copied();
        // The first of equals: initially the leader.
        let Some((at, _)) = (left.iter().enumerate())
            .min_by_key(|(at, broker)| (on_rack(broker).unwrap_or(0), *at))
        else {
            break;
        };
        let broker = left.remove(at);
        *used.entry(broker.rack.as_deref()).or_default() += 1;
        chosen.push(broker.id);
    }
    chosen
}

#[cfg(test)]
mod tests;
