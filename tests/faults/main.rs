//! Faults in sweeps: at each system call a process is killed or stopped, or the call fails; and three
//! brokers under faults at random.
//!
//! A runner of its own, since the others' tests would disturb it: what follows a fault has to be over in
//! seconds, so that each sweep, which keeps two processors busy, has the machine for itself ([`alone`]).

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod failover;
mod fencing;
mod kills;
mod kills_of_members;
mod machine;

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{cli, kill_sweep, mounts, proc, sweep, tally};

/// One sweep at a time: what has to be over in seconds has the machine for itself.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
