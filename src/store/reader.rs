//! Reading one partition without a lock.
//!
//! 1. The page is read before and after the bytes. A changed generation means that bytes moved
//!    meanwhile: what was read is dropped, and the place is looked up anew by offset.
//! 2. Every batch is checked (checksum, and what lies outside it against its neighbours and the
//!    epoch checkpoint) before anyone sees it. A bad one under an unchanged page is damage.
//! 3. Nothing at or above the high watermark is given out.

use std::sync::Arc;
use std::time::Duration;

use super::open::StoreDir;
use super::page::{Intent, Offline, Page};
use super::rebuild::open_replica;
use super::replica::{Replica, offline_error};
use super::topic_handle::TopicHandle;
use crate::disk::{File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::record::{BATCH_HEADER_LEN, BatchHeader, BatchView};
use crate::storage::{self, FileKind, LeaderEpochs, SegmentFile, Segments, damaged};
use crate::types::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicPartition};

/// Where the next read begins.
#[derive(Debug)]
struct Cursor {
    generation: u64,
    segment: Offset,
    next_segment: Option<Offset>,
    position: u64,
    offset: Offset,
    epoch: LeaderEpoch,
    file: Arc<dyn File>,
}

/// Reads one partition.
#[derive(Debug)]
pub struct PartitionReader {
    broker: BrokerId,
    /// Whether this broker's replica was asked for, whoever leads.
    pinned: bool,
    replica: Replica,
    boot_id: [u8; 16],
    store: Arc<StoreDir>,
    topic: TopicHandle,
    cursor: Option<Cursor>,
    listed: Segments,
    listed_generation: Option<u64>,
    epochs: LeaderEpochs,
    epochs_generation: Option<(u64, LeaderEpoch)>,
}

/// A read of at most so many bytes asks after each batch whether a segment begins there, and does
/// without a listing: with a thousand segments that takes longer than the read.
const PROBED_BYTES_MAX: usize = 64 * 1024;
/// How often a read starts over because bytes moved under it.
const TRIES: u32 = 1000;
/// Between two tries while bytes are being moved.
const MOVING_PAUSE: Duration = Duration::from_millis(5);

