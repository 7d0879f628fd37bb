//! How a member joins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::group::assignor::Assignor;
use crate::group::subscription::Subscription;
use crate::types::{Offset, TopicName, Uuid};

/// How to join a group.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// What to read.
    pub subscription: Subscription,
    /// How partitions are to be assigned; `None`: as the group does it.
    pub assignor: Option<Assignor>,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// How long the heartbeat may not move, and a static member may be away.
    pub session_timeout: Duration,
    /// Where this member ends: each topic's offsets, from partition 0. `None`: it follows.
    pub ends: Option<BTreeMap<TopicName, Vec<Offset>>>,
    /// The ids of the topics that existed when the command of this member began; `None`: those that
    /// exist now.
    pub began_with: Option<BTreeSet<Uuid>>,
    /// Bounds each wait for the group's lock.
    pub lock_timeout: Duration,
}
