//! Brokers: who runs, who is the controller, and what a daemon does for the partitions.
//!
//! Invariant: nothing here is needed to produce or consume. A daemon that dies leaves nothing that
//! the next one, or no one, could not go on from.

mod care;
mod caretaker;
mod control_loop;
mod controller;
mod controller_file;
mod daemon;
mod election;
mod heartbeat;
mod leftovers;
mod life_lock;
mod liveness;
mod locks;
mod membership;
mod new_broker;
mod registration;
mod status;

pub use controller_file::ControllerFile;
pub use daemon::{Daemon, Ready, Stop, Told};
pub use life_lock::Holder;
pub use liveness::Liveness;
pub use locks::{LockKindName, LockRow, held_locks};
pub use membership::{Member, Membership, Settle};
pub use registration::{BrokerOptions, set_drained};
pub use status::{
    BrokerStatus, ControllerStatus, Share, broker_holder, broker_status, led_by, shares,
};
