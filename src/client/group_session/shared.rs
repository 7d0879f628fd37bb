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

/// What the caller and the keeper tell one another.
pub(crate) struct Shared {
    pub(crate) orders: Mutex<VecDeque<Order>>,
    pub(crate) has_orders: AtomicBool,
    /// How often the caller is to look, microseconds, while the keeper waits for a lock or the disk
    /// and sees nothing; 0: it waits for neither.
    pub(crate) busy_tick_us: AtomicU32,
    pub(crate) reported: Mutex<EndKnownBy>,
    pub(crate) replied: Condvar,
    pub(crate) wake_caller: Box<dyn Fn() + Send + Sync>,
    pub(crate) poke: UnixStream,
    /// The group as the keeper last acted on it.
    pub(crate) seen: Mutex<Option<Seen>>,
}

/// A view of a group.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) member: Uuid,
    pub(crate) dir: Arc<dyn Dir>,
    /// `group.json` as it was then, open.
    pub(crate) file: Arc<dyn File>,
}

/// What the caller told the keeper, and has not been taken yet.
#[derive(Debug, Default)]
pub(crate) struct EndKnownBy {
    pub(crate) stopped: Vec<Generation>,
    pub(crate) broken: Vec<Generation>,
    pub(crate) idle: bool,
    /// Whether records are handed out, where that changed.
    pub(crate) moving: Option<bool>,
    pub(crate) ended: Option<End>,
    pub(crate) interrupted: bool,
    pub(crate) commits: Vec<Arc<Ticket>>,
    /// The one assignment that the caller is at work on; of others it reads nothing meanwhile.
    pub(crate) works_on: Option<Generation>,
}

/// A commit that is waited for, and its outcome: each call has its own.
#[derive(Debug, Default)]
pub(crate) struct Ticket(pub(crate) Mutex<Option<Result<()>>>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Answers all that wait for a commit.
    pub(crate) fn answer(&self, commits: Vec<Arc<Ticket>>, outcome: &Result<()>) {
        // Under the lock: who is about to wait has looked, or will be woken.
        let reported = lock(&self.reported);
        for ticket in commits {
            *lock(&ticket.0) = Some(outcome.clone());
        }
        drop(reported);
        self.replied.notify_all();
    }

    pub(crate) fn take_commits(&self) -> Vec<Arc<Ticket>> {
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
        // A full socket pokes as well.
        let _ = (&self.poke).write(&[1]);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
