//! A member of a group.
//!
//! 1. Records that are done are committed; records that were handed out and are not done are not. A
//!    request for the next record, or the next event, marks the last one as done, unless the
//!    program marks records itself ([`GroupOptions::manual`](super::GroupOptions::manual)).
//! 2. A partition that goes to another member is given up once the program has stopped working on
//!    it. It shows that by the poll after [`Event::Revoked`]. The iterator hands out one record at
//!    a time: the request for the next record shows that the program has stopped; meanwhile
//!    partitions of other records can be given up.
//! 3. No record is handed out of a partition that may be another member's now.
//! 4. However it ends, even by a panic, it leaves the group, and commits what is done.

mod orders;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::batch::about;
use super::closer::{Closer, Signal};
use super::consumer_options::OnMissed;
use super::event::Event;
use super::fetch_buffer::FetchBuffer;
use super::group_options::GroupOptions;
use super::progress::{HandedOut, Progress};
use super::record::{Origin, Record, RecordId};
use super::stepping::{Step, Stepping};
use super::{Positions, Store};
use crate::client::{
    self, Consumer as Engine, End, Generation, GroupSession, OutputProgress, Position,
};
use crate::error::{Error, Kind, Result};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// How many bytes are fetched at once.
const FETCH_BYTES: usize = 256 << 10;
/// The longest wait: it finds changes that no watch reported.
const TICK: Duration = Duration::from_secs(5);
/// A record that is handed out longer than that after the last check of its ownership is checked
/// again: the process may have stood still.
const CONFIRMED_FOR: Duration = Duration::from_millis(5);

/// A member of a group: reads the partitions that the group assigns to it. As an iterator it gives
/// each record, and waits for more; a request for the next record marks the last one as done.
///
/// Dropping it, even by a panic, leaves the group and commits what is done. The record in hand is
/// not done, and the next member that gets its partition reads it again. A partition stays with its
/// member as long as a record of it is in hand, however long that takes.
///
/// The iterator skips [`Event::Missed`], [`Event::Revoked`] and [`Event::Lost`]. A consumer can be
/// sent to another thread; several threads cannot share one.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// # store.producer("orders").open()?.send("hello")?.wait()?;
/// let mut consumer = store.group("billing").topics(["orders"]).to_end().open()?;
/// for record in &mut consumer {
///     assert_eq!(record?.value(), Some(&b"hello"[..]));
/// }
/// consumer.close()?;
/// // All is committed: the group continues behind it.
/// assert_eq!(store.group("billing").topics(["orders"]).to_end().open()?.count(), 0);
/// # Ok(())
/// # }
/// ```
pub struct GroupConsumer {
    store: Store,
    group: String,
    is_manual: bool,
    fails_on_missed: bool,
    session: GroupSession,
    engine: Engine,
    signal: Arc<Signal>,
    progress: Arc<Progress>,
    assigned: BTreeMap<TopicPartition, Assigned>,
    buffer: FetchBuffer,
    /// What was handed out last: a request for the next marks it as done.
    in_hand: Option<InHand>,
    /// The assignment that the session knows to be worked on.
    works_on: Option<Generation>,
    /// Reported before anything else.
    pending: VecDeque<SessionNotice>,
    /// Assignments whose [`Event::Revoked`] was reported: the next step tells the session that they
    /// are stopped.
    stopping: Vec<(TopicPartition, Generation)>,
    /// Whether the session knows that records are handed out.
    is_moving: bool,
    confirmed_at: Duration,
    /// No more records come.
    is_over: bool,
}

/// A partition that is this member's.
#[derive(Debug)]
struct Assigned {
    origin: Arc<Origin>,
    /// All records before it are done.
    done: Offset,
    /// With [`GroupOptions::manual`]: the records that are handed out.
    work: HandedOut,
    is_broken: bool,
}

#[derive(Debug)]
struct InHand {
    origin: Arc<Origin>,
    next: Offset,
    leader_epoch: LeaderEpoch,
}

/// A notice for the program.
#[derive(Debug)]
enum SessionNotice {
    Event(Event<'static>),
    Revoked(Vec<(TopicPartition, Generation)>),
    Error(Error),
}

impl GroupConsumer {
    pub(super) fn join(options: GroupOptions, engine: client::GroupOptions) -> Result<Self> {
        let dir = options.store.dir();
        dir.check_writable()?;
        let signal = Signal::new();
        let progress = Arc::new(Progress::default());
        let read_from = engine.read_from.clone();
        let rings = Arc::clone(&signal);
        let started = GroupSession::start(
            dir,
            engine,
            Arc::clone(&progress) as Arc<dyn OutputProgress>,
            Box::new(move || rings.ring()),
        );
        let session = started.map_err(|e| e.of_group(&options.group))?;
        Ok(GroupConsumer {
            engine: Engine::reading_from(dir, read_from),
            confirmed_at: dir.clock().monotonic(),
            store: options.store,
            group: options.group,
            is_manual: options.manual,
            fails_on_missed: options.on_missed == OnMissed::Fail,
            session,
            signal,
            progress,
            assigned: BTreeMap::new(),
            buffer: FetchBuffer::default(),
            in_hand: None,
            works_on: None,
            pending: VecDeque::new(),
            stopping: Vec::new(),
            is_moving: false,
            is_over: false,
        })
    }

