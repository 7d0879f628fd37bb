//! What a membership asks of the program that reads for it, and what it hears.

use crate::error::Error;
use crate::partition::PartitionReader;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicPartition};

/// When a group's offsets are committed, besides by [`GroupSession::commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitWhen {
    /// After what was written out, now and then.
    AfterWrite,
    /// At the end, if that is a good one.
    OnExit,
    /// Never.
    Never,
}

/// One assignment of a partition: a partition that comes back has another.
pub type Generation = u64;

/// What the caller is to do, in this order.
#[derive(Debug)]
pub enum Order {
    /// Read this partition.
    Assign {
        /// Names this assignment in [`Delivery`] and [`GroupSession::stopped`].
        generation: Generation,
        /// Opened.
        reader: Box<PartitionReader>,
        /// The first offset.
        from: Offset,
        /// The end, if it has one.
        until: Option<Offset>,
        /// The end as a time that the clock has not passed.
        until_time: Option<Timestamp>,
    },
    /// Read that assignment up to there.
    Limit(Generation, TopicPartition, Offset),
    /// Stop reading that assignment, then say [`GroupSession::stopped`].
    Revoke(Generation, TopicPartition),
    /// Stop reading that assignment: it is over, and the partition may be another member's already.
    Lost(Generation, TopicPartition),
    /// Records that were to be read next are gone: the group goes on at the log start.
    Missed {
        /// The partition; it is assigned next.
        tp: TopicPartition,
        /// What is committed.
        from: Offset,
        /// The log start.
        to: Offset,
    },
    /// Leadership may have moved: [`super::Consumer::find_leaders`].
    Follow,
    /// Good to know.
    Note(String),
    /// To be looked at.
    Warn(String),
    /// Something cannot be read, a topic or a partition: what else there is goes on.
    Broken(Error),
    /// Everything this member was to wait for is done: call [`GroupSession::end`].
    Finished,
    /// The membership came to an end: call [`GroupSession::end`].
    Failed(Error),
}

/// How far a partition's records were delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Of which assignment.
    pub generation: Generation,
    /// All before that one.
    pub next: Offset,
    /// The epoch of the last of them; -1: unknown.
    pub leader_epoch: LeaderEpoch,
}

/// Knows how far the output was taken.
pub trait Delivery: Send + Sync + std::fmt::Debug {
    /// Looks anew; what was delivered since this was last asked, the last word of each assignment.
    fn take(&self) -> Vec<Delivered>;
    /// Whether everything that was handed out of that assignment is delivered.
    fn is_settled(&self, generation: Generation) -> bool;
    /// Whether everything that was handed out is delivered.
    fn is_all_settled(&self) -> bool;
    /// Whether nothing more will be: its reader is gone.
    fn is_closed(&self) -> bool;
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// It came to its end, and not by a signal or an error: what is under way to its reader is
    /// waited for.
    pub good: bool,
    /// With exit status 0: `on-exit` commits.
    pub exits_0: bool,
}
