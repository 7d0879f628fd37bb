//! `kill -9` at each system call that changes the store: of each command that does, and of the
//! daemons of a cluster.

#[macro_use]
#[path = "../common/proc.rs"]
mod proc;
#[path = "../common/kill_sweep.rs"]
mod kill_sweep;
#[path = "../common/sweep.rs"]
mod sweep;

mod cluster;
mod commands;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One sweep at a time: what has to be over in seconds has the machine for itself.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
