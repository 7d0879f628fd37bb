//! What the tools use of a replica's files, to show and to repair them.

pub use crate::log::{FileKind, SegmentFile, Segments, next_sound_batch};
pub use crate::partition::{LogEdges, Offline, PAGE_FILE, PartitionReader, Replica};
