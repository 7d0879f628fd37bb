//! The consumer: reads topics without a group.
//!
//! 1. The position of a partition is its first record that was not handed out. [`Consumer::poll`]
//!    hands out all records of a batch at once, the iterator each record by itself.
//! 2. An offset is used only in its own topic. A deleted topic is reported once, and not read
//!    again, even if another one of that name is created.
//! 3. A failure of one partition is reported, and the others are read on.

mod assigning;
mod ending;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::batch::about;
use super::closer::{Closer, Signal};
use super::consumer_options::{ConsumerOptions, OnMissed};
use super::event::Event;
use super::fetch_buffer::FetchBuffer;
use super::record::{Origin, Record};
use super::stepping::{Step, Stepping};
use super::{OffsetSpec, Positions};
use crate::client::{Consumer as Engine, Position};
use crate::error::{Error, Kind, Result};
use crate::store::topics::topic_file;
use crate::store::{StoreDir, TopicHandle};
use crate::types::{Offset, Timestamp, TopicName, TopicPartition};

/// How many bytes are fetched at once.
const FETCH_BYTES: usize = 1 << 20;
/// The longest wait: it finds changes that no watch reported.
const TICK: Duration = Duration::from_secs(5);
/// How often a consumer that never waits checks the topics.
const TOPICS_POLL: Duration = Duration::from_secs(1);

/// Reads topics. As an iterator it gives each record, waits for more, and ends where
/// [`ConsumerOptions::to_end`] or [`ConsumerOptions::until`] say, or when it is closed.
///
/// The iterator passes over [`Event::Missed`]; with [`OnMissed::Fail`] it gives an error instead. A consumer
/// can be sent to another thread; several threads cannot share one.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// # store.producer("orders").open()?.send("hello")?.wait()?;
/// let mut consumer = store.consumer(["orders"]).to_end().open()?;
/// for record in &mut consumer {
///     assert_eq!(record?.value(), Some(&b"hello"[..]));
/// }
/// // Stored beside the results of the records: the place to continue.
/// let kept = consumer.positions().to_string();
///
/// let mut later = store.consumer(["orders"]).resume(kept.parse()?).to_end().open()?;
/// assert!(later.next().is_none());
/// # Ok(())
/// # }
/// ```
pub struct Consumer {
    options: ConsumerOptions,
    store: Arc<StoreDir>,
    engine: Engine,
    signal: Arc<Signal>,
    topics: BTreeMap<TopicName, Known>,
    partitions: BTreeMap<TopicPartition, Assigned>,
    /// Partitions that could not be opened: each is retried.
    failing: BTreeMap<TopicPartition, Failing>,
    /// Ends that are times which the clock has not passed.
    time_bounds: BTreeMap<TopicPartition, Timestamp>,
    buffer: FetchBuffer,
    /// Reported before anything else.
    pending: VecDeque<Result<Event<'static>>>,
    topics_changed: bool,
    examined: Duration,
}

/// A topic that is read.
#[derive(Debug)]
struct Known {
    topic: TopicHandle,
    /// How many of its partitions were assigned, or are failing.
    partitions: usize,
}

/// A partition that is read.
#[derive(Debug)]
struct Assigned {
    origin: Arc<Origin>,
    until: Option<Offset>,
}

#[derive(Debug)]
struct Failing {
    /// Whether it existed when the consumer was opened.
    is_first: bool,
    /// Whether it was reported to the program.
    is_reported: bool,
}

impl Consumer {
    pub(super) fn open(
        options: ConsumerOptions,
        names: impl IntoIterator<Item = TopicName>,
    ) -> Result<Self> {
        let store = Arc::clone(options.store.dir());
        let mut consumer = Consumer {
            engine: Engine::reading_from(&store, options.read_from.clone()),
            examined: store.clock().monotonic(),
            options,
            store,
            signal: Signal::with_fd()?,
            topics: BTreeMap::new(),
            partitions: BTreeMap::new(),
            failing: BTreeMap::new(),
            time_bounds: BTreeMap::new(),
            buffer: FetchBuffer::default(),
            pending: VecDeque::new(),
            topics_changed: false,
        };
        consumer.assign_first(names)?;
        Ok(consumer)
    }