    /// Waits up to `timeout` for the next event. It marks the records of the previous batch as
    /// done, unless the program marks them one by one
    /// ([`GroupOptions::manual`](super::GroupOptions::manual)). After [`Event::Revoked`], it shows
    /// that the program has stopped working on those partitions.
    ///
    /// # Errors
    /// The error that ended the membership, such as a deleted topic ([`Kind::UnknownTopic`]): the next
    /// event is [`Event::End`]. The error of one partition: the next poll continues with the others.
    /// Damage is reported once.
    pub fn poll(&mut self, timeout: Duration) -> Result<Event<'_>> {
        let step = self.step(timeout);
        if let Step::Event(event) = step.map_err(|e| e.of_group(&self.group))? {
            return Ok(event);
        }
        self.hand_out_batch()?;
        let batch = self.buffer.batch()?;
        Ok(batch.map_or(Event::Idle, Event::Records))
    }

    /// Waits up to `timeout` for the next record, and marks the last one as done. `None`: there was
    /// none within that time, or no more records come.
    pub fn try_next(&mut self, timeout: Duration) -> Option<Result<Record>> {
        let next = self.next_within(timeout).transpose()?;
        Some(next.map_err(|e| e.of_group(&self.group)))
    }

    /// Marks a record as done. With [`GroupOptions::manual`](super::GroupOptions::manual), in any
    /// order: all records before the first that is not done are committed, sooner or later. Without
    /// it, all records of the partition up to this one are done, as by a request for the next
    /// record: so the record in hand can be done before the consumer is dropped.
    ///
    /// # Errors
    /// [`Kind::Fenced`] if another member has the partition: it reads the record again.
    /// [`Kind::Usage`] for a record that was not handed out.
    pub fn done(&mut self, record: &RecordId) -> Result<()> {
        let assigned = self.assigned.get_mut(&record.origin.tp);
        let Some(assigned) = assigned.filter(|it| Arc::ptr_eq(&it.origin, &record.origin)) else {
            return Err(moved(record, &self.group));
        };
        let (next, leader_epoch) = if self.is_manual {
            if !assigned.work.finish(record.offset) {
                return Err(not_handed_out(record).of_group(&self.group));
            }
            assigned.work.done()
        } else if record.offset < assigned.done {
            return Ok(());
        } else {
            let in_hand = self.in_hand.as_ref();
            let in_hand = in_hand.filter(|it| Arc::ptr_eq(&it.origin, &record.origin));
            match in_hand.filter(|it| record.offset < it.next) {
                Some(in_hand) => (record.offset + 1, in_hand.leader_epoch),
                None => return Err(not_handed_out(record).of_group(&self.group)),
            }
        };
        assigned.done = next;
        self.progress
            .done(record.origin.generation, next, leader_epoch);
        Ok(())
    }

    /// Commits what is done, and returns the positions. The record in hand is not done.
    ///
    /// # Errors
    /// [`Kind::Rebalanced`] if partitions went to other members before all that was done of them was
    /// committed: their next owners read the uncommitted records again; the rest is committed.
    /// [`Kind::Fenced`], [`Kind::Unknown`], [`Kind::DiskFull`].
    pub fn commit(&mut self) -> Result<Positions> {
        let mut done = Positions::default();
        for (tp, assigned) in &self.assigned {
            done.set(tp.clone(), assigned.origin.topic_id, assigned.done);
        }
        self.session.commit().map_err(|e| e.of_group(&self.group))?;
        Ok(done)
    }

    /// A handle that ends or wakes this consumer from another thread.
    pub fn closer(&self) -> Closer {
        self.signal.closer()
    }

    /// Commits what is done, and leaves the group. The record in hand is not done; call
    /// [`GroupConsumer::done`] before if it is.
    ///
    /// # Errors
    /// As [`GroupConsumer::commit`].
    pub fn close(self) -> Result<()> {
        let ended = self.session.end(End::Succeeded, || false);
        ended.map_err(|e| e.of_group(&self.group))
    }

    /// Checks whether the records about to be handed out are still this member's. If not, they are
    /// put back.
    fn confirm(&mut self) -> Result<bool> {
        if self.session.confirm(self.assigned.keys())? && !self.session.has_orders() {
            self.confirmed_at = self.now();
            return Ok(true);
        }
        if let Some((tp, next)) = self.buffer.rest() {
            let tp = tp.clone();
            self.engine.seek(&tp, next)?;
        }
        self.buffer.clear();
        Ok(false)
    }

