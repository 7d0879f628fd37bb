//! Faults in sweeps: at each system call a process is killed or stopped, or the call fails; and three
//! brokers under faults at random.
//!
//! A runner of its own, since the others' tests would disturb it: what follows a fault has to be over in
//! seconds. A sweep that keeps two processors busy has the machine for itself ([`alone`]); sweeps that
//! mostly wait run at the same time ([`beside_others`]).

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod failover;
mod fencing;
mod kills;
mod kills_of_members;
mod machine;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use common::{cli, kill_sweep, mounts, proc, sweep, tally};

static MACHINE: RwLock<()> = RwLock::new(());

/// For a test that keeps the processors busy, or that counts what happens in a time: no other sweep
/// runs beside it.
fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// For a sweep that spends most of its time waiting (for a lock's timeout, an election, a stopped
/// process): other such sweeps run beside it.
fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}
