//! The log start rises: by a trim, by retention, or because the leader's rose.
//!
//! The log start in the leader's state page is the one answer to where a log starts. What lies below
//! it is no log: it is neither read nor verified, repaired or reported.
//!
//! 1. What the new start lies in is durable first; an active segment that is to go is rolled.
//! 2. The checkpoint of the new start is written and synced under a temporary name.
//! 3. In one hold of the append lock, on a page in order, the checkpoint is renamed into place and the
//!    page published. It begins no new generation, since no published byte moves.
//! 4. Page and directory are synced.
//! 5. Only then segments are removed, by name and without a lock, the log file last. No segment with
//!    such a base is ever made again: new ones begin at the log's end.
//!
//! A process that is killed in between leaves segments below the start, which the next raise removes, or
//! a checkpoint above the page's start, which a first use adopts. A full disk costs the checkpoint only.

mod checkpoint;
mod prepared;
mod raise;

pub use prepared::Removed;
pub(crate) use prepared::{PreparedStart, Published, remove_below};
pub use raise::{RaisedStart, raise_log_start};