    fn hand_out_batch(&mut self) -> Result<()> {
        if self.is_manual
            && let Some(batch) = self.buffer.batch()?
            && let Some(assigned) = self.assigned.get_mut(batch.topic_partition())
        {
            let epoch = batch.leader_epoch();
            let mut records = batch.iter();
            // The program meets a record that does not decode, too.
            while let Some(Ok(record)) = records.next_record() {
                assigned.work.hand_out(record.offset, epoch);
            }
        }
        if let Some((origin, next, leader_epoch)) = self.buffer.hand_out() {
            let origin = Arc::clone(origin);
            self.note_in_hand(origin, next, leader_epoch);
        }
        Ok(())
    }

    fn hand_out(&mut self, record: &Record) {
        let leader_epoch = self.buffer.leader_epoch();
        let Some(origin) = self.buffer.origin().map(Arc::clone) else {
            return;
        };
        if self.is_manual {
            if let Some(assigned) = self.assigned.get_mut(&origin.tp) {
                assigned.work.hand_out(record.offset(), leader_epoch);
            }
        } else if self.works_on != Some(origin.generation) {
            self.works_on = Some(origin.generation);
            self.session.works_on(self.works_on);
        }
        self.note_in_hand(origin, record.offset() + 1, leader_epoch);
    }

    fn note_in_hand(&mut self, origin: Arc<Origin>, next: Offset, leader_epoch: LeaderEpoch) {
        if !std::mem::replace(&mut self.is_moving, true) {
            self.session.hands_out();
        }
        self.in_hand = (!self.is_manual).then_some(InHand {
            origin,
            next,
            leader_epoch,
        });
    }

    /// The next record is requested: the one in hand is done.
    fn finish_in_hand(&mut self) {
        let Some(in_hand) = self.in_hand.take() else {
            return;
        };
        let generation = in_hand.origin.generation;
        self.progress
            .done(generation, in_hand.next, in_hand.leader_epoch);
        if let Some(assigned) = self.assigned.get_mut(&in_hand.origin.tp)
            && assigned.origin.generation == generation
        {
            assigned.done = in_hand.next;
        }
    }

    /// There are no more records to hand out before `next`.
    fn pass(&mut self, origin: &Arc<Origin>, next: Offset) {
        let Some(assigned) = self.assigned.get_mut(&origin.tp) else {
            return;
        };
        if !Arc::ptr_eq(&assigned.origin, origin) {
            return;
        }
        assigned.work.pass(next);
        let (done, leader_epoch) = if self.is_manual {
            assigned.work.done()
        } else {
            (next, -1)
        };
        if done > assigned.done {
            assigned.done = done;
            self.progress.done(origin.generation, done, leader_epoch);
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
            self.break_off(&tp);
        }
        decoded
    }

    /// A partition is damaged from here on: it stays this member's, and counts as done.
    fn break_off(&mut self, tp: &TopicPartition) {
        if let Some(position) = self.engine.position(tp) {
            self.engine.limit(tp, position);
        }
        if let Some(assigned) = self.assigned.get_mut(tp) {
            assigned.is_broken = true;
            self.session.broken(assigned.origin.generation);
        }
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
                self.break_off(&tp);
                Err(e)
            }
            _ => Err(e),
        }
    }

    fn missed(&mut self, tp: &TopicPartition, e: Error) -> Result<()> {
        let Some(from) = self.engine.position(tp) else {
            return Err(e);
        };
        let reader = self.engine.open_reader(tp)?;
        let to = reader.page()?.tail.log_start;
        if from >= to || self.fails_on_missed {
            return Err(e.of_offset(from));
        }
        let place = Position {
            offset: to,
            topic_id: Some(reader.topic().meta().topic_id),
        };
        self.engine.seek(tp, place)?;
        if let Some(origin) = self.assigned.get(tp).map(|it| Arc::clone(&it.origin)) {
            self.pass(&origin, to);
        }
        let partition = tp.clone();
        self.pending.push_back(SessionNotice::Event(Event::Missed {
            partition,
            from,
            to,
        }));
        Ok(())
    }

    /// A topic was deleted. The session reports that too, with its consequences.
    fn deleted(&mut self, e: Error) -> Result<()> {
        let gone = self.assigned.keys().filter(|tp| self.engine.is_deleted(tp));
        let gone: Vec<TopicPartition> = gone.cloned().collect();
        if gone.is_empty() {
            return Err(e);
        }
        for tp in gone {
            self.stop_reading(&tp);
        }
        Ok(())
    }
}

impl Stepping for GroupConsumer {
    fn now(&self) -> Duration {
        self.store.dir().clock().monotonic()
    }

