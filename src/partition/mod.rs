//! One replica of a partition, shared by processes through its state page.
//!
//! ```text
//! state_page     partition.state: what is published, and the file that the append lock is on
//! replica        a handle on one replica directory
//! append/        the writer and group commit
//! read/          reading without a lock
//! log_start/     the log start rises, and what lies below is removed
//! retention/     old segments are removed by age and size
//! compaction/    values that a later record of their key replaces are left out
//! recovery/      what a dead writer, a power cut or a failed sync left behind
//! replication/   the follower, the high watermark, the in-sync set, the seal, leader epochs
//! ```
//!
//! Invariant: a batch is neither readable nor acknowledged until the state page includes it.

mod append;
mod clock_note;
pub mod compaction;
mod dir_sync;
mod end_of_files;
mod expected_replica;
mod first_use;
mod log_snapshot;
mod log_start;
mod read;
mod recovery;
mod removal;
mod replica;
mod replication;
mod retention;
mod state_page;
mod timed_reads;

pub use append::{Appended, Committer, PartitionWriter, SYNC_FILE, confirm, needs_key};
pub use clock_note::{ClockNote, ClockVerdict};
pub(crate) use first_use::follow;
pub use first_use::{first_follower_reader, first_reader};
pub use log_start::{RaisedStart, Removed, raise_log_start};
pub use read::{LogEdges, PartitionReader};
pub(crate) use recovery::remove_lost;
pub(crate) use removal::remove_dir;
pub use removal::remove_flat;
pub(crate) use replica::RETRY;
pub use replica::{AppendGuard, Replica};
pub use replication::{
    Ahead, Claim, Extents, Followed, Follower, InSync, Joining, Known, Sealed, Shown, Watermark,
    begin_epoch, raise_epoch, raise_epochs,
};
pub use retention::{
    CleanupFile, FutureSegment, NextRemoval, Pass, RetentionLimits, RetentionPlan, remove_old,
    retention_plan,
};
pub use state_page::{Intent, Offline, PAGE_FILE, Role, Seal, StatePage};
pub use timed_reads::until_answered;
