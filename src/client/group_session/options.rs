//! How a program reads for a group.

use std::time::Duration;

use super::orders::CommitWhen;
use super::starts::Began;
use crate::client::ReadFrom;
use crate::client::offset_spec::PointRange;
use crate::group::{Assignor, Subscription};

/// How to read for a group.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// The group's name.
    pub group: String,
    /// What to read.
    pub subscription: Subscription,
    /// How partitions are to be shared out; `None`: as the group does it.
    pub assignor: Option<Assignor>,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// How long the heartbeat may stand still, and a static member be away.
    pub session_timeout: Duration,
    /// When to commit.
    pub commit: CommitWhen,
    /// How often.
    pub interval: Duration,
    /// Where to begin where nothing is committed, and where to end.
    pub range: PointRange,
    /// Whether to end at the ends that there are now.
    pub to_end: bool,
    /// What there was when the command began, for one that waits before it joins; `None`: it begins
    /// now.
    pub began: Option<Began>,
    /// Which replicas are read. The [`super::Consumer`] that the readers are assigned to follows
    /// the same.
    pub read_from: ReadFrom,
    /// Whether a member that is done (`to_end`, or the end of `range`) commits at once and waits for
    /// the others; else it waits for nobody.
    pub commits_when_done: bool,
    /// How long a partition that is to move waits for what was handed out to be delivered. `None`:
    /// as long as it takes.
    pub settle: Option<Duration>,
    /// Bounds each wait for the group's lock.
    pub lock_timeout: Duration,
}
