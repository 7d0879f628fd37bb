//! Appending: the writer takes the append lock, verifies its assumptions, writes, and publishes
//! last; the committer makes batches durable, one sync for all waiting callers.

mod commit_note;
mod committer;
mod confirm;
mod key_check;
mod segment_roll;
mod sync_lock;
mod timestamps;
mod writer;

pub use commit_note::{CommitNote, SYNC_FILE, SyncNotes};
pub use committer::Committer;
pub use confirm::confirm;
pub use key_check::needs_key;
pub(crate) use segment_roll::begin_segment;
pub(crate) use sync_lock::{SyncHeld, SyncLock};
pub use writer::{Appended, PartitionWriter};
