//! Brokers: who runs, who is the controller, and what a daemon does for the partitions.
//!
//! Invariant: nothing here is needed to produce or consume. A daemon that dies leaves nothing that
//! the next one, or no one, could not go on from.

mod care;
mod caretaker;
mod control;
mod controller;
mod controller_file;
mod daemon;
mod election;
mod heartbeat;
mod leftovers;
mod life_lock;
mod locks;
mod moves;
mod registration;

pub use control::{Changed, Controller, Raise, Standing};
pub use controller::Me;
pub use controller_file::ControllerFile;
pub use daemon::{Daemon, Ready, Stop, Told};
pub use life_lock::Holder;
pub use locks::{LockKindName, LockRow, held_locks};
pub use moves::{Authority, Move, Mover};
pub use registration::{
    BrokerOptions, BrokerStatus, ControllerStatus, broker_holder, broker_status,
};
