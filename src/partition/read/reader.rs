//! Reading one partition without a lock.
//!
//! 1. The page is read before and after the bytes. A changed generation means that bytes moved
//!    meanwhile: the bytes are dropped, and the place is looked up again by offset.
//! 2. Every batch is checked (checksum, and the fields outside it against its neighbours and the
//!    epoch checkpoint) before a caller sees it. A bad one under an unchanged page is damage.
//! 3. Nothing at or above the high watermark is returned.

use std::sync::Arc;

use super::cursor::Cursor;
use super::log_edges::LogEdges;
use super::scan;
use super::settling::wait_until_settled;
use crate::disk::{Open, join};
use crate::error::{Error, Kind, Result, is_stale};
use crate::log::{self, FileKind, LeaderEpochs, SegmentFile, damaged};
use crate::partition::log_snapshot::LogSnapshot;
use crate::partition::recovery::open_replica;
use crate::partition::replica::{Replica, offline_error};
use crate::partition::state_page::{Intent, Offline, Role, StatePage};
use crate::store::{StoreDir, TopicHandle};
use crate::types::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicPartition};

/// Reads one partition.
#[derive(Debug)]
pub struct PartitionReader {
    broker: BrokerId,
    /// Whether the caller asked for this broker's replica, leader or not.
    pinned: bool,
    replica: Replica,
    boot_id: [u8; 16],
    store: Arc<StoreDir>,
    topic: TopicHandle,
    cursor: Option<Cursor>,
    edges: LogEdges,
    /// The last snapshot. It may lack newer segments, so damage is not concluded from it.
    snapshot: Option<LogSnapshot>,
}

/// A read of at most this many bytes probes after each batch whether a segment begins there,
/// instead of listing: with a thousand segments a listing takes longer than the read.
const PROBED_BYTES_MAX: usize = 64 * 1024;
/// How many bytes behind damage are searched for the next sound batch.
const SEARCHED_BYTES_MAX: u64 = 4 << 20;
/// How often a read starts over because bytes moved meanwhile.
const TRIES: u32 = 1000;

