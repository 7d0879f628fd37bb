//! The gate that puts a Ctrl-Z off until no short lock is held: a stopped process keeps its locks,
//! and everyone else would wait for it.

use std::sync::{RwLock, RwLockReadGuard};

static GATE: RwLock<()> = RwLock::new(());

/// Held around every short lock.
#[derive(Debug)]
pub struct GateGuard {
    _inside: RwLockReadGuard<'static, ()>,
}

/// Comes in; waits while [`while_unlocked`] runs.
pub fn enter() -> GateGuard {
    // A poisoned gate guards no data: it goes on.
    GateGuard { _inside: GATE.read().unwrap_or_else(std::sync::PoisonError::into_inner) }
}

/// Waits until no short lock is held in this process, keeps new ones out, and runs `f`.
pub fn while_unlocked<T>(f: impl FnOnce() -> T) -> T {
    let _alone = GATE.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    f()
}
