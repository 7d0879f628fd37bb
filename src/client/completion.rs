//! The outcome of one batch, for the threads and tasks that wait for its records.
//!
//! A batch is acknowledged as a whole, or in parts if it had to be split. A part that is not
//! acknowledged when the delivery ends has failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::appender_waker::AppenderWaker;
use super::producer_options::Receipt;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::types::TopicName;

/// The outcome of one batch. It is created when the batch is begun.
#[derive(Debug)]
pub struct Completion {
    of: Arc<CompletionOf>,
    /// A caller waits for it, or did.
    is_awaited: AtomicBool,
    state: Mutex<CompletionState>,
    changed: Condvar,
}

/// What all batches of a producer share.
#[derive(Debug)]
pub(super) struct CompletionOf {
    pub topic: TopicName,
    /// The timeout of a wait for which the caller gives none.
    pub timeout: Duration,
    pub appender: Arc<AppenderWaker>,
    pub clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct CompletionState {
    /// The acknowledged parts: nearly always one.
    first: Option<Receipt>,
    more: Vec<Receipt>,
    failure: Option<Error>,
    wakers: Vec<Waker>,
    /// How many threads wait: if none does, a change needs no notification.
    waiting: usize,
}

impl CompletionState {
    /// The outcome of a record by its sequence number within the partition.
    fn outcome(&self, sequence: u64) -> Option<Result<Receipt>> {
        let has = |receipt: &&Receipt| {
            sequence
                .checked_sub(receipt.sequence)
                .is_some_and(|at| at < receipt.count)
        };
        let receipt = self.first.iter().chain(&self.more).find(has);
        match (receipt, &self.failure) {
            (Some(receipt), _) => Some(Ok(*receipt)),
            (None, Some(failure)) => Some(Err(failure.clone())),
            (None, None) => None,
        }
    }
}

impl Completion {
    pub(super) fn new(of: &Arc<CompletionOf>) -> Self {
        Completion {
            of: Arc::clone(of),
            is_awaited: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The topic that the batch goes to.
    pub fn topic(&self) -> &TopicName {
        &self.of.topic
    }

    /// The timeout of a wait for which the caller gives none.
    pub fn timeout(&self) -> Duration {
        self.of.timeout
    }

    /// The time of the producer's clock, for callers that wait for several batches.
    pub fn now(&self) -> Duration {
        self.of.clock.monotonic()
    }

    /// Whether a caller waits for the batch, or did.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::SeqCst)
    }

    /// Notes that a caller waits: the appending thread then lets the batch fill no longer than it
    /// must.
    fn set_awaited(&self) {
        if !self.is_awaited.swap(true, Ordering::SeqCst) {
            self.of.appender.awaited();
        }
    }

    fn lock(&self) -> MutexGuard<'_, CompletionState> {
        // Each change is one assignment: a panic in another thread leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part of the batch, or all of it, is acknowledged.
    pub(super) fn acknowledge(&self, receipt: Receipt) {
        self.change(|state| match state.first {
            None => state.first = Some(receipt),
            Some(_) => state.more.push(receipt),
        });
    }

    /// The delivery has ended: the parts that are not acknowledged have failed.
    pub(super) fn fail(&self, error: &Error) {
        self.change(|state| {
            state.failure.get_or_insert_with(|| error.clone());
        });
    }

    fn change(&self, change: impl FnOnce(&mut CompletionState)) {
        let mut state = self.lock();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.changed.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits for the outcome of a record, up to `timeout`. `None`: it is not known yet.
    pub fn wait(&self, sequence: u64, timeout: Duration) -> Option<Result<Receipt>> {
        let mut state = self.lock();
        if let Some(outcome) = state.outcome(sequence) {
            return Some(outcome);
        }
        state.waiting += 1;
        drop(state);
        self.set_awaited();
        let state = self.lock();
        let waits = |state: &mut CompletionState| state.outcome(sequence).is_none();
        let waited = self.changed.wait_timeout_while(state, timeout, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.outcome(sequence)
    }

    /// The outcome of a record; while it is not known, the task is registered to be woken.
    pub fn poll(&self, sequence: u64, context: &Context<'_>) -> Poll<Result<Receipt>> {
        let mut state = self.lock();
        if let Some(outcome) = state.outcome(sequence) {
            return Poll::Ready(outcome);
        }
        self.set_awaited();
        let waker = context.waker();
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn receipt(sequence: u64, count: u64, base_offset: i64) -> Receipt {
        Receipt {
            partition: 0,
            sequence,
            base_offset,
            count,
            leader_epoch: 0,
            append_time: None,
        }
    }

    #[test]
    fn each_part_of_a_batch_has_its_own_outcome() {
        let of = CompletionOf {
            topic: TopicName::new("t").expect("a name"),
            timeout: Duration::ZERO,
            appender: Arc::default(),
            clock: Arc::new(crate::clock::SystemClock::default()),
        };
        let batch = Completion::new(&Arc::new(of));
        let now = |sequence| batch.wait(sequence, Duration::ZERO);
        assert!(now(5).is_none());
        batch.acknowledge(receipt(5, 2, 100));
        assert_eq!(now(6).expect("known").expect("stored").base_offset, 100);
        assert!(now(7).is_none() && now(4).is_none());
        batch.acknowledge(receipt(7, 1, 200));
        batch.fail(&Error::new(Kind::DiskFull, "full"));
        assert_eq!(now(7).expect("known").expect("stored").base_offset, 200);
        let failed = now(8).expect("known").expect_err("not stored");
        assert_eq!(failed.kind(), Kind::DiskFull);
    }
}
