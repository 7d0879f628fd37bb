//! Appending: the writer takes the append lock, checks what it believes, writes, and publishes last;
//! the committer makes batches durable, one sync for all that wait.

mod commit_note;
mod committer;
mod confirm;
mod sync_lock;
mod writer;

pub use commit_note::{CommitNote, SYNC_FILE, SyncNotes};
pub use committer::Committer;
pub use confirm::confirm;
pub use writer::{Appended, PartitionWriter};
