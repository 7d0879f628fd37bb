//! One partition that is read.

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

/// How long a leader may take to come back, or another to come, where one cannot be read.
const FAILED_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct AssignedPartition {
    pub tp: TopicPartition,
    pub position: Offset,
    pub until: Option<Offset>,
    /// Passed over, until that is taken back.
    pub is_paused: bool,
    pub watch: Option<WatchId>,
    /// Since when it cannot be read.
    pub failed_since: Option<Duration>,
    reading: Reading,
    /// Closed with nothing to read, and its watch stood before that was looked for: there is nothing
    /// until the watch tells of something.
    quiet: bool,
}

#[derive(Debug)]
enum Reading {
    Open(Box<PartitionReader>),
    /// Closed, for there are more partitions than descriptors.
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

    /// Where it is read next.
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

    /// Whether nobody needs to look.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Something may be there.
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

    /// The topic, as of the last look.
    pub(crate) fn topic(&self) -> &TopicHandle {
        match &self.reading {
            Reading::Open(reader) => reader.topic(),
            Reading::Closed(topic) => topic,
        }
    }

    /// Closes the reader; whether it was open. `empty`: it has just been read, and there was nothing.
    pub(crate) fn close(&mut self, empty: bool) -> bool {
        let Reading::Open(reader) = &self.reading else {
            return false;
        };
        self.reading = Reading::Closed(reader.topic().clone());
        self.quiet = empty && self.watch.is_some();
        true
    }

    /// Opens the reader anew; the replica may be another than before.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] if the topic is gone, or another of that name; as
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

    /// Whether the replica that is open is no longer in its place.
    pub(crate) fn is_replaced(&mut self) -> bool {
        let reader = self.reader();
        reader.is_some_and(|reader| !reader.replica().in_place().unwrap_or(true))
    }

    /// Whether to wait, after an error, until another replica leads: this one's directory is being
    /// removed, perhaps. Not for ever: what is damaged on all of them is told.
    pub(crate) fn waits_for_another(&mut self, store: &Arc<StoreDir>, error: &Error) -> bool {
        let passes = error.kind().is_of_one_replica();
        let partition = self.topic().partition(self.tp.partition);
        if !passes || partition.is_ok_and(|partition| partition.replicas.len() < 2) {
            return false;
        }
        let now = store.clock().monotonic();
        let since = *self.failed_since.get_or_insert(now);
        // A hint: without it the controller finds out more slowly.
        let _ = failure_reports::report(store, &self.tp);
        // A log whose files are all there is damaged within: no leader moves for that.
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
