//! Retention: old segments are removed by age and by size, as the topic's configs say.
//!
//! ```text
//! plan           which segments go, and when the next one does: no I/O
//! segment_facts  sizes and ages of a log's segments
//! pass           removes them, on the partition's leader
//! cleanup_file   cleanup.json: what the last pass did, for `describe`
//! ```
//!
//! Whole segments go only, the oldest first, and none above the high watermark. Nothing is removed by
//! age while the wall clock is not believed ([`super::ClockNote`]).

mod cleanup_file;
mod pass;
mod plan;
mod segment_facts;

pub use cleanup_file::CleanupFile;
pub use pass::{Pass, remove_old};
pub use plan::{FutureSegment, NextRemoval, RetentionLimits, RetentionPlan};
pub use segment_facts::retention_plan;