impl PartitionReader {
    /// Opens the partition's leader replica for reading.
    pub fn open(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<Self> {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let leader = topic.partition(tp.partition)?.leader;
        let replica = open_replica(store, &topic, tp)?;
        PartitionReader::of_replica(store, topic, leader, false, replica)
    }

    /// Opens the replica that a broker holds.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] if it holds none; as [`PartitionReader::open`].
    pub fn open_at(store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> Result<Self> {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let partition = topic.partition(tp.partition)?;
        if partition.uuid_of(broker).is_none() {
            let all: Vec<_> = partition
                .replicas
                .iter()
                .map(|r| r.broker.to_string())
                .collect();
            let text = format!("broker {broker} holds no replica of {tp}");
            return Err(Error::new(Kind::BrokerState, text)
                .cure(format!("its replicas are on {}", all.join(", "))));
        }
        let replica = Replica::open(store, tp, broker)?;
        PartitionReader::of_replica(store, topic, broker, true, replica)
    }

    fn of_replica(
        store: &Arc<StoreDir>,
        topic: TopicHandle,
        broker: BrokerId,
        pinned: bool,
        replica: Replica,
    ) -> Result<Self> {
        Ok(PartitionReader {
            broker,
            pinned,
            replica,
            boot_id: store.boot_id(),
            store: Arc::clone(store),
            topic,
            cursor: None,
            edges: LogEdges::default(),
            snapshot: None,
        })
    }

    /// The broker whose replica is read.
    pub fn broker(&self) -> BrokerId {
        self.broker
    }

    /// The topic, as of the last read of its file.
    pub fn topic(&self) -> &TopicHandle {
        &self.topic
    }

    /// The replica that is read.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Most bytes that a batch may decompress to: what the topic file says now, or said last if it
    /// cannot be read. One look-up while the topic does not change.
    ///
    /// Does not switch to the newer topic file: it may name another replica, and only
    /// [`PartitionReader::follow_leadership`] switches to both together.
    pub fn decompressed_len_max(&self) -> usize {
        if !self.topic.is_current().unwrap_or(true)
            && let Ok(topic) = TopicHandle::open(&self.store, &self.replica.tp().topic)
        {
            return topic.configs().decompressed_len_max();
        }
        self.topic.configs().decompressed_len_max()
    }

    pub(crate) fn store(&self) -> &Arc<StoreDir> {
        &self.store
    }

    pub(crate) fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    pub(crate) fn every_message(&self) -> bool {
        self.topic.configs().every_message()
    }

    /// Whether the caller asked for this broker's replica, leader or not.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Switches to a topic file that still names the same replica.
    pub(crate) fn take_topic(&mut self, topic: TopicHandle) {
        self.topic = topic;
    }

    /// Switches to the replica that this topic file names.
    pub(crate) fn take_replica(&mut self, topic: TopicHandle, broker: BrokerId, replica: Replica) {
        self.topic = topic;
        self.broker = broker;
        self.replica = replica;
        self.forget();
    }

    /// Drops all cached knowledge of the log's files.
    fn forget(&mut self) {
        self.cursor = None;
        self.snapshot = None;
    }

    /// The published page.
    ///
    /// Of a page of another boot only the durable offset is true: a process that may write recovers
    /// the replica first (`PartitionWriter::make_ready`).
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] if the topic was deleted, [`Kind::Damaged`] if the page is
    /// unreadable.
    pub fn page(&self) -> Result<StatePage> {
        let page = self
            .replica
            .read_page()?
            .ok_or_else(|| unreadable(&self.replica))?;
        if page.offline == Some(Offline::Removed) {
            return Err(offline_error(&self.replica, Offline::Removed));
        }
        Ok(page.as_of_boot(self.boot_id))
    }

    /// Whether the page is of another boot, so that the replica needs a recovery.
    pub fn needs_recovery(&self) -> Result<bool> {
        Ok(self
            .replica
            .read_page()?
            .is_none_or(|page| page.boot_id != self.boot_id))
    }

    /// Reads whole batches from the one that holds `from` on, into `buf` (its contents are
    /// replaced), up to the high watermark of `page` and about `bytes_max` (at least one batch).
    /// Returns the number of bytes; 0: nothing there yet.
    ///
    /// # Errors
    /// [`Kind::OffsetOutOfRange`] below the log start, and beyond the log end of a leader;
    /// [`Kind::Damaged`], naming file and position.
    pub fn read(&mut self, from: Offset, bytes_max: usize, buf: &mut Vec<u8>) -> Result<usize> {
        let (page, len) = self.read_below(|page| page.high_watermark, from, bytes_max, buf)?;
        buf.truncate(len);
        self.edges = LogEdges {
            log_start: page.tail.log_start,
            high_watermark: page.high_watermark,
            deletions_gone: page.deletions_gone,
        };
        if from > page.tail.end && self.has_whole_log(&page) {
            return Err(beyond_end(&self.replica, from, page.tail.end));
        }
        Ok(len)
    }

    /// The log's edges as of the last read.
    pub fn edges(&self) -> LogEdges {
        self.edges
    }

    /// Whether the log below the page's end grows only by appends: a follower, or a log in
    /// recovery, may still lack records that a reader saw elsewhere.
    fn has_whole_log(&self, page: &StatePage) -> bool {
        page.role == Role::Leader
            && page.boot_id == self.boot_id
            && !matches!(page.intent, Intent::Rewrite | Intent::Truncate(_))
    }

    /// As [`PartitionReader::read`], up to the log end: for a replica that copies this one. Returns
    /// the page that was read after the bytes, by which the follower decides whether they count. If
    /// there are none, `buf` keeps its contents: the follower calls again soon, and would have to
    /// zero it again.
    pub(crate) fn read_to_end(
        &mut self,
        from: Offset,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<(StatePage, usize)> {
        self.read_below(|page| page.tail.end, from, bytes_max, buf)
    }

    fn read_below(
        &mut self,
        bound: impl Fn(&StatePage) -> Offset,
        from: Offset,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<(StatePage, usize)> {
        let mut fresh = false;
        for _ in 0..TRIES {
            let before = self.page()?;
            let bound = bound(&before);
            if from >= bound {
                return Ok((before, 0));
            }
            if from < before.tail.log_start {
                return Err(below_start(&self.replica, from, before.tail.log_start));
            }
            let outcome = self.read_once(&before, from, bound, bytes_max, buf);
            let after = self.replica.read_page()?;
            if let Some(after) = after.filter(|after| from < after.tail.log_start) {
                // A segment that is missing lies below the new log start.
                self.forget();
                return Err(below_start(&self.replica, from, after.tail.log_start));
            }
            let same = after.is_some_and(|after| after.generation == before.generation);
            let moving = after.is_some_and(|after| after.intent.moves_bytes());
            if !same || (moving && outcome.is_err()) {
                self.forget();
                if moving {
                    wait_until_settled(&self.store, &self.replica, self.leads())?;
                }
                continue;
            }
            let page = after.unwrap_or(before);
            let error = match outcome {
                // Only the cursor moved, to the segment that `from` lies in.
                Ok(0) => continue,
                Ok(len) => return Ok((page, len)),
                Err(e) => e,
            };
            let met_at = self.cursor.take();
            self.forget();
            let is_replaced = error.io_source().is_some_and(is_stale);
            if error.kind() != Kind::Damaged && (fresh || !is_replaced) {
                return Err(error);
            }
            if !fresh {
                // The damage was concluded from an older snapshot, or a process that replaced the file died
                // before it published that: check once more with a new one.
                fresh = true;
                continue;
            }
            return Err(if self.is_checkpoint_wrong(&before).unwrap_or(false) {
                self.wrong_checkpoint("does not fit the log, which is sound")
            } else {
                let behind = met_at.and_then(|at| self.readable_behind(at, &before, bound));
                error.cure(save_then_cut(self.replica.tp(), behind))
            });
        }
        Err(Error::new(
            Kind::Busy,
            format!(
                "the log of {} was repaired at each try to read it",
                self.replica.tp()
            ),
        )
        .cure("other processes keep changing it: try again"))
    }

    /// The first offset at or after `from` whose record is not older than `timestamp`, below the
    /// high watermark.
    pub fn first_not_older(&self, from: Offset, timestamp: Timestamp) -> Result<Option<Offset>> {
        for _ in 0..TRIES {
            let LogSnapshot { page, segments, .. } =
                LogSnapshot::take_settled(&self.store, &self.replica, self.leads())?
                    .ok_or_else(|| unreadable(&self.replica))?;
            let found = log::first_not_older(
                &**self.replica.dir(),
                &segments,
                &page.tail,
                from.max(page.tail.log_start),
                page.high_watermark,
                timestamp,
                self.topic.configs().decompressed_len_max(),
            );
            let after = self.replica.read_page()?;
            let rose = after.is_some_and(|after| after.tail.log_start > page.tail.log_start);
            let same = after.is_some_and(|after| after.generation == page.generation);
            if same && !(rose && found.is_err()) {
                return found;
            }
        }
        Err(Error::new(
            Kind::Busy,
            format!("the log of {} keeps moving", self.replica.tp()),
        )
        .cure("other processes keep changing it: try again"))
    }

    fn read_once(
        &mut self,
        page: &StatePage,
        from: Offset,
        bound: Offset,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<usize> {
        self.cover(page)?;
        let usable = self
            .cursor
            .as_ref()
            .is_some_and(|c| c.generation == page.generation && c.offset == from);
        if !usable {
            self.cursor = Some(self.seek(page, from)?);
        }
        loop {
            self.find_next_segment(page, bytes_max)?;
            let Some(cursor) = &self.cursor else {
                return Ok(0);
            };
            if cursor.next_segment != Some(cursor.offset) {
                break;
            }
            let (next, epoch) = (cursor.offset, cursor.epoch);
            self.cursor = Some(self.open_segment(page, next, epoch)?);
        }
        let active = (cursor_segment(self.cursor.as_ref()) == Some(page.tail.active))
            .then_some(page.tail.log_bytes);
        let (Some(cursor), Some(snapshot)) = (&mut self.cursor, &self.snapshot) else {
            return Ok(0);
        };
        let dir = &**self.replica.dir();
        let epochs = snapshot.epochs.as_ref();
        scan::fill(dir, cursor, epochs, active, &(from..bound), bytes_max, buf)
    }

    /// Where the segment under the cursor ends, unless it is the active one.
    fn find_next_segment(&mut self, page: &StatePage, bytes_max: usize) -> Result<()> {
        let known = |this: &Self, base| {
            let snapshot = this.snapshot.as_ref();
            snapshot.and_then(|snapshot| snapshot.segment_after(base, page.generation))
        };
        let Some((base, offset)) = self
            .cursor
            .as_ref()
            .filter(|c| c.next_segment.is_none() && c.segment != page.tail.active)
            .map(|c| (c.segment, c.offset))
        else {
            return Ok(());
        };
        let mut next = known(self, base);
        if next.is_none() && bytes_max > PROBED_BYTES_MAX {
            self.snapshot = Some(self.observe()?);
            next = known(self, base);
        }
        let name = SegmentFile::new(offset, FileKind::Log).name();
        if next.is_none() && offset != base && self.replica.dir().id(&name).is_ok() {
            // The segment was the active one, and was read to its end.
            next = Some(offset);
        }
        if let Some(cursor) = &mut self.cursor {
            cursor.next_segment = next;
        }
        Ok(())
    }

    /// The base offset of the batch that holds `offset`; at the log's end `offset` itself.
    pub(crate) fn batch_base(&self, page: &StatePage, offset: Offset) -> Result<Offset> {
        if offset >= page.tail.end {
            return Ok(offset);
        }
        self.seek(page, offset).map(|cursor| cursor.offset)
    }

    /// The cursor at the batch that holds `from`.
    fn seek(&self, page: &StatePage, from: Offset) -> Result<Cursor> {
        let dir = &**self.replica.dir();
        // Most reads begin where a segment begins: then no listing is needed.
        if let Ok(cursor) = self.open_segment(page, from, 0) {
            return Ok(cursor);
        }
        // A fresh listing: the cached one may lack the segment.
        let segments = self.observe()?.segments;
        let at = log::locate(dir, &segments, &page.tail, from).map_err(|e| {
            // The page says that the log has this offset.
            match e.kind() {
                Kind::OffsetOutOfRange => {
                    damaged(dir, page.tail.log_start, 0, "the segment is missing")
                }
                _ => e,
            }
        })?;
        let mut cursor = self.open_segment(page, at.segment, 0)?;
        cursor.position = at.position;
        cursor.offset = at.offset;
        cursor.next_segment = segments.after(at.segment);
        Ok(cursor)
    }

    fn open_segment(&self, page: &StatePage, base: Offset, epoch: LeaderEpoch) -> Result<Cursor> {
        let dir = &**self.replica.dir();
        let name = SegmentFile::new(base, FileKind::Log).name();
        let file = dir.open_kept(&name, Open::Read).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                damaged(dir, base, 0, "the segment is missing")
            } else {
                Error::io("open", join(dir, &name), e)
            }
        })?;
        Ok(Cursor {
            generation: page.generation,
            segment: base,
            next_segment: None,
            position: 0,
            offset: base,
            epoch,
            file,
        })
    }

    /// Takes a new snapshot unless the current one is of the page's generation and has epochs.
    fn cover(&mut self, page: &StatePage) -> Result<()> {
        let kept = self.snapshot.as_ref();
        if kept.is_none_or(|snapshot| snapshot.page.generation != page.generation) {
            let taken = LogSnapshot::take_unlisted(&self.replica)?;
            self.snapshot = Some(taken.ok_or_else(|| unreadable(&self.replica))?);
        }
        let readable = self.snapshot.as_ref().is_some_and(|s| s.epochs.is_some());
        if readable {
            Ok(())
        } else {
            Err(self.wrong_checkpoint("is missing or damaged"))
        }
    }

    /// The offset of the next batch behind the damage at `at`, if a short search finds one from which
    /// the log can be read.
    fn readable_behind(&mut self, at: Cursor, page: &StatePage, bound: Offset) -> Option<Offset> {
        let mut end = at.file.len().ok()?;
        if at.segment == page.tail.active {
            end = end.min(page.tail.log_bytes);
        }
        let end = end.min(at.position + SEARCHED_BYTES_MAX);
        let found = log::next_sound_batch(&*at.file, at.position, end, at.offset).ok()?;
        let offset = match found {
            Some((_, header)) => header.base_offset,
            // Perhaps the damaged batch is the last of its segment.
            None => self.observe().ok()?.segments.after(at.segment)?,
        };
        if offset >= bound {
            return None;
        }
        // The damage may also hide the batch from a look-up.
        let read = self.read_once(page, offset, bound, 1, &mut Vec::new());
        self.forget();
        read.is_ok_and(|len| len > 0).then_some(offset)
    }

    /// Whether the replica is its partition's leader, by the topic file that is open.
    fn leads(&self) -> bool {
        let partition = self.topic.partition(self.replica.tp().partition);
        partition.is_ok_and(|partition| partition.leader == self.broker)
    }

    fn observe(&self) -> Result<LogSnapshot> {
        LogSnapshot::take(&self.replica)?.ok_or_else(|| unreadable(&self.replica))
    }

    fn wrong_checkpoint(&self, how: &str) -> Error {
        let path = join(&**self.replica.dir(), LeaderEpochs::FILE);
        Error::new(Kind::Damaged, format!("{} {how}", path.display())).cure(format!(
            "'mq-topics verify --repair truncate {}' rebuilds it",
            self.replica.tp().topic
        ))
    }

    /// Whether the log is sound up to its end, and only the epoch checkpoint contradicts it. Reads
    /// the whole log, so it is called only after damage was found.
    fn is_checkpoint_wrong(&self, page: &StatePage) -> Result<bool> {
        let dir = &**self.replica.dir();
        let LogSnapshot {
            segments, epochs, ..
        } = self.observe()?;
        let Some(epochs) = epochs else {
            // The checkpoint was found wrong already.
            return Ok(false);
        };
        let partition = self.topic.partition(self.replica.tp().partition)?;
        let known = log::KnownEpochs {
            current: page.begun_epoch(),
            newest: page.leader_epoch.max(partition.leader_epoch),
        };
        let (tail, end) = (&page.tail, page.tail.end);
        let carried = log::epochs_instead(dir, &segments, tail, end, &epochs, known)?;
        Ok(carried.is_some())
    }
}

fn cursor_segment(cursor: Option<&Cursor>) -> Option<Offset> {
    cursor.map(|cursor| cursor.segment)
}

pub(crate) fn unreadable(replica: &Replica) -> Error {
    let path = replica.dir().path().display();
    Error::new(
        Kind::Damaged,
        format!("both copies of the page in {path} are damaged"),
    )
    .cure("any write to the partition, or 'mq-topics verify', recovers it from the log")
}

/// OFFSET_OUT_OF_RANGE for an offset that the log never had, or has no longer.
fn beyond_end(replica: &Replica, offset: Offset, end: Offset) -> Error {
    Error::new(
        Kind::OffsetOutOfRange,
        format!(
            "OFFSET_OUT_OF_RANGE: {} ends at offset {end}; {offset} is beyond that",
            replica.tp()
        ),
    )
    .cure("the topic was created again, or records were lost: choose where to continue")
}

/// The remedy for damage that a reader met. A repair also cuts the sound records behind the damage,
/// so they are saved first, from the offset `behind` if it is known.
fn save_then_cut(tp: &TopicPartition, behind: Option<Offset>) -> String {
    let (topic, partition) = (&tp.topic, tp.partition);
    let (from, n) = match behind {
        Some(offset) => (format!("from offset {offset} on"), offset.to_string()),
        None => ("from an offset N there".to_owned(), "N".to_owned()),
    };
    format!(
        "first save what is behind the damage, {from}: 'mq-consume -J -e -p {partition} -o {n} {topic} > \
         FILE'; 'mq-topics verify --deep {topic}' shows the damage, 'mq-topics verify --repair truncate \
         {topic}' cuts the log there"
    )
}

/// OFFSET_OUT_OF_RANGE for an offset that was removed.
fn below_start(replica: &Replica, offset: Offset, start: Offset) -> Error {
    Error::new(
        Kind::OffsetOutOfRange,
        format!(
            "OFFSET_OUT_OF_RANGE: {} begins at offset {start}; {offset} was removed",
            replica.tp()
        ),
    )
    .cure("read from 'start'")
}
