//! Compaction: in closed segments, values that a later record of their key replaces are left out.
//!
//! ```text
//! limits       how far a pass may go, and whether one is due
//! lock         compact.lock: one pass at a time
//! checkpoints  how far a log is compacted, and up to where deletions were left out
//! dirty        which part of a log no compaction has seen
//! closing      the active segment is closed, and the durable place moved behind it
//! swap         a rewritten segment is put in place
//! pass         one pass over a replica's log
//! noted_pass   a pass, and the note of it
//! ```
//!
//! 1. A pass takes closed segments only, wholly below the durable place, the high watermark and the last
//!    stable offset. **What replaces a value is on disk before the value goes.**
//! 2. Segments are written again under other names, oldest first, and put in place one by one. After each
//!    call the log is whole, so there is no intent: a killed pass leaves files that the next one removes.
//! 3. A new generation is published before and after a swap. It is swapped only if the generation is still
//!    that of its start, under the sync lock (no commit is under way) and the append lock.
//! 4. A deletion of a key goes only once all older segments are compacted, and `delete.retention.ms` after
//!    the pass that first saw it. The page then says up to where deletions are gone, so that a log that
//!    ends below is not continued.

mod checkpoints;
mod closing;
mod dirty;
mod limits;
mod lock;
mod noted_pass;
mod pass;
mod swap;

pub use dirty::{DirtyPart, dirty_part};
pub use limits::is_worth_a_pass;
pub use lock::COMPACT_LOCK;
pub use noted_pass::pass;
pub use pass::{Compacted, Effort, PassStatus, Progress};
