//! What was handed on for delivery, and what of it is acknowledged.
//!
//! 1. Each record has a number within its partition, in the order of sending. A [`Ticket`] names the
//!    numbers of a batch, goes with it through the delivery, and is the only thing that a receipt
//!    is made from: a receipt never says what another batch earned.
//! 2. Receipts of a partition are given without a gap. A batch that failed gives its ticket back to
//!    nobody, so nothing behind it is acknowledged, whatever the disk did with it.
//! 3. Bytes that are handed on and not acknowledged are bounded, and so are receipts that wait to be
//!    taken: beyond the bound the oldest are dropped, which leaves a gap to a program that does not
//!    take them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::producer_options::Receipt;
use crate::error::{Error, Kind};
use crate::partition::Appended;
use crate::types::PartitionId;

/// Receipts that wait to be taken, at most. Beyond that the oldest go: some 4 MB.
const RECEIPTS_MAX: usize = 1 << 16;

/// The numbers of the records of one batch. Neither copied nor made but by [`Ledger::enter`] and
/// [`Ticket::split_off`].
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

    /// Keeps the first `count` records; the ticket of the rest.
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

/// What is to be entered of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub partition: PartitionId,
    /// The number of its first record among all that were sent.
    pub first_sent: u64,
    /// How many records it has.
    pub count: u64,
    pub bytes: usize,
    /// Bytes of all batches in the making, this one among them.
    pub building: usize,
}

/// Shared by the thread that sends and those that deliver.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<State>,
    changed: Condvar,
    bytes_max: usize,
    failed: AtomicBool,
    /// Batches that the delivery has not begun with.
    queued: AtomicUsize,
    /// The newest version of the topic file that the delivery has seen.
    topic_version: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    accounts: BTreeMap<PartitionId, Account>,
    bytes: usize,
    receipts: VecDeque<Receipt>,
    acknowledged: u64,
    failure: Option<Error>,
    ended: bool,
}

/// One partition's.
#[derive(Debug, Default)]
struct Account {
    /// The number of the record that the next receipt begins with.
    next: u64,
    /// The number that the next batch begins with.
    entered: u64,
    under_way: VecDeque<UnderWay>,
    /// Acknowledged, but something before them is not.
    early: BTreeMap<u64, Receipt>,
}

#[derive(Debug)]
struct UnderWay {
    first_sent: u64,
    /// The number after its last record.
    end: u64,
    bytes: usize,
}

