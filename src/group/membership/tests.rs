//! Members of one group, side by side in one process.

mod files;
mod hangs;
mod reconciliation;
mod statics;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::disk::Open;
use crate::error::Kind;
use crate::group::change::{CommitEntry, delete, reset};
use crate::group::fixture::{Fixture, LONG, create, named, options, place, topic};
use crate::group::subscription::Naming;
use crate::group::{OffsetsEntry, committed_offsets, describe};
use crate::types::PartitionId;

/// The partitions that a member owns, its topics' names without their dashes.
fn owned(member: &Membership) -> Vec<String> {
    let me = member.me().expect("in the group");
    me.owned.iter().map(ToString::to_string).collect()
}

/// The partitions that it must release.
fn surplus(member: &Membership) -> BTreeSet<TopicPartition> {
    let me = member.me().expect("in the group");
    me.owned.difference(&me.target).cloned().collect()
}

fn tp(partition: PartitionId) -> TopicPartition {
    TopicPartition::new(topic(), partition)
}

fn at(member: &Membership, place: &Fixture, partition: PartitionId) -> Option<i64> {
    let committed = member.committed(&tp(partition), place.topic_id);
    committed.map(|committed| committed.offset)
}

/// Refreshes, after the required pause.
fn observe(member: &mut Membership) -> Result<bool> {
    while let Some(pause) = member.refresh_due()?
        && !pause.is_zero()
    {
        member.store.clock().sleep(pause);
    }
    member.refresh()
}

/// Every member refreshes, releases its surplus and takes its partitions, until all have settled.
fn settle(members: &mut [&mut Membership]) {
    for _ in 0..3 {
        for member in members.iter_mut() {
            observe(member).expect("refresh");
            member.assign().expect("assign");
            let surplus = surplus(member);
            if !surplus.is_empty() {
                member.release(surplus, Vec::new()).expect("release");
            }
        }
    }
    for member in members.iter_mut() {
        observe(member).expect("refresh");
        assert_eq!(member.state().name(), "Stable");
    }
}
