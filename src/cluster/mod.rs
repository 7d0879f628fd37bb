//! Brokers: who runs, who is the controller, and what a daemon does for the partitions.
//!
//! Invariant: nothing here is needed to produce or consume. A daemon that dies leaves nothing that
//! the next one, or no one, could not go on from.

mod approach;
mod candidates;
mod care;
mod caretaker;
mod changed;
mod control;
mod control_loop;
mod controller;
mod controller_file;
mod daemon;
mod elect;
mod election;
mod fetcher;
mod hand_over;
mod health;
mod heartbeat;
mod lane;
mod leftovers;
mod locks;
mod membership;
mod moves;
mod new_broker;
pub mod placement;
mod registration;
mod room;
mod schedule;
mod status;
mod sweeper;
mod told_once;
mod unregister;

pub use candidates::candidates;
pub use control::{Changed, Controller, Raise, Standing};
pub use controller::Me;
pub use controller_file::ControllerFile;
pub use daemon::{Daemon, Ready, Stop, Told};
pub use elect::{UncleanElection, elect_unclean, move_to_preferred, plan_unclean};
pub use hand_over::{moves_away, to_hand_over};
pub use health::{Amiss, Health, Trouble, health, health_but_modes};
pub use locks::{LockKindName, LockRow, held_locks};
pub use membership::{Member, Membership, Settle};
pub use moves::{
    Authority, Move, Mover, Planned, Progress, STALLED_AFTER, Terms, Witness, move_leaders,
};
pub use registration::{BrokerOptions, set_drained};
pub use status::{
    BrokerStatus, ControllerStatus, Share, broker_holder, broker_status, led_by, shares,
};
pub use unregister::unregister;

pub use crate::store::Liveness;
pub use crate::store::life_lock::Holder;
