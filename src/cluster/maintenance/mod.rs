//! What a broker's daemon does for the logs that it leads: recovery, syncs, and the removal of what
//! nothing uses any more.

mod log_manager;
mod orphans;
mod policy;
mod schedule;
mod sweeper;

pub use log_manager::LogManager;
pub use orphans::OrphanCollection;
pub(crate) use schedule::{Schedule, When};
pub use sweeper::Sweeper;
