//! Brokers: which are alive, which is the controller, and what a daemon does for the partitions.
//!
//! Invariant: nothing here is needed to produce or consume. Whatever state a dead daemon leaves,
//! the next daemon can continue from it, and clients can work without one.

mod controller;
mod daemon;
mod health;
mod locks;
mod maintenance;
mod membership;
mod notice;
mod notify_once;
pub mod placement;
mod replication;

pub use controller::{
    ControllerFile, LeadershipTransfer, Terms, TransferProgress, UncleanElection, elect_unclean,
    move_leaders, move_to_preferred, plan_unclean, shutdown_progress,
};
pub use daemon::{Daemon, Ready, StopRequest};
pub use health::{Health, health};
pub use locks::held_locks;
pub use membership::{
    BrokerOptions, BrokerStatus, broker_holder, broker_status, candidates, led_by, set_drained,
    shares, unregister,
};
pub use notice::Notice;
pub use placement::Wanted;
