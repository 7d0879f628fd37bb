//! How a program reads for a group.

use std::time::Duration;

use super::orders::CommitWhen;
use super::starts::Began;
use crate::client::ReadFrom;
use crate::client::unresolved_offset::UnresolvedRange;
use crate::group::{Assignor, Subscription};

/// How to read for a group.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// The group's name.
    pub group: String,
    /// What to read.
    pub subscription: Subscription,
    /// How partitions are shared out; `None`: the group's assignor.
    pub assignor: Option<Assignor>,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// How long the heartbeat may stand still, and a static member be away.
    pub session_timeout: Duration,
    /// When to commit.
    pub commit: CommitWhen,
    /// The interval of the commits.
    pub interval: Duration,
    /// Where to begin if no offset is committed, and where to end.
    pub range: UnresolvedRange,
    /// Whether to end at the present ends.
    pub to_end: bool,
    /// What existed when the command began, for a command that waits before it joins; `None`: it
    /// begins now.
    pub began: Option<Began>,
    /// Whether the membership ends with an error if records were removed before the group read them,
    /// instead of going on at the log start.
    pub fails_on_missed: bool,
    /// Which replicas are read. The [`Consumer`](crate::client::Consumer) that the readers are assigned to follows
    /// the same.
    pub read_from: ReadFrom,
    /// Whether a member that is done (`to_end`, or the end of `range`) commits at once and waits
    /// for the others; else it does not wait.
    pub commits_when_done: bool,
    /// How long a partition that goes to another member waits until its handed-out records are
    /// delivered. `None`: without limit.
    pub settle: Option<Duration>,
    /// Bounds each wait for the group's lock.
    pub lock_timeout: Duration,
}
