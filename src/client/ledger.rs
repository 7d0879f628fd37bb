//! Which batches were handed to the delivery, and which records of them are acknowledged.
//!
//! 1. Each record has a number within its partition, in the order of sending. A [`Ticket`] names
//!    the numbers of a batch and goes with it through the delivery. A receipt is made from a ticket
//!    only, so it never covers records of another batch.
//! 2. Receipts of a partition are given without a gap. The ticket of a failed batch is never
//!    returned, so nothing behind that batch is acknowledged, whatever reached the disk.
//! 3. The bytes that are handed on and not acknowledged are bounded. So are the receipts that wait
//!    to be taken: beyond the bound the oldest are dropped, and a program that does not take them
//!    sees a gap.
//! 4. Each batch that was entered with a [`Completion`] gets an outcome: its receipts, or an error
//!    once the delivery has ended.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::appender_waker::AppenderWaker;
use super::completion::Completion;
use super::pass_queue::PassQueue;
use super::producer_options::Receipt;
use crate::error::{Error, Kind};
use crate::partition::Appended;
use crate::types::PartitionId;

/// The most receipts that wait to be taken; beyond that the oldest are dropped: some 4 MB.
const RECEIPTS_MAX: usize = 1 << 16;

/// The numbers of the records of one batch. It cannot be copied; only [`Ledger::enter`] and
/// [`Ticket::split_off`] make one.
#[derive(Debug)]
pub(super) struct Ticket {
    partition: PartitionId,
    first: u64,
    count: u64,
}

impl Ticket {
    /// The partition they are of.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// How many records it stands for.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Keeps the first `count` records; returns the ticket of the rest.
    pub fn split_off(&mut self, count: u64) -> Ticket {
        let count = count.min(self.count);
        let rest = Ticket {
            partition: self.partition,
            first: self.first + count,
            count: self.count - count,
        };
        self.count = count;
        rest
    }
}

/// What the ledger enters of a batch.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub partition: PartitionId,
    /// The number of its first record among all that were sent.
    pub first_sent: u64,
    /// How many records it has.
    pub count: u64,
    pub bytes: usize,
    /// Bytes of all batches in the making, this one among them.
    pub building: usize,
    /// For the callers that wait for its outcome.
    pub completion: Option<Arc<Completion>>,
}

/// Shared by the sending thread and the delivery's threads.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<LedgerState>,
    changed: Condvar,
    /// How many threads wait for a change: if none does, a change needs no notification.
    waiting: AtomicUsize,
    bytes_max: usize,
    failed: AtomicBool,
    /// Batches that the delivery has not begun with.
    queued: AtomicUsize,
    /// The newest version of the topic file that the delivery has seen.
    topic_version: AtomicU64,
    /// A copy of [`LedgerState::bytes`] that is read without the lock.
    bytes: AtomicUsize,
    /// The parked appending thread of a shared producer.
    appender: Option<Arc<AppenderWaker>>,
    /// Whether receipts are kept for [`Ledger::receipts`].
    keeps_receipts: bool,
    /// Acknowledged partitions whose old segments may go.
    passes: PassQueue,
    /// Gets the receipts instead, in their order, from one thread at a time.
    listener: Option<Mutex<Box<dyn Listener>>>,
}

thread_local! {
    /// The ledger whose listener runs on this thread, by its address.
    static LISTENER_OF: Cell<Option<usize>> = const { Cell::new(None) };
}

/// While it lives, the listener of a ledger runs on this thread. It holds what ran before.
struct ListenerRuns(Option<usize>);

impl Drop for ListenerRuns {
    fn drop(&mut self) {
        LISTENER_OF.set(self.0);
    }
}

/// Is notified of each outcome by the delivery's threads, and must not block them.
pub trait Listener: Send + fmt::Debug {
    /// These records are acknowledged. Those of a partition come in order, without a gap.
    fn acknowledged(&mut self, receipt: Receipt);
    /// The producer has failed: nothing more will be acknowledged.
    fn failed(&mut self, error: &Error);
}

#[derive(Debug, Default)]
struct LedgerState {
    accounts: BTreeMap<PartitionId, Account>,
    bytes: usize,
    receipts: VecDeque<Receipt>,
    acknowledged: u64,
    failure: Option<Error>,
    ended: bool,
}

