//! What the tools use of brokers: the daemon, elections, transfers, registration, health.

pub use crate::cluster::{
    BrokerOptions, BrokerStatus, Daemon, Health, LeadershipTransfer, Notice, Ready, StopRequest,
    Terms, TransferProgress, UncleanElection, broker_holder, broker_status, elect_unclean, health,
    held_locks, led_by, move_leaders, move_to_preferred, plan_unclean, set_drained, shares,
    shutdown_progress, unregister,
};
pub use crate::store::brokers::claim::refuse_unusable;
pub use crate::store::{Holder, Liveness, try_place};
