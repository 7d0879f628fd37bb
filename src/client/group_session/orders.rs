//! What a membership orders its program to do, and what the program reports.

use crate::error::Error;
use crate::partition::PartitionReader;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicPartition};

/// When a group's offsets are committed, besides by [`GroupSession::commit`](crate::client::GroupSession::commit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitWhen {
    /// Periodically, for output already delivered.
    AfterWrite,
    /// At the end, if that is a good one.
    OnExit,
    /// Never.
    Never,
}

/// One assignment of a partition: a partition that comes back has another.
pub type Generation = u64;

/// Orders to the caller, to be carried out in this sequence.
#[derive(Debug)]
pub enum Order {
    /// Read this partition.
    Assign {
        /// Names this assignment in [`OutputProgress`] and [`GroupSession::stopped`](crate::client::GroupSession::stopped).
        generation: Generation,
        /// The open reader.
        reader: Box<PartitionReader>,
        /// The first offset.
        from: Offset,
        /// The end, if it has one.
        until: Option<Offset>,
        /// The end as a time that the clock has not passed.
        until_time: Option<Timestamp>,
    },
    /// Read that assignment up to this offset.
    Limit(Generation, TopicPartition, Offset),
    /// Stop reading that assignment, then call [`GroupSession::stopped`](crate::client::GroupSession::stopped).
    Revoke(Generation, TopicPartition),
    /// Stop reading that assignment: it is over, and the partition may be another member's already.
    Lost(Generation, TopicPartition),
    /// The next records were deleted before they were read: the group continues at the log start.
    Missed {
        /// The partition; it is assigned next.
        tp: TopicPartition,
        /// The committed offset; or where the group was to begin.
        from: Offset,
        /// The log start.
        to: Offset,
        /// The end of the partition, if it has one.
        until: Option<Offset>,
    },
    /// Leaders may have changed: call [`Consumer::find_leaders`](crate::client::Consumer::find_leaders).
    Follow,
    /// An information for the user.
    Note(String),
    /// A warning for the user.
    Warn(String),
    /// A topic or a partition cannot be read; the others continue.
    Broken(Error),
    /// Everything that this member waits for is done: call [`GroupSession::end`](crate::client::GroupSession::end).
    Finished,
    /// The membership has ended: call [`GroupSession::end`](crate::client::GroupSession::end).
    Failed(Error),
}

/// How far a partition's records were delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// The assignment.
    pub generation: Generation,
    /// All records before this offset.
    pub next: Offset,
    /// The epoch of the last of them; -1: unknown.
    pub leader_epoch: LeaderEpoch,
}

/// Knows how much of the output was taken.
pub trait OutputProgress: Send + Sync + std::fmt::Debug {
    /// What was delivered since the last call, the latest state of each assignment; it checks the
    /// output first.
    fn take(&self) -> Vec<Delivered>;
    /// Whether everything that was handed out of that assignment is delivered.
    fn is_settled(&self, generation: Generation) -> bool;
    /// Whether everything that was handed out is delivered.
    fn is_all_settled(&self) -> bool;
    /// Whether no more will be delivered: the output's reader is gone.
    fn is_closed(&self) -> bool;
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By a signal or an error.
    Aborted,
    /// It came to its end, but its exit status is not 0. The member waits until the output's reader
    /// has taken the rest.
    Finished,
    /// As [`End::Finished`], with exit status 0: `on-exit` commits.
    Succeeded,
}