    fn buffer(&mut self) -> &mut FetchBuffer {
        &mut self.buffer
    }

    fn step(&mut self, timeout: Duration) -> Result<Step> {
        self.finish_in_hand();
        if self.works_on.take().is_some() {
            self.session.works_on(None);
        }
        self.stop();
        let mut deadline = None;
        loop {
            if self.signal.is_closed() {
                return Ok(Step::Event(Event::End));
            }
            if self.signal.take_wake() {
                return Ok(Step::Event(Event::Idle));
            }
            if self.session.has_orders() {
                self.follow_orders();
            }
            match self.pending.pop_front() {
                Some(SessionNotice::Event(event)) => return Ok(Step::Event(event)),
                Some(SessionNotice::Error(e)) => return Err(e),
                Some(SessionNotice::Revoked(partitions)) => {
                    let names = partitions.iter().map(|(tp, _)| tp.clone()).collect();
                    self.stopping.extend(partitions);
                    return Ok(Step::Event(Event::Revoked(names)));
                }
                None => {}
            }
            if self.is_over {
                return Ok(Step::Event(Event::End));
            }
            let end = self.buffer.end();
            let advanced = self.buffer.advance();
            if self.or_break_off(advanced)? {
                if self.confirm()? {
                    return Ok(Step::Batch);
                }
                continue;
            }
            if let Some((origin, end)) = end {
                self.pass(&origin, end);
            }
            match self.engine.fetch(FETCH_BYTES, self.buffer.buf()) {
                Ok(Some(fetched)) => {
                    if let Some(assigned) = self.assigned.get(&fetched.tp) {
                        self.buffer.put(fetched, Arc::clone(&assigned.origin));
                    }
                }
                Ok(None) => {
                    if std::mem::take(&mut self.is_moving) {
                        self.session.idle();
                    }
                    let now = self.now();
                    let deadline = *deadline.get_or_insert(now.saturating_add(timeout));
                    if now >= deadline {
                        return Ok(Step::Event(Event::Idle));
                    }
                    let ticks = [self.session.busy_tick(), self.engine.retry_in()];
                    let tick = ticks.into_iter().flatten().fold(TICK, Duration::min);
                    self.signal.wait(deadline.saturating_sub(now).min(tick));
                }
                Err(e) => self.failed(e)?,
            }
        }
    }

    fn take_record(&mut self) -> Result<Option<Record>> {
        let is_undisturbed = self.pending.is_empty()
            && self.stopping.is_empty()
            && !self.signal.is_set()
            && !self.session.has_orders();
        if !is_undisturbed || !self.buffer.has_record() {
            return Ok(None);
        }
        self.finish_in_hand();
        let is_old = self.now().saturating_sub(self.confirmed_at) >= CONFIRMED_FOR;
        if is_old && !self.confirm()? {
            return Ok(None);
        }
        let Some(record) = self.buffer.take_record() else {
            return Ok(None);
        };
        let record = self.or_break_off(record)?;
        self.hand_out(&record);
        Ok(Some(record))
    }

    fn is_at_end(&self) -> bool {
        self.signal.is_closed() || (self.is_over && self.pending.is_empty())
    }
}

impl fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assigned: Vec<String> = self.assigned.keys().map(ToString::to_string).collect();
        f.debug_struct("GroupConsumer")
            .field("group", &self.group)
            .field("assigned", &assigned)
            .finish_non_exhaustive()
    }
}

impl Iterator for GroupConsumer {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        let next = self.next_or_end()?;
        Some(next.map_err(|e| e.of_group(&self.group)))
    }
}

fn moved(record: &RecordId, group: &str) -> Error {
    let text = format!(
        "{} is no longer this member's of group '{}': record {} is read again by its next owner",
        record.origin.tp,
        group.escape_debug(),
        record.offset
    );
    about(Error::new(Kind::Fenced, text), &record.origin.tp)
        .of_offset(record.offset)
        .of_group(group)
        .cure("undo the record's effects if they must not happen twice")
}

fn not_handed_out(record: &RecordId) -> Error {
    let text = format!("record {record} was not handed out by this consumer");
    about(Error::new(Kind::Usage, text), &record.origin.tp)
        .of_offset(record.offset)
        .cure("call done only for records that this consumer returned")
}

impl GroupOptions {
    /// Joins the group.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] for a missing topic; [`Kind::Busy`] if another live member has the
    /// instance id; [`Kind::InvalidTopic`]; [`Kind::Usage`] for no topics, a bad pattern,
    /// a name that cannot be a group's, or a session timeout that is too short; [`Kind::Damaged`].
    pub fn open(self) -> Result<GroupConsumer> {
        let engine = self.to_engine()?;
        GroupConsumer::join(self, engine)
    }
}