impl PartitionReader {
    /// Opens the partition's leader replica for reading.
    pub fn open(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<Self> {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let leader = topic.partition(tp.partition)?.leader;
        let replica = open_replica(store, &topic, tp)?;
        PartitionReader::of_replica(store, topic, (leader, false), replica)
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
        PartitionReader::of_replica(store, topic, (broker, true), replica)
    }

    fn of_replica(
        store: &Arc<StoreDir>,
        topic: TopicHandle,
        (broker, pinned): (BrokerId, bool),
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
            listed: Segments::default(),
            listed_generation: None,
            epochs: LeaderEpochs::default(),
            epochs_generation: None,
        })
    }

    /// Whose replica is read.
    pub fn broker(&self) -> BrokerId {
        self.broker
    }

    /// The topic, as of the last look.
    pub fn topic(&self) -> &TopicHandle {
        &self.topic
    }

    /// The replica that is read.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Most bytes that a batch may decompress to: what the topic says now, or what it said last
    /// if it cannot be read. One look-up as long as nobody changes the topic.
    ///
    /// The newer topic file is not taken up here: it may name another replica, which only
    /// [`PartitionReader::follow_leadership`] opens, together with the file.
    pub fn decompressed_len_max(&self) -> usize {
        if !self.topic.is_current().unwrap_or(true)
            && let Ok(topic) = TopicHandle::open(&self.store, &self.replica.tp().topic)
        {
            return topic.configs().decompressed_len_max();
        }
        self.topic.configs().decompressed_len_max()
    }

    pub(super) fn store(&self) -> &Arc<StoreDir> {
        &self.store
    }

    pub(super) fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    pub(super) fn every_message(&self) -> bool {
        self.topic.configs().every_message()
    }

    /// Whether this broker's replica was asked for, whoever leads.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Takes up a topic file under which the same replica is read on.
    pub(super) fn take_topic(&mut self, topic: TopicHandle) {
        self.topic = topic;
    }

    /// Reads another replica from now on: the one that this topic file names.
    pub(super) fn take_replica(&mut self, topic: TopicHandle, broker: BrokerId, replica: Replica) {
        self.topic = topic;
        self.broker = broker;
        self.replica = replica;
        self.cursor = None;
        self.listed_generation = None;
        self.epochs_generation = None;
    }

    /// The published page.
    ///
    /// A page of another boot tells only its durable offset, which stays true: whoever may write
    /// recovers the replica first (`PartitionWriter::make_ready`).
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] if the topic was deleted, [`Kind::Damaged`] if the page is unreadable.
    pub fn page(&self) -> Result<Page> {
        let mut page = self.replica.read_page()?.ok_or_else(|| {
            Error::new(
                Kind::Damaged,
                format!(
                    "both copies of the page in {} are damaged",
                    self.replica.dir().path().display()
                ),
            )
            .cure("any write to the partition, or 'mq-topics verify', recovers it from the log")
        })?;
        if page.offline == Some(Offline::Removed) {
            return Err(offline_error(&self.replica, Offline::Removed));
        }
        if page.boot_id != self.boot_id {
            only_durable(&mut page);
        }
        Ok(page)
    }

    /// Whether the page is of this boot: if not, a recovery is due.
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
    /// [`Kind::OffsetOutOfRange`] below the log start; [`Kind::Damaged`], naming file and position.
    pub fn read(&mut self, from: Offset, bytes_max: usize, buf: &mut Vec<u8>) -> Result<usize> {
        let (_, len) = self.read_below(|page| page.high_watermark, from, bytes_max, buf)?;
        buf.truncate(len);
        Ok(len)
    }

    /// As [`PartitionReader::read`], up to the log end: for a replica that copies this one. With
    /// the page that was read after the bytes, by which the copier judges whether they count. Where
    /// there are none, `buf` stays as it is: a copier comes soon again, and would zero it anew.
    pub(super) fn read_to_end(
        &mut self,
        from: Offset,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<(Page, usize)> {
        self.read_below(|page| page.tail.end, from, bytes_max, buf)
    }

    fn read_below(
        &mut self,
        bound: impl Fn(&Page) -> Offset,
        from: Offset,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<(Page, usize)> {
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
            let same = after.is_some_and(|after| after.generation == before.generation);
            let moving = after
                .is_some_and(|after| matches!(after.intent, Intent::Rescue | Intent::Truncate(_)));
            if !same || (moving && outcome.is_err()) {
                self.cursor = None;
                if moving {
                    self.replica.clock().sleep(MOVING_PAUSE);
                }
                continue;
            }
            let page = after.unwrap_or(before);
            return outcome.map(|len| (page, len)).map_err(|e| {
                self.cursor = None;
                if e.kind() == Kind::Damaged && self.is_checkpoint_wrong(&before).unwrap_or(false) {
                    self.wrong_checkpoint("does not fit the log, which is sound")
                } else {
                    e
                }
            });
        }
        Err(Error::new(
            Kind::Busy,
            format!(
                "the log of {} keeps being repaired under its reader",
                self.replica.tp()
            ),
        )
        .cure("others change it all the time: try again"))
    }

    /// The first offset at or after `from` whose record is not older than `timestamp`, below the
    /// high watermark.
    pub fn first_not_older(&self, from: Offset, timestamp: Timestamp) -> Result<Option<Offset>> {
        for _ in 0..TRIES {
            let page = self.page()?;
            let dir = &**self.replica.dir();
            let found = Segments::list(dir).and_then(|segments| {
                let from = from.max(page.tail.log_start);
                storage::first_not_older(
                    dir,
                    &segments,
                    &page.tail,
                    from,
                    page.high_watermark,
                    timestamp,
                    self.topic.configs().decompressed_len_max(),
                )
            });
            let after = self.replica.read_page()?;
            if after.is_some_and(|after| after.generation == page.generation) {
                return found;
            }
        }
        Err(Error::new(
            Kind::Busy,
            format!("the log of {} keeps moving", self.replica.tp()),
        )
        .cure("others change it all the time: try again"))
    }

    fn read_once(
        &mut self,
        page: &Page,
        from: Offset,
        bound: Offset,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<usize> {
        self.load_epochs(page)?;
        let usable = self
            .cursor
            .as_ref()
            .is_some_and(|c| c.generation == page.generation && c.offset == from);
        if !usable {
            self.cursor = Some(self.seek(page, from)?);
        }
        loop {
            let Some(cursor) = &mut self.cursor else {
                return Ok(0);
            };
            if cursor.next_segment.is_none() && cursor.segment != page.tail.active {
                // Within a generation segments only come at the end, so a listing stays true.
                if self.listed_generation != Some(page.generation) {
                    self.listed = Segments::default();
                }
                cursor.next_segment = self.listed.after(cursor.segment);
                if cursor.next_segment.is_none() && bytes_max > PROBED_BYTES_MAX {
                    self.listed = Segments::list(&**self.replica.dir())?;
                    self.listed_generation = Some(page.generation);
                    cursor.next_segment = self.listed.after(cursor.segment);
                }
                let next = SegmentFile::new(cursor.offset, FileKind::Log).name();
                if cursor.next_segment.is_none()
                    && cursor.offset != cursor.segment
                    && self.replica.dir().id(&next).is_ok()
                {
                    // It was read to its end while it was the active one.
                    cursor.next_segment = Some(cursor.offset);
                }
            }
            if cursor.next_segment == Some(cursor.offset) {
                let next = cursor.offset;
                let epoch = cursor.epoch;
                self.cursor = Some(self.open_segment(page, next, epoch)?);
                continue;
            }
            break;
        }
        self.fill(page, from, bound, bytes_max, buf)
    }

    /// Reads at the cursor and checks what was read, batch by batch.
    fn fill(
        &mut self,
        page: &Page,
        from: Offset,
        bound: Offset,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<usize> {
        let dir = Arc::clone(self.replica.dir());
        let Some(cursor) = &mut self.cursor else {
            return Ok(0);
        };
        let segment = cursor.segment;
        let name = SegmentFile::new(segment, FileKind::Log).name();
        let error = |e| Error::io("read", join(&*dir, &name), e);
        let end = if segment == page.tail.active {
            page.tail.log_bytes
        } else {
            cursor.file.len().map_err(error)?
        };
        let room = usize::try_from(end.saturating_sub(cursor.position)).unwrap_or(usize::MAX);
        let mut want = bytes_max.max(BATCH_HEADER_LEN).min(room);
        loop {
            buf.resize(want, 0);
            let read = cursor.file.read_at(buf, cursor.position).map_err(error)?;
            buf.truncate(read);
            if read < want {
                return Err(damaged(
                    &*dir,
                    segment,
                    cursor.position + read as u64,
                    "the file ends early",
                ));
            }
            let (mut used, mut kept_from) = (0, 0);
            let (mut offset, mut epoch) = (cursor.offset, cursor.epoch);
            let probed = cursor.next_segment.is_none() && segment != page.tail.active;
            while offset < bound && cursor.next_segment != Some(offset) {
                let rest = buf.get(used..).unwrap_or_default();
                if rest.len() < BATCH_HEADER_LEN {
                    break;
                }
                let at = cursor.position + used as u64;
                let header =
                    BatchHeader::parse(rest).map_err(|c| damaged(&*dir, segment, at, c))?;
                if let Some(why) = storage::out_of_place(&header, offset, epoch, Some(&self.epochs))
                {
                    return Err(damaged(&*dir, segment, at, why));
                }
                let total = header.total_len();
                let Some(batch) = rest.get(..total) else {
                    if at + total as u64 > end {
                        return Err(damaged(
                            &*dir,
                            segment,
                            at,
                            format!("a batch of {total} bytes, of which {} are there", end - at),
                        ));
                    }
                    if used == kept_from {
                        want = total + (used - kept_from);
                    }
                    break;
                };
                BatchView::parse(batch)
                    .and_then(|view| view.check_crc())
                    .map_err(|c| damaged(&*dir, segment, at, c))?;
                used += total;
                offset = header.last_offset() + 1;
                epoch = header.leader_epoch;
                if offset <= from {
                    kept_from = used;
                }
                if probed
                    && dir
                        .id(&SegmentFile::new(offset, FileKind::Log).name())
                        .is_ok()
                {
                    cursor.next_segment = Some(offset);
                }
            }
            if used == kept_from && offset < bound && cursor.next_segment != Some(offset) {
                // Not even one batch fits: read as much as that one needs, from its start.
                cursor.position += used as u64;
                cursor.offset = offset;
                cursor.epoch = epoch;
                if want <= buf.len() && used == 0 {
                    return Err(damaged(
                        &*dir,
                        segment,
                        cursor.position,
                        "the segment ends before its published end",
                    ));
                }
                want = want.max(bytes_max.max(BATCH_HEADER_LEN)).min(
                    usize::try_from(end.saturating_sub(cursor.position)).unwrap_or(usize::MAX),
                );
                continue;
            }
            cursor.position += used as u64;
            cursor.offset = offset;
            cursor.epoch = epoch;
            buf.truncate(used);
            if kept_from > 0 {
                buf.drain(..kept_from);
            }
            return Ok(buf.len());
        }
    }

    /// The cursor at the batch that holds `from`.
    fn seek(&self, page: &Page, from: Offset) -> Result<Cursor> {
        let dir = &**self.replica.dir();
        // Most reads begin where a segment begins: then no listing is needed.
        if let Ok(cursor) = self.open_segment(page, from, 0) {
            return Ok(cursor);
        }
        let segments = Segments::list(dir)?;
        let at = storage::locate(dir, &segments, &page.tail, from).map_err(|e| {
            // The page says that the log has it.
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

    fn open_segment(&self, page: &Page, base: Offset, epoch: LeaderEpoch) -> Result<Cursor> {
        let dir = &**self.replica.dir();
        let name = SegmentFile::new(base, FileKind::Log).name();
        let file = dir.open(&name, Open::Read).map_err(|e| {
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

    /// The epoch checkpoint, read again when the generation or the epoch moved.
    fn load_epochs(&mut self, page: &Page) -> Result<()> {
        let key = (page.generation, page.leader_epoch);
        if self.epochs_generation != Some(key) {
            self.epochs = self
                .replica
                .epochs()?
                .ok_or_else(|| self.wrong_checkpoint("is damaged"))?;
            self.epochs_generation = Some(key);
        }
        Ok(())
    }

    fn wrong_checkpoint(&self, how: &str) -> Error {
        let path = join(&**self.replica.dir(), LeaderEpochs::FILE);
        Error::new(Kind::Damaged, format!("{} {how}", path.display())).cure(format!(
            "'mq-topics verify --repair truncate {}' makes it anew",
            self.replica.tp().topic
        ))
    }

    /// Whether the log is sound up to its end, and only the epoch checkpoint says otherwise. Reads
    /// the whole log, so it is asked only where damage was found.
    fn is_checkpoint_wrong(&self, page: &Page) -> Result<bool> {
        let dir = &**self.replica.dir();
        let segments = Segments::list(dir)?;
        let partition = self.topic.partition(self.replica.tp().partition)?;
        let known = storage::KnownEpochs {
            current: page.begun_epoch(),
            newest: page.leader_epoch.max(partition.leader_epoch),
        };
        let (tail, end) = (&page.tail, page.tail.end);
        let carried = storage::epochs_instead(dir, &segments, tail, end, &self.epochs, known)?;
        Ok(carried.is_some())
    }
}

/// Of a page of another boot only the durable part is true: the log may end right there.
fn only_durable(page: &mut Page) {
    let durable = page.durable;
    page.high_watermark = durable.offset;
    page.last_stable_offset = durable.offset;
    page.tail.end = durable.offset;
    page.tail.active = durable.segment;
    page.tail.log_bytes = durable.position;
    // What is not known is not relied on: each index entry is held against its batch.
    page.tail.index_bytes = u64::MAX;
    page.tail.time_index_bytes = u64::MAX;
    page.tail.max_timestamp = Timestamp::MAX;
}

/// OFFSET_OUT_OF_RANGE for an offset that is gone.
fn below_start(replica: &Replica, offset: Offset, start: Offset) -> Error {
    Error::new(
        Kind::OffsetOutOfRange,
        format!(
            "OFFSET_OUT_OF_RANGE: {} begins at offset {start}, {offset} is gone",
            replica.tp()
        ),
    )
    .cure("read from 'start'")
}
