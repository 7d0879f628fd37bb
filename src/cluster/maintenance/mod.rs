//! A daemon's maintenance of the logs that its broker leads: recovery, syncs, retention, compaction, and the
//! removal of unused directories.

mod compactor;
mod log_manager;
mod maintained_partition;
mod orphans;
mod policy;
mod retention_due;
mod retention_thread;
mod schedule;
mod sweeper;

pub use compactor::{CompactedReplicas, Compactor};
pub use log_manager::LogManager;
pub use orphans::OrphanCollection;
pub(crate) use schedule::{Schedule, When};
pub use sweeper::Sweeper;