/// The account of one partition.
#[derive(Debug, Default)]
struct Account {
    /// The number of the record that the next receipt begins with.
    next: u64,
    /// The number that the next batch begins with.
    entered: u64,
    under_way: VecDeque<UnderWay>,
    /// Acknowledged records behind records that are not acknowledged.
    early: BTreeMap<u64, Receipt>,
}

#[derive(Debug)]
struct UnderWay {
    first_sent: u64,
    /// The number after its last record.
    end: u64,
    bytes: usize,
    completion: Option<Arc<Completion>>,
}

impl Ledger {
    /// A ledger for at most this many unacknowledged bytes, but always at least one batch.
    pub fn new(bytes_max: usize) -> Self {
        Ledger {
            state: Mutex::default(),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            bytes_max,
            failed: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            topic_version: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            appender: None,
            keeps_receipts: true,
            passes: PassQueue::default(),
            listener: None,
        }
    }

    /// As [`Ledger::new`], for a producer whose records have [`Completion`]s. Receipts are kept only
    /// until the listener has them.
    pub fn with_completions(
        bytes_max: usize,
        appender: Arc<AppenderWaker>,
        listener: Option<Box<dyn Listener>>,
    ) -> Self {
        Ledger {
            appender: Some(appender),
            keeps_receipts: listener.is_some(),
            listener: listener.map(Mutex::new),
            ..Ledger::new(bytes_max)
        }
    }

    /// Gives the waiting receipts to the listener.
    fn notify_listener(&self) {
        if let Some(listener) = &self.listener {
            // Held over both steps, so that the listener gets the receipts in their order.
            let Ok(mut listener) = listener.lock() else {
                // It has panicked, which ended the producer.
                return;
            };
            let receipts = std::mem::take(&mut self.lock().receipts);
            let _runs = self.listener_runs();
            for receipt in receipts {
                listener.acknowledged(receipt);
            }
        }
    }

    fn listener_runs(&self) -> ListenerRuns {
        ListenerRuns(LISTENER_OF.replace(Some(std::ptr::from_ref(self).addr())))
    }

    /// Whether the caller is called by the listener.
    pub fn is_in_listener(&self) -> bool {
        LISTENER_OF.get() == Some(std::ptr::from_ref(self).addr())
    }

