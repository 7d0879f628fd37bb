//! One partition that a consumer reads.

use std::sync::Arc;
use std::time::Duration;

use crate::client::position::Position;
use crate::client::read_from::Chooser;
use crate::disk::WatchId;
use crate::error::{Error, Kind, Result};
use crate::partition::PartitionReader;
use crate::store::brokers::failure_reports;
use crate::store::{StoreDir, TopicHandle};
use crate::types::{Offset, TopicPartition};

/// How long to wait for a leader that cannot be read to return, or for another leader.
const FAILED_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct AssignedPartition {
    pub tp: TopicPartition,
    pub position: Offset,
    pub until: Option<Offset>,
    /// Not read until it is resumed.
    pub is_paused: bool,
    pub watch: Option<WatchId>,
    /// Since when it has been unreadable.
    pub failed_since: Option<Duration>,
    reading: Reading,
    /// Closed without unread records, and the watch was set up before that was checked: it has no
    /// records until the watch reports a change.
    quiet: bool,
}

#[derive(Debug)]
enum Reading {
    Open(Box<PartitionReader>),
    /// Closed, since there are more partitions than descriptors.
    Closed(TopicHandle),
}

impl AssignedPartition {
    pub(crate) fn new(reader: PartitionReader, from: Offset, until: Option<Offset>) -> Self {
        AssignedPartition {
            tp: reader.replica().tp().clone(),
            position: from,
            until,
            is_paused: false,
            watch: None,
            failed_since: None,
            reading: Reading::Open(Box::new(reader)),
            quiet: false,
        }
    }

    /// Its next position.
    pub(crate) fn place(&self) -> Position {
        Position {
            offset: self.position,
            topic_id: Some(self.topic().meta().topic_id),
        }
    }

    /// Whether it was read up to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.position >= until)
    }

    /// Whether a check for records is needless.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// It may have records.
    pub(crate) fn stir(&mut self) {
        self.quiet = false;
    }

    /// The reader, if it is open.
    pub(crate) fn reader(&mut self) -> Option<&mut PartitionReader> {
        match &mut self.reading {
            Reading::Open(reader) => Some(reader),
            Reading::Closed(_) => None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.reading, Reading::Open(_))
    }

    /// The topic, as last read.
    pub(crate) fn topic(&self) -> &TopicHandle {
        match &self.reading {
            Reading::Open(reader) => reader.topic(),
            Reading::Closed(topic) => topic,
        }
    }

    /// Closes the reader; returns whether it was open. `empty`: the last read found no records.
    pub(crate) fn close(&mut self, empty: bool) -> bool {
        let Reading::Open(reader) = &self.reading else {
            return false;
        };
        self.reading = Reading::Closed(reader.topic().clone());
        self.quiet = empty && self.watch.is_some();
        true
    }

    /// Opens the reader again; the replica may be another one than before.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] if the topic was deleted or created again; as
    /// [`PartitionReader::open`].
    pub(crate) fn open(&mut self, chooser: &Chooser) -> Result<()> {
        if let Reading::Closed(topic) = &self.reading {
            let reader = chooser.reopen(&self.tp).map_err(|e| match e.kind() {
                Kind::UnknownTopic => deleted(&self.tp),
                _ => e,
            })?;
            if reader.topic().meta().topic_id != topic.meta().topic_id {
                return Err(deleted(&self.tp));
            }
            self.reading = Reading::Open(Box::new(reader));
        }
        self.quiet = false;
        Ok(())
    }

    /// Whether the open replica was moved away or replaced.
    pub(crate) fn is_replaced(&mut self) -> bool {
        let reader = self.reader();
        reader.is_some_and(|reader| !reader.replica().in_place().unwrap_or(true))
    }

    /// Whether to wait, after an error, until another replica leads: this one's directory may be in
    /// removal. The wait is bounded: damage on all replicas is reported in the end.
    pub(crate) fn waits_for_another(&mut self, store: &Arc<StoreDir>, error: &Error) -> bool {
        let passes = error.kind().is_of_one_replica();
        let partition = self.topic().partition(self.tp.partition);
        if !passes || partition.is_ok_and(|partition| partition.replicas.len() < 2) {
            return false;
        }
        let now = store.clock().monotonic();
        let since = *self.failed_since.get_or_insert(now);
        // A hint: without it the controller notices the failure later.
        let _ = failure_reports::report(store, &self.tp);
        // If all files of the log are there, the damage is inside it: leadership is not transferred
        // for that.
        let is_within = error.kind() == Kind::Damaged
            && self
                .reader()
                .is_some_and(|reader| reader.replica().is_whole().unwrap_or(false));
        !is_within && now.saturating_sub(since) < FAILED_TIMEOUT
    }
}

pub(crate) fn deleted(tp: &TopicPartition) -> Error {
    let text = format!("UNKNOWN_TOPIC_OR_PARTITION: {tp} was deleted");
    Error::new(Kind::UnknownTopic, text)
        .cure("'mq-topics list' shows the topics; start again for a new topic of that name")
}
