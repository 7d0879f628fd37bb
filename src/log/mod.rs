//! One partition replica: a directory of segments, with indexes to search them and epochs to check
//! them.
//!
//! Invariant: nothing here knows topics, processes or locks. Callers hold the append lock, pass the
//! committed range ([`Tail`]), and publish what they get back.
//!
//! A segment is a file of record batches back to back, named by its first offset; a closed segment
//! ends at the next one's base offset, whatever its length. The offset index and the time index
//! beside it are disposable: without them the results are the same, only slower.

mod appender;
pub(crate) mod compaction;
mod divergence;
mod epoch_checkpoint;
mod epoch_fit;
mod file_name;
mod log_start_checkpoint;
mod lookup;
mod offset_index;
mod partition_metadata;
mod recovery;
mod segments;
mod tail;
mod temporary_file;
#[cfg(test)]
mod tests;
mod time_index;
mod unsynced_rewrite;
mod verify;
mod walk;

pub use appender::{Appender, RollLimits, begins_with_a_batch};
pub use divergence::divergence;
pub use epoch_checkpoint::LeaderEpochs;
pub use epoch_fit::{KnownEpochs, epochs_instead, epochs_that_fit, latest_epochs_fit};
pub use file_name::{FileKind, SegmentFile};
pub use log_start_checkpoint::{
    CLEANED_FILE, DELETIONS_FILE, LOG_START_FILE, log_start_text, parse_log_start,
};
pub use lookup::{first_not_older, first_timestamp, header_at, largest_timestamp, locate};
pub use partition_metadata::PartitionMetadata;
pub use recovery::{Cut, RecoverFrom, Recovered, adopt, recover};
pub use segments::{Segments, damaged, sync_failed};
pub use tail::{LastBatch, LogPosition, Tail};
pub use unsynced_rewrite::{begin_if_lost, copy_from, last_sound_place};
pub use verify::{Covered, Finding, behind_indexes, verify};
pub use walk::{WalkFrom, next_sound_batch, out_of_place, sound_records_behind, walk};