impl Ledger {
    /// With so many bytes sent and not acknowledged at most, but always one batch.
    pub fn new(bytes_max: usize) -> Self {
        Ledger {
            state: Mutex::default(),
            changed: Condvar::new(),
            bytes_max,
            failed: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            topic_version: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves lists that are whole: nothing is half-changed under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a batch that is about to be handed on, once there is room for it. `None`: the delivery
    /// has failed.
    pub fn enter(&self, batch: Batch) -> Option<Ticket> {
        let mut state = self.lock();
        let is_full =
            |state: &State| state.bytes > 0 && state.bytes + batch.building > self.bytes_max;
        while is_full(&state) && !self.has_failed() {
            state = self.wait(state);
        }
        if self.has_failed() {
            return None;
        }
        state.bytes += batch.bytes;
        let account = state.accounts.entry(batch.partition).or_default();
        let first = account.entered;
        account.entered += batch.count;
        account.under_way.push_back(UnderWay {
            first_sent: batch.first_sent,
            end: account.entered,
            bytes: batch.bytes,
        });
        self.queued.fetch_add(1, Ordering::Relaxed);
        Some(Ticket {
            partition: batch.partition,
            first,
            count: batch.count,
        })
    }

    /// Whether a batch would be entered at once, of so many bytes in the making, and nothing waits
    /// before it.
    pub fn is_idle_for(&self, building: usize) -> bool {
        if self.queued.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let state = self.lock();
        state.bytes == 0 || state.bytes + building <= self.bytes_max
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

    /// These batches are acknowledged, where they were appended.
    pub fn acknowledge(&self, batches: impl IntoIterator<Item = (Ticket, Appended)>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for (ticket, appended) in batches {
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
                if state.receipts.len() >= RECEIPTS_MAX {
                    state.receipts.pop_front();
                }
                state.receipts.push_back(receipt);
            }
            let is_over = |one: &UnderWay| one.end <= account.next;
            while account.under_way.front().is_some_and(is_over)
                && let Some(one) = account.under_way.pop_front()
            {
                state.bytes = state.bytes.saturating_sub(one.bytes);
            }
        }
        drop(guard);
        self.changed.notify_all();
    }

    /// Ends the delivery. The first failure counts, but for one that leaves an outcome unknown: that
    /// must be said.
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
        self.changed.notify_all();
    }

    /// Whether it has failed.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// What it failed with.
    pub fn failure(&self) -> Option<Error> {
        self.lock().failure.clone()
    }

    /// The delivery's threads are done.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Whether they are.
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// How many records are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    /// Takes the receipts that wait; waits for some up to `timeout`.
    pub fn receipts(&self, timeout: Duration) -> Vec<Receipt> {
        let mut state = self.lock();
        if !timeout.is_zero() {
            let none_yet =
                |state: &mut State| state.receipts.is_empty() && !state.ended && !self.has_failed();
            state = self
                .changed
                .wait_timeout_while(state, timeout, none_yet)
                .map_or_else(|e| e.into_inner().0, |(state, _)| state);
        }
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
                return Err(Error::new(
                    Kind::Unknown,
                    "the delivery ended before everything was acknowledged",
                ));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(partition: PartitionId, first_sent: u64, count: u64) -> Batch {
        Batch {
            partition,
            first_sent,
            count,
            bytes: 100,
            building: 100,
        }
    }

    fn at(base_offset: i64, count: u64) -> Appended {
        Appended {
            base_offset,
            last_offset: base_offset + count as i64 - 1,
            leader_epoch: 0,
            crc: 0,
            replica: crate::types::Uuid([0; 16]),
            generation: 0,
            append_time: None,
            rolled: false,
            durable: 0,
        }
    }

    fn notified(ledger: &Ledger) -> Vec<(PartitionId, u64, i64, u64)> {
        let receipts = ledger.receipts(Duration::ZERO);
        let notified = receipts.iter();
        notified
            .map(|r| (r.partition, r.sequence, r.base_offset, r.count))
            .collect()
    }

    #[test]
    fn nothing_is_acknowledged_behind_a_batch_that_is_not() {
        let ledger = Ledger::new(1 << 20);
        let _lost = ledger.enter(batch(0, 0, 2)).expect("entered");
        let second = ledger.enter(batch(0, 2, 3)).expect("entered");
        let other = ledger.enter(batch(1, 5, 1)).expect("entered");
        ledger.fail(Error::new(Kind::Unknown, "a sync failed"));
        ledger.acknowledge([(second, at(7, 3)), (other, at(0, 1))]);
        assert_eq!(notified(&ledger), [(1, 0, 0, 1)]);
        assert_eq!(ledger.first_unacknowledged(), Some(0));
        assert_eq!(ledger.acknowledged(), 1);
        assert!(ledger.wait_for_all().is_err());
        assert!(ledger.enter(batch(0, 6, 1)).is_none());
    }

    #[test]
    fn receipts_come_in_order_whatever_the_threads_did() {
        let ledger = Ledger::new(1 << 20);
        let first = ledger.enter(batch(0, 0, 4)).expect("entered");
        let second = ledger.enter(batch(0, 4, 1)).expect("entered");
        let mut head = first;
        let rest = head.split_off(1);
        ledger.acknowledge([(second, at(9, 1))]);
        ledger.acknowledge([(head, at(3, 1))]);
        assert_eq!(notified(&ledger), [(0, 0, 3, 1)]);
        assert_eq!(ledger.first_unacknowledged(), Some(0));
        ledger.acknowledge([(rest, at(5, 3))]);
        assert_eq!(notified(&ledger), [(0, 1, 5, 3), (0, 4, 9, 1)]);
        assert_eq!(ledger.first_unacknowledged(), None);
        ledger.wait_for_all().expect("all of it");
    }

    #[test]
    fn receipts_that_nobody_takes_are_bounded_and_counted() {
        let ledger = Ledger::new(1 << 20);
        for n in 0..RECEIPTS_MAX as u64 + 10 {
            let ticket = ledger.enter(batch(0, n, 1)).expect("entered");
            ledger.acknowledge([(ticket, at(n as i64, 1))]);
        }
        let notified = notified(&ledger);
        assert_eq!(notified.len(), RECEIPTS_MAX);
        assert_eq!(notified.first().map(|one| one.1), Some(10));
        assert_eq!(ledger.acknowledged(), RECEIPTS_MAX as u64 + 10);
    }

    #[test]
    fn bytes_under_way_are_bounded() {
        let ledger = Ledger::new(150);
        let ticket = ledger.enter(batch(0, 0, 1)).expect("the first has room");
        assert!(!ledger.is_idle_for(40));
        ledger.begun();
        assert!(ledger.is_idle_for(40) && !ledger.is_idle_for(100));
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| ledger.enter(batch(0, 1, 1)).is_some());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!entered.is_finished());
            ledger.acknowledge([(ticket, at(0, 1))]);
            assert!(entered.join().expect("no panic"));
        });
    }
}
