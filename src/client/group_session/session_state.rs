//! What the program's thread and the membership thread share.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::orders::{End, Generation, Order};
use crate::disk::{Dir, File};
use crate::error::Result;
use crate::store::layout;
use crate::types::Uuid;

/// What the caller and the membership thread exchange.
pub(crate) struct SessionState {
    pub(crate) orders: Mutex<VecDeque<Order>>,
    pub(crate) has_orders: AtomicBool,
    /// How often the caller checks for records by itself, microseconds, while the membership thread
    /// waits for a lock or the disk; 0: it waits for neither.
    pub(crate) busy_tick_us: AtomicU32,
    pub(crate) reported: Mutex<CallerReports>,
    pub(crate) replied: Condvar,
    pub(crate) wake_caller: Box<dyn Fn() + Send + Sync>,
    pub(crate) poke: UnixStream,
    /// The group that the membership thread last acted on.
    pub(crate) seen: Mutex<Option<Seen>>,
}

/// A state of a group.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) member: Uuid,
    pub(crate) dir: Arc<dyn Dir>,
    /// The `group.json` of that state, open.
    pub(crate) file: Arc<dyn File>,
}

/// The caller's notices that the membership thread has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct CallerReports {
    pub(crate) stopped: Vec<Generation>,
    pub(crate) broken: Vec<Generation>,
    pub(crate) idle: bool,
    /// Whether records are handed out, if that changed.
    pub(crate) moving: Option<bool>,
    pub(crate) ended: Option<End>,
    pub(crate) interrupted: bool,
    pub(crate) commits: Vec<Arc<PendingCommit>>,
    /// The one assignment that the caller is at work on; it reads no other meanwhile.
    pub(crate) works_on: Option<Generation>,
}

/// A commit that a caller waits for, and its outcome: each call has its own.
#[derive(Debug, Default)]
pub(crate) struct PendingCommit(pub(crate) Mutex<Option<Result<()>>>);

impl std::fmt::Debug for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionState").finish_non_exhaustive()
    }
}

impl SessionState {
    /// Answers all callers that wait for a commit.
    pub(crate) fn answer(&self, commits: Vec<Arc<PendingCommit>>, outcome: &Result<()>) {
        // Under the lock: a thread that is about to wait either sees the outcome or is woken.
        let reported = lock(&self.reported);
        for ticket in commits {
            *lock(&ticket.0) = Some(outcome.clone());
        }
        drop(reported);
        self.replied.notify_all();
    }

    pub(crate) fn take_commits(&self) -> Vec<Arc<PendingCommit>> {
        std::mem::take(&mut lock(&self.reported).commits)
    }

    pub(crate) fn seen_is_current(&self) -> bool {
        let seen = lock(&self.seen);
        seen.as_ref().is_none_or(|seen| {
            let named = seen.dir.identity(layout::GROUP_FILE);
            let is_same = named.and_then(|named| seen.file.is(named));
            is_same.is_ok_and(|is_it| is_it)
        })
    }

    pub(crate) fn order(&self, order: Order) {
        self.order_all([order]);
    }

    /// Gives orders that belong together: the caller sees all of them or none.
    pub(crate) fn order_all(&self, orders: impl IntoIterator<Item = Order>) {
        lock(&self.orders).extend(orders);
        self.has_orders.store(true, Ordering::Release);
        (self.wake_caller)();
    }

    pub(crate) fn poke_membership_thread(&self) {
        // A full socket wakes as well.
        let _ = (&self.poke).write(&[1]);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
