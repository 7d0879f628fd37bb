//! One partition replica: a directory of segments and what makes them searchable and sound.
//!
//! Invariant: nothing here knows topics, processes or locks. Callers hold the append lock, say
//! from where to where bytes are committed ([`Tail`]), and publish what they get back.
//!
//! A segment is a file of record batches back to back, named by its first offset; a closed segment
//! ends at the next one's base offset, whatever its length. The offset index and the time index
//! beside it are disposable: delete them, and the same answers come, slower.

mod appender;
mod divergence;
mod epoch_fit;
mod epochs;
mod file_name;
mod lookup;
mod metadata;
mod offset_index;
mod recovery;
mod rescue;
mod segments;
mod tail;
#[cfg(test)]
mod tests;
mod time_index;
mod unfinished;
mod verify;
mod walk;

pub use appender::{Appender, RollLimits, begins_with_a_batch};
pub use divergence::divergence;
pub use epoch_fit::{KnownEpochs, epochs_instead, epochs_that_fit, latest_epochs_fit};
pub use epochs::LeaderEpochs;
pub use file_name::{FileKind, SegmentFile};
pub use lookup::{Located, first_not_older, header_at, locate};
pub use metadata::PartitionMetadata;
pub use offset_index::OffsetIndexEntry;
pub use recovery::{Cut, RecoverFrom, Recovered, adopt, recover};
pub use rescue::{begin_if_lost, copy_from, epochs_of_batches, last_sound_place};
pub use segments::{Segments, damaged, sync_failed};
pub use tail::{LastBatch, Place, Tail};
pub use time_index::TimeIndexEntry;
pub use verify::{Covered, Finding, behind_indexes, verify};
pub use walk::{
    Break, WalkFrom, Walked, next_sound_batch, out_of_place, sound_batch_behind,
    sound_records_behind, walk,
};
