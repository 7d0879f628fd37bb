//! Brokers by their files: the registration, the log directory and the claim on it, liveness, and
//! the failures that clients reported.

mod broker_file;
pub mod claim;
pub mod failure_reports;
mod liveness;
pub mod log_dir;
mod log_dir_handle;
mod meta_properties;
mod slow_disks;

pub use broker_file::BrokerFile;
pub use claim::{Claimed, check, claim_empty, claim_own, refuse_gone, try_place, unclaim};
pub use failure_reports::report;
pub use liveness::Liveness;
pub use log_dir_handle::LogDir;
pub(crate) use meta_properties::MetaProperties;
pub(crate) use slow_disks::{Late, Unanswered};
