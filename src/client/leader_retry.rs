//! Opening a partition's leader during a change of leaders: its directory may be gone or half
//! removed before the topic file names the next leader.

use std::sync::Arc;
use std::time::Duration;

use super::replicated;
use crate::error::{Error, Kind, Result};
use crate::partition::{PartitionReader, PartitionWriter};
use crate::store::brokers::failure_reports;
use crate::store::{Liveness, StoreDir, TopicHandle};
use crate::types::TopicPartition;

/// Interval of the retries.
const TRY_INTERVAL: Duration = Duration::from_millis(5);
/// How long a reader tries.
const READER_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a partition for appends; tries for up to `timeout`, until `failed`.
///
/// # Errors
/// As [`PartitionWriter::open`].
pub(super) fn open_writer(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    timeout: Duration,
    failed: &dyn Fn() -> bool,
) -> Result<PartitionWriter> {
    retry(store, tp, timeout, failed, || {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let lock_timeout = if topic.partition(tp.partition)?.replicas.len() > 1 {
            replicated::lock_timeout(timeout)
        } else {
            timeout
        };
        PartitionWriter::open(store, tp, lock_timeout)
    })
}

/// Opens a partition for reading.
///
/// # Errors
/// As [`PartitionReader::open`].
pub(super) fn open_reader(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<PartitionReader> {
    open_reader_within(store, tp, READER_TIMEOUT)
}

/// As [`open_reader`], but tries for up to `timeout`.
///
/// # Errors
/// As [`PartitionReader::open`].
pub(super) fn open_reader_within(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    timeout: Duration,
) -> Result<PartitionReader> {
    let never = || false;
    retry(store, tp, timeout, &never, || {
        PartitionReader::open(store, tp)
    })
}

fn retry<T>(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    timeout: Duration,
    failed: &dyn Fn() -> bool,
    mut open: impl FnMut() -> Result<T>,
) -> Result<T> {
    let started = store.clock().monotonic();
    loop {
        let e = match open() {
            Err(e) if e.kind() == Kind::Fenced => e,
            opened => return opened,
        };
        let waited = store.clock().monotonic().saturating_sub(started);
        if waited >= timeout || failed() || !another_may_lead(store, tp)? {
            return Err(e);
        }
        // A hint: without it the controller notices the failure later.
        let _: Result<(), Error> = failure_reports::report(store, tp);
        store.clock().sleep(TRY_INTERVAL);
    }
}

/// Whether a retry can succeed.
fn another_may_lead(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<bool> {
    let topic = TopicHandle::open(store, &tp.topic)?;
    let partition = topic.partition(tp.partition)?;
    Ok(partition.replicas.len() > 1 && Liveness::new(store).any_alive(partition))
}