    /// Waits up to `timeout` for the next event. The records of a batch are handed out with it.
    ///
    /// # Errors
    /// [`Kind::OffsetOutOfRange`] with [`OnMissed::Fail`]; [`Kind::UnknownTopic`], once, for a topic
    /// that was deleted; [`Kind::Damaged`], once, for a partition that cannot be read further;
    /// [`Kind::Io`] and others, each time. The next poll continues with the readable partitions.
    pub fn poll(&mut self, timeout: Duration) -> Result<Event<'_>> {
        if let Step::Event(event) = self.step(timeout)? {
            return Ok(event);
        }
        self.buffer.hand_out();
        let batch = self.buffer.batch()?;
        Ok(batch.map_or(Event::Idle, Event::Records))
    }

    /// Waits up to `timeout` for the next record. `None`: there was none within that time, or no
    /// more records come.
    pub fn try_next(&mut self, timeout: Duration) -> Option<Result<Record>> {
        self.next_within(timeout).transpose()
    }

    /// Moves to another place in a partition that is read, and returns the offset of that place.
    ///
    /// # Errors
    /// [`Kind::Usage`] if the partition is not read; [`Kind::OffsetOutOfRange`] if the log does not
    /// have that place; [`Kind::UnknownTopic`] if the topic was deleted.
    pub fn seek(&mut self, partition: &TopicPartition, to: OffsetSpec) -> Result<Offset> {
        let Some(assigned) = self.partitions.get(partition) else {
            let text = format!("{partition} is not read by this consumer");
            let e = Error::new(Kind::Usage, text).cure("name its topic when opening it");
            return Err(about(e, partition));
        };
        let about_it = |e| about(e, partition);
        let reader = self.engine.open_reader(partition).map_err(about_it)?;
        if reader.topic().meta().topic_id != assigned.origin.topic_id {
            return Err(about_it(topic_file::unknown(&self.store, &partition.topic)));
        }
        let offset = to.resolve(&reader).map_err(about_it)?;
        self.engine.assign_reader(reader, offset, assigned.until);
        if self.buffer.origin().is_some_and(|of| of.tp == *partition) {
            self.buffer.clear();
        }
        Ok(offset)
    }

    /// The next offset of each partition.
    pub fn positions(&self) -> Positions {
        let mut positions = Positions::default();
        for tp in self.failing.keys() {
            if let Some(kept) = self.options.resume.position(tp)
                && let Some(topic_id) = kept.topic_id
            {
                positions.set(tp.clone(), topic_id, kept.offset);
            }
        }
        for (tp, place) in self.engine.positions() {
            if let Some(topic_id) = place.topic_id {
                positions.set(tp.clone(), topic_id, place.offset);
            }
        }
        if let Some((tp, next)) = self.buffer.rest()
            && let Some(assigned) = self.partitions.get(tp)
        {
            positions.set(tp.clone(), assigned.origin.topic_id, next);
        }
        positions
    }

    /// A handle that ends or wakes this consumer from another thread.
    pub fn closer(&self) -> Closer {
        self.signal.closer()
    }

    fn wait(&mut self, timeout: Duration) -> Result<()> {
        let timeout = timeout.min(self.times_due()).min(TICK);
        let wake = self.engine.wait(timeout, self.signal.fd())?;
        self.signal.drain();
        self.topics_changed |= self.engine.topics_changed(&wake);
        Ok(())
    }

    /// Handles the error of a fetch.
    fn failed(&mut self, e: Error) -> Result<()> {
        let failed_at = self.engine.failed_at().cloned();
        let e = match &failed_at {
            Some(tp) => about(e, tp),
            None => e,
        };
        match (e.kind(), failed_at) {
            (Kind::OffsetOutOfRange, Some(tp)) => self.missed(&tp, e),
            (Kind::UnknownTopic, _) => self.deleted(e),
            (Kind::Damaged, Some(tp)) => {
                // It is reported once: each further fetch would fail in the same way.
                if let Some(position) = self.engine.position(&tp) {
                    self.engine.limit(&tp, position);
                }
                Err(e)
            }
            _ => Err(e),
        }
    }

    /// Ends the reading of the buffer's partition where its records do not decode.
    fn or_break_off<T>(&mut self, decoded: Result<T>) -> Result<T> {
        if decoded.is_err()
            && let Some((tp, next)) = self.buffer.rest()
        {
            let tp = tp.clone();
            self.buffer.clear();
            self.engine.seek(&tp, next)?;
            self.engine.limit(&tp, next);
        }
        decoded
    }

    fn missed(&mut self, tp: &TopicPartition, e: Error) -> Result<()> {
        let Some(from) = self.engine.position(tp) else {
            return Err(e);
        };
        let reader = self.engine.open_reader(tp)?;
        let to = reader.page()?.tail.log_start;
        if from >= to || self.options.on_missed == OnMissed::Fail {
            return Err(e.of_offset(from));
        }
        let place = Position {
            offset: to,
            topic_id: Some(reader.topic().meta().topic_id),
        };
        self.engine.seek(tp, place)?;
        let partition = tp.clone();
        let missed = Event::Missed {
            partition,
            from,
            to,
        };
        self.pending.push_back(Ok(missed));
        Ok(())
    }

    /// A topic was deleted: it is removed, and reported once.
    fn deleted(&mut self, e: Error) -> Result<()> {
        let gone: Vec<TopicPartition> = self
            .partitions
            .keys()
            .filter(|tp| self.engine.is_deleted(tp))
            .cloned()
            .collect();
        for tp in gone {
            self.engine.unassign(&tp);
            self.partitions.remove(&tp);
            self.time_bounds.remove(&tp);
            self.topics.remove(&tp.topic);
            self.failing.retain(|failing, _| failing.topic != tp.topic);
        }
        Err(e)
    }
}