    fn lock(&self) -> MutexGuard<'_, LedgerState> {
        // A panic in another thread leaves the lists whole: no change under this lock is partial.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, LedgerState>) -> MutexGuard<'a, LedgerState> {
        // With the lock held: a thread that changes the state later sees it.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let state = self.changed.wait(state);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits up to `timeout` while `waits` says so.
    fn wait_while(
        &self,
        timeout: Duration,
        waits: impl FnMut(&mut LedgerState) -> bool,
    ) -> MutexGuard<'_, LedgerState> {
        let state = self.lock();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.changed.wait_timeout_while(state, timeout, waits);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// After a change, once the lock is released.
    fn notify(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_all();
        }
    }

    /// Enters a batch that is about to be handed on, once there is room for it. `None`: the delivery
    /// has failed.
    pub fn enter(&self, batch: Batch) -> Option<Ticket> {
        let mut state = self.lock();
        let is_full =
            |state: &LedgerState| state.bytes > 0 && state.bytes + batch.building > self.bytes_max;
        while is_full(&state) && !self.has_failed() {
            state = self.wait(state);
        }
        self.enter_in(state, batch)
    }

    /// As [`Ledger::enter`], for a caller that has seen that there is room: it never waits.
    pub fn enter_at_once(&self, batch: Batch) -> Option<Ticket> {
        self.enter_in(self.lock(), batch)
    }

    fn enter_in(&self, mut state: MutexGuard<'_, LedgerState>, batch: Batch) -> Option<Ticket> {
        if self.has_failed() {
            return None;
        }
        state.bytes += batch.bytes;
        self.bytes.store(state.bytes, Ordering::Relaxed);
        let account = state.accounts.entry(batch.partition).or_default();
        let first = account.entered;
        account.entered += batch.count;
        account.under_way.push_back(UnderWay {
            first_sent: batch.first_sent,
            end: account.entered,
            bytes: batch.bytes,
            completion: batch.completion,
        });
        self.queued.fetch_add(1, Ordering::Relaxed);
        Some(Ticket {
            partition: batch.partition,
            first,
            count: batch.count,
        })
    }

    /// Whether a batch would be entered at once with that many bytes in the making, and no batch
    /// waits before it.
    pub fn is_idle_for(&self, building: usize) -> bool {
        if self.queued.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let state = self.lock();
        state.bytes == 0 || state.bytes + building <= self.bytes_max
    }

    /// Bytes that are handed on and not acknowledged.
    #[inline]
    pub fn bytes(&self) -> usize {
        // Sequentially consistent with the flags of [`AppenderWaker`].
        self.bytes.load(Ordering::SeqCst)
    }

    /// Waits up to `timeout` until more than `known` records are acknowledged, or the delivery
    /// fails or ends. Returns whether one of these happened.
    pub fn wait_for_more(&self, known: u64, timeout: Duration) -> bool {
        let none_yet =
            |state: &LedgerState| state.acknowledged == known && !state.ended && !self.has_failed();
        let state = self.wait_while(timeout, |state| none_yet(state));
        !none_yet(&state)
    }

    /// Waits up to `timeout` until the given number of records is acknowledged in each partition.
    /// `None`: not yet.
    pub fn wait_until(
        &self,
        wanted: &[(PartitionId, u64)],
        timeout: Duration,
    ) -> Option<Result<(), Error>> {
        let lacks = |state: &LedgerState| {
            wanted.iter().any(|(partition, count)| {
                state.accounts.get(partition).map_or(0, |one| one.next) < *count
            })
        };
        let waits = |state: &mut LedgerState| lacks(state) && !state.ended;
        let state = self.wait_while(timeout, waits);
        match (lacks(&state), state.ended) {
            (false, _) => Some(Ok(())),
            (true, true) => Some(Err(outcome_of(&state))),
            (true, false) => None,
        }
    }

    /// Waits up to `timeout` until the delivery's threads have ended; returns whether they have.
    pub fn wait_for_end(&self, timeout: Duration) -> bool {
        let waits = |state: &mut LedgerState| !state.ended;
        let state = self.wait_while(timeout, waits);
        state.ended
    }

    /// How many records of a partition are acknowledged, in the order of sending.
    pub fn acknowledged_of(&self, partition: PartitionId) -> u64 {
        let state = self.lock();
        state.accounts.get(&partition).map_or(0, |one| one.next)
    }

    /// The delivery has begun with a batch.
    pub fn begun(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// What the delivery last saw of the topic file.
    pub fn saw_topic(&self, version: u64) {
        self.topic_version.fetch_max(version, Ordering::Relaxed);
    }

    /// The newest version of the topic file that the delivery has seen.
    pub fn topic_version(&self) -> u64 {
        self.topic_version.load(Ordering::Relaxed)
    }

    /// The partitions that wait for a pass of retention.
    pub fn passes(&self) -> &PassQueue {
        &self.passes
    }

    /// Acknowledges these batches, each at the place where it was appended.
    pub fn acknowledge(&self, batches: impl IntoIterator<Item = (Ticket, Appended)>) {
        let mut completed = Vec::new();
        let (wants_passes, mut for_passes) = (self.passes.is_wanted(), Vec::new());
        let mut guard = self.lock();
        let state = &mut *guard;
        for (ticket, appended) in batches {
            if wants_passes {
                for_passes.push((ticket.partition, appended.rolled));
            }
            let Some(account) = state.accounts.get_mut(&ticket.partition) else {
                continue;
            };
            let receipt = Receipt {
                partition: ticket.partition,
                sequence: ticket.first,
                base_offset: appended.base_offset,
                count: ticket.count,
                leader_epoch: appended.leader_epoch,
                append_time: appended.append_time,
            };
            account.early.insert(ticket.first, receipt);
            while let Some(receipt) = account.early.remove(&account.next) {
                account.next += receipt.count;
                state.acknowledged += receipt.count;
                if self.keeps_receipts {
                    if state.receipts.len() >= RECEIPTS_MAX {
                        state.receipts.pop_front();
                    }
                    state.receipts.push_back(receipt);
                }
                // A receipt covers one batch, and everything before that batch is finished.
                if let Some(one) = account.under_way.front() {
                    let done = one.completion.iter().cloned();
                    completed.extend(done.map(|completion| (completion, receipt)));
                }
                let is_over = |one: &UnderWay| one.end <= account.next;
                while account.under_way.front().is_some_and(is_over)
                    && let Some(one) = account.under_way.pop_front()
                {
                    state.bytes = state.bytes.saturating_sub(one.bytes);
                }
            }
        }
        self.bytes.store(state.bytes, Ordering::SeqCst);
        let is_idle = state.bytes == 0;
        drop(guard);
        // Before the threads that wait for the records are woken: the next batch is appended
        // meanwhile.
        if is_idle && let Some(appender) = &self.appender {
            appender.idle();
        }
        for (completion, receipt) in completed {
            completion.acknowledge(receipt);
        }
        self.notify();
        self.notify_listener();
        if !for_passes.is_empty() {
            self.passes.acknowledged(for_passes);
        }
    }

    /// Ends the delivery. The first failure counts, except that a failure with unknown outcome
    /// replaces it: it must be reported.
    pub fn fail(&self, error: Error) {
        let mut state = self.lock();
        let known = state
            .failure
            .as_ref()
            .is_none_or(|first| first.kind() != Kind::Unknown);
        if state.failure.is_none() || (known && error.kind() == Kind::Unknown) {
            state.failure = Some(error);
        }
        self.failed.store(true, Ordering::Relaxed);
        drop(state);
        self.notify();
        if let Some(appender) = &self.appender {
            appender.wake();
        }
    }

    /// Whether it has failed.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// What it failed with.
    pub fn failure(&self) -> Option<Error> {
        self.lock().failure.clone()
    }

    /// The delivery's threads have ended: what is not acknowledged now never will be.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let accounts = state.accounts.values();
        let under_way = accounts.flat_map(|account| &account.under_way);
        let left: Vec<_> = under_way.filter_map(|one| one.completion.clone()).collect();
        let failure = if left.is_empty() {
            state.failure.clone()
        } else {
            Some(outcome_of(&state))
        };
        drop(state);
        self.notify();
        let Some(failure) = failure else {
            return;
        };
        for completion in left {
            completion.fail(&failure);
        }
        if let Some(Ok(mut listener)) = self.listener.as_ref().map(Mutex::lock) {
            let _runs = self.listener_runs();
            listener.failed(&failure);
        }
    }

    /// Whether they have ended.
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// How many records are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    /// Takes the waiting receipts; waits for some up to `timeout`.
    pub fn receipts(&self, timeout: Duration) -> Vec<Receipt> {
        let none_yet = |state: &mut LedgerState| {
            state.receipts.is_empty() && !state.ended && !self.has_failed()
        };
        let mut state = if timeout.is_zero() {
            self.lock()
        } else {
            self.wait_while(timeout, none_yet)
        };
        std::mem::take(&mut state.receipts).into()
    }

    /// Waits until all that was handed on is acknowledged.
    ///
    /// # Errors
    /// What the delivery failed with.
    pub fn wait_for_all(&self) -> Result<(), Error> {
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.accounts.values().all(|one| one.under_way.is_empty()) {
                return Ok(());
            }
            if state.ended {
                return Err(outcome_of(&state));
            }
            state = self.wait(state);
        }
    }

    /// The number, among all that were sent, of the first record that was handed on and is not
    /// acknowledged.
    pub fn first_unacknowledged(&self) -> Option<u64> {
        let state = self.lock();
        let firsts = state.accounts.values().filter_map(|account| {
            let front = account.under_way.front()?;
            Some(front.first_sent)
        });
        firsts.min()
    }
}

/// The outcome of records that are not acknowledged though the delivery has ended.
fn outcome_of(state: &LedgerState) -> Error {
    let unexpected = || {
        Error::new(
            Kind::Unknown,
            "the delivery ended before everything was acknowledged",
        )
    };
    state.failure.clone().unwrap_or_else(unexpected)
}
