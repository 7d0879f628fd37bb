//! Delivery behind a producer: one thread appends, another syncs and confirms.

mod append;
pub(super) mod delivery_state;
mod pace;
mod passes;
mod split;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ledger::Ledger;
use super::producer_options::ProducerOptions;
use super::replicated::{Appending, Replicated};
use crate::disk::DescriptorShare;
use crate::error::{Error, Kind, Result};
use crate::partition::PartitionWriter;
use crate::record::BatchBuilder;
use crate::store::{StoreDir, TopicConfigs};
use crate::types::{PartitionId, TopicName};
use append::BatchAppender;
use delivery_state::{
    DeliveryState, EndGuard, PendingBatches, SyncQueue, Threads, enter, lock, spawn,
};

/// Interval of the checks whether leadership of partitions with in-flight batches has changed.
const MOVED_INTERVAL: Duration = Duration::from_millis(1);

/// Descriptors that are kept open for a partition: those not used for long are closed.
const DESCRIPTORS: usize = 4;

/// The threads.
#[derive(Debug)]
pub(super) struct Delivery {
    ledger: Arc<Ledger>,
    appender: Option<JoinHandle<()>>,
}

impl Delivery {
    pub fn start(
        store: Arc<StoreDir>,
        topic: TopicName,
        options: &ProducerOptions,
        ledger: Arc<Ledger>,
        jobs: impl PendingBatches,
        give_back: Sender<BatchBuilder>,
    ) -> Result<Self> {
        let replicated = Replicated::new(Arc::clone(&store), topic.clone(), options);
        let shared = Arc::new(DeliveryState {
            acks: options.acks,
            compression: options.compression,
            replicated: Arc::new(replicated),
            store,
            topic,
            lock_timeout: options.timeout,
            ledger: Arc::clone(&ledger),
            syncs: SyncQueue::default(),
        });
        let appender = spawn("append", move || {
            let guard = EndGuard(Arc::clone(&shared));
            let passes = append_all(&shared, jobs, give_back);
            guard.0.ledger.end();
            // After the end: what was sent is acknowledged, whatever a pass waits for.
            shared.ledger.passes().close();
            if let Some(passes) = passes {
                // A pass that panicked has left the log as a killed process would.
                let _ = passes.join();
            }
        })?;
        Ok(Delivery {
            ledger,
            appender: Some(appender),
        })
    }

    /// Waits for the threads; returns the failure, if there was one.
    pub fn join(&mut self) -> Option<Error> {
        let panicked = self
            .appender
            .take()
            .is_some_and(|thread| thread.join().is_err());
        self.ledger.failure().or_else(|| {
            panicked.then(|| {
                Error::new(Kind::Unknown, "the delivery thread ended unexpectedly")
                    .cure("see what is stored with mq-consume before sending anything again")
            })
        })
    }
}

/// The appending thread. Returns the thread of the passes, if there is one.
fn append_all(
    shared: &Arc<DeliveryState>,
    mut jobs: impl PendingBatches,
    give_back: Sender<BatchBuilder>,
) -> Option<JoinHandle<()>> {
    let mut threads = Threads::default();
    let mut writers: BTreeMap<PartitionId, PartitionWriter> = BTreeMap::new();
    let mut appending = Appending::new(Arc::clone(&shared.replicated));
    let mut descriptors = None;
    loop {
        let polls_again = threads.waiter.is_some() && !shared.replicated.is_idle();
        if polls_again {
            // Leadership may change under in-flight batches.
            resolve_moved(shared, &mut appending, &mut writers);
        }
        let job = match jobs.next(polls_again.then_some(MOVED_INTERVAL)) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        shared.ledger.begun();
        // After a failure the remaining batches are taken and dropped, so that the sender does not
        // block.
        if shared.has_failed() {
            continue;
        }
        let mut work = BatchAppender {
            shared,
            appending: &mut appending,
            threads: &mut threads,
            give_back: &give_back,
        };
        let known = writers.len();
        if let Err(e) = work.append(&mut writers, job) {
            shared.fail(e);
        }
        if writers.len() != known || descriptors.is_none() {
            descriptors = Some(DescriptorShare::new(writers.len() * DESCRIPTORS));
        }
    }
    while !shared.replicated.is_idle() {
        resolve_moved(shared, &mut appending, &mut writers);
        shared.store.clock().sleep(MOVED_INTERVAL);
    }
    shared.replicated.close();
    for (partition, writer) in &mut writers {
        // A deleted topic has nothing to sync.
        let _ = writer.observe();
        let configs = writer.configs();
        if configs.flush_messages == TopicConfigs::NEVER && configs.flush_ms == TopicConfigs::NEVER
        {
            continue;
        }
        // At exit everything this process appended is on disk.
        if let Ok(Some(page)) = writer.replica().read_page()
            && page.durable.offset < page.tail.end
            && !shared.has_failed()
        {
            let mut state = lock(&shared.syncs.state);
            enter(&mut state, *partition, page.tail.end);
            drop(state);
            if let Err(e) = threads.start_syncer(shared) {
                shared.fail(e);
            }
        }
    }
    lock(&shared.syncs.state).closed = true;
    shared.syncs.changed.notify_all();
    let panicked = [threads.syncer, threads.waiter]
        .into_iter()
        .flatten()
        .any(|thread| thread.join().is_err());
    if panicked {
        shared.fail(
            Error::new(Kind::Unknown, "a thread that syncs ended unexpectedly")
                .cure("see what is stored with mq-consume before sending anything again"),
        );
    }
    threads.passes
}

/// Resolves in-flight batches again where leadership has changed.
fn resolve_moved(
    shared: &DeliveryState,
    appending: &mut Appending,
    writers: &mut BTreeMap<PartitionId, PartitionWriter>,
) {
    for partition in shared.replicated.moved() {
        let Some(writer) = writers.get_mut(&partition) else {
            continue;
        };
        if let Err(e) = appending.resolve(writer, &|| false) {
            shared.replicated.give_up(partition);
            shared.fail(e.with_kind(Kind::Unknown));
        }
    }
}
