//! A reader of a partition whose leader has changed, or changes in a moment.

use std::sync::Arc;
use std::time::Duration;

use crate::client::leader_retry;
use crate::error::{Error, Kind, Result};
use crate::partition::{PartitionReader, first_reader};
use crate::store::{Liveness, StoreDir};
use crate::types::TopicPartition;

/// Opens a partition for reading. If a dead process or another boot left the replica unfinished,
/// recovery runs first, where this user may write: the unsynced records of a killed producer become
/// readable by that.
///
/// # Errors
/// [`Kind::UnknownTopic`], [`Kind::Damaged`], [`Kind::Io`].
pub fn open_reader(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<PartitionReader> {
    let mut reader = open_now(store, tp)?;
    if reader.knows_end()? {
        return Ok(reader);
    }
    // The leader has just changed: until the other replicas are there, the end of the records is
    // unknown.
    let liveness = Liveness::new(store);
    let started = store.clock().monotonic();
    loop {
        let partition = reader.topic().partition(tp.partition)?;
        let others = partition.isr.iter().filter(|id| **id != partition.leader);
        let anyone =
            others.into_iter().any(|id| liveness.is_alive(*id)) || liveness.controller_lives();
        if !anyone {
            // No other replica comes: the reader shows what this one has.
            return Ok(reader);
        }
        if store.clock().monotonic().saturating_sub(started) >= END_TIMEOUT {
            return Err(Error::new(
                Kind::Busy,
                format!(
                    "OFFSET_NOT_AVAILABLE: the leader of {tp} has not heard from its replicas in \
                     sync since leadership moved"
                ),
            )
            .cure("try again; 'mq-broker health' lists the problems"));
        }
        store.clock().sleep(END_POLL_INTERVAL);
        match reader.follow_leadership() {
            // Its directory may be replaced in a moment.
            Err(e) if e.kind() == Kind::Fenced => continue,
            followed => followed?,
        };
        if reader.knows_end()? {
            return Ok(reader);
        }
    }
}

/// As [`open_reader`], but does not wait after a change of leader: the high watermark may be below
/// one that was shown before.
///
/// # Errors
/// As [`open_reader`].
pub fn open_now(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<PartitionReader> {
    first_reader(store, || leader_retry::open_reader(store, tp))
}

/// As [`open_now`], but waits for a leader that is not there for up to `timeout` only.
///
/// # Errors
/// As [`open_reader`].
pub(super) fn open_now_within(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    timeout: Duration,
) -> Result<PartitionReader> {
    first_reader(store, || {
        leader_retry::open_reader_within(store, tp, timeout)
    })
}

pub(crate) const END_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How long a new leader may take to hear from the other replicas.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(10);
