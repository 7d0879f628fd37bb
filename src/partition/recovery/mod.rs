//! Recovery of a replica: before the next append, what is found is finished, adopted, truncated or
//! rewritten.

mod decision;
mod lost_state;
mod repair;
mod replica_recovery;
mod start_adoption;
mod truncate;

pub(crate) use lost_state::{open_replica, remove_lost};
pub(crate) use replica_recovery::ReplicaRecovery;
pub(crate) use truncate::given_up;
