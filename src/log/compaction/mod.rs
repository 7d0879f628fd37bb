//! Compaction of one replica's closed segments: values that a later record of their key replaces are
//! left out.
//!
//! ```text
//! siphash      keys are compared by a keyed hash of 128 bits
//! key_map      the last offset of each key, within a bound of memory
//! retention    which records stay
//! cleaned      a segment's new files, while they are written and until they are put in place
//! rewrite      a segment, or several small neighbours, written again
//! ```
//!
//! Invariant: nothing here changes a file of the log. What is written has names of its own, and is
//! durable before [`CleanedSegment::put_in_place`] renames it, which the caller does under its locks.

mod cleaned;
mod key_map;
mod retention;
mod rewrite;
mod siphash;
#[cfg(test)]
mod tests;

pub(crate) use cleaned::remove_joined;
pub use cleaned::{CleanedSegment, remove_orphans};
pub use key_map::KeyMap;
pub use retention::{CleanCounts, RetainRules};
pub use rewrite::{SegmentRun, map_keys, rewrite, timestamps};
