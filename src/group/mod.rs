//! Consumer groups: which member reads which partition, and up to where it was read.
//!
//! ```text
//! groups/GROUP/lock.N/N     fenced lock: taken for every change of what follows
//!              group.json   epoch, settings, members (group_file)
//!              members/ID   a member's liveness lock and heartbeat (member_file)
//!              offsets.log  committed offsets, one line a commit (offsets_line, offsets_log)
//!              offsets.INODE.sync   one sync of it for all that wait (offsets_sync)
//! ```
//!
//! 1. A lock proves that a member is alive; its authority is its epoch in `group.json`, which each
//!    commit checks under the group's lock.
//! 2. A commit is acknowledged when its line is on disk, and if the lock it was written under was
//!    not broken meanwhile: no later holder can then have missed it.
//! 3. Offsets go back only by `reset`, `undo` and `delete`, which are refused while a member
//!    is alive.
//!
//! Invariant: knows neither brokers nor controllers, and no client.

mod assignor;
mod change;
mod command_file;
mod configs;
mod describe;
mod directory;
mod expiry;
#[cfg(test)]
pub(crate) mod fixture;
mod group_file;
mod group_handle;
mod history;
mod live_members;
mod lost_log;
mod machine;
mod member_file;
mod membership;
mod offset_check;
mod offsets_line;
mod offsets_log;
mod offsets_state;
mod offsets_sync;
mod state;
mod subscription;
mod undo;

pub use assignor::Subscriber;
pub use assignor::{Assignment, Assignor, assign};
pub use change::{CommitEntry, OffsetChange, commit, commit_places, delete, delete_offsets, reset};
pub use command_file::{CommandFile, running_command};
pub use configs::{alter_configs, check_config_name, check_config_value, config_names, configs};
pub use describe::{
    GroupDescription, GroupSummary, MemberDescription, OffsetDescription, committed_offsets,
    describe, summarize,
};
pub use directory::{list, list_all, unknown};
pub use group_file::RETENTION_MINUTES_DEFAULT;
pub use group_file::TopicPartitions;
pub use history::{findings, history};
pub use machine::{GroupEffect, GroupEvent, Refusal, step};
pub use member_file::MemberHeartbeat;
pub use membership::JoinOptions;
pub use membership::{Membership, Suspect, owned_by};
pub use offset_check::{OffsetCheck, beyond, check_offset};
pub use offsets_line::{LINE_BYTES_MAX, Line, LineKind, OffsetsEntry};
pub use offsets_state::{Committed, OffsetsState};
pub use state::{GroupState, MemberState, TopicState, Topics};
pub use subscription::{Matcher, Naming, Subscription};
pub use undo::{Undo, clone_offsets, plan_undo, undo};