impl Stepping for Consumer {
    fn now(&self) -> Duration {
        self.store.clock().monotonic()
    }

    fn buffer(&mut self) -> &mut FetchBuffer {
        &mut self.buffer
    }

    fn step(&mut self, timeout: Duration) -> Result<Step> {
        let mut deadline = None;
        loop {
            if self.signal.is_closed() {
                return Ok(Step::Event(Event::End));
            }
            if self.signal.take_wake() {
                return Ok(Step::Event(Event::Idle));
            }
            if let Some(reported) = self.pending.pop_front() {
                return reported.map(Step::Event);
            }
            let advanced = self.buffer.advance();
            if self.or_break_off(advanced)? {
                return Ok(Step::Batch);
            }
            self.refresh_topics();
            if !self.pending.is_empty() {
                continue;
            }
            match self.engine.fetch(FETCH_BYTES, self.buffer.buf()) {
                Ok(Some(mut fetched)) => {
                    self.cut_at_time(&mut fetched)?;
                    if let Some(assigned) = self.partitions.get(&fetched.tp) {
                        self.buffer.put(fetched, Arc::clone(&assigned.origin));
                    }
                }
                Ok(None) => {
                    self.pass_times();
                    if self.is_done() {
                        return Ok(Step::Event(Event::End));
                    }
                    let now = self.now();
                    let deadline = *deadline.get_or_insert(now.saturating_add(timeout));
                    if now >= deadline {
                        return Ok(Step::Event(Event::Idle));
                    }
                    self.wait(deadline.saturating_sub(now))?;
                }
                Err(e) => self.failed(e)?,
            }
        }
    }

    fn take_record(&mut self) -> Result<Option<Record>> {
        let is_due = self.pending.is_empty() && !self.signal.is_closed();
        if is_due && let Some(record) = self.buffer.take_record() {
            return self.or_break_off(record).map(Some);
        }
        Ok(None)
    }

    fn is_at_end(&self) -> bool {
        self.signal.is_closed() || (self.is_done() && self.pending.is_empty())
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let positions = self.positions().to_string();
        f.debug_struct("Consumer")
            .field("positions", &positions)
            .finish_non_exhaustive()
    }
}

impl Iterator for Consumer {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        self.next_or_end()
    }
}

impl ConsumerOptions {
    /// Opens the consumer.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] if a topic or a partition does not exist, or if [`ConsumerOptions::resume`]
    /// has offsets of an earlier topic of that name; [`Kind::OffsetOutOfRange`] for a beginning beyond
    /// the log, and for a deleted one with [`OnMissed::Fail`]; [`Kind::InvalidTopic`];
    /// [`Kind::Usage`] if no topic is named. The error of one partition of several is reported by the
    /// first poll.
    pub fn open(self) -> Result<Consumer> {
        let names = self.names()?;
        Consumer::open(self, names)
    }
}
