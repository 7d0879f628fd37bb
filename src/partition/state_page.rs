//! `partition.state`: the published state of a replica, and the file that its append lock is on.
//!
//! Two copies in two blocks of 4 KiB, each within one sector of 512 bytes, so that a power cut
//! leaves a copy old or new. A copy is written in one write, under the lock, over the older one
//! (copies alternate by the parity of their sequence number). Readers take no lock and may see a
//! copy being written: its checksum fails, and both are read again.
//!
//! ```text
//!    0 magic "mqps" u32      | 128 log start            i64 | 232 durable offset          i64
//!    4 layout = 1   u16      | 136 active segment       i64 | 240 durable segment         i64
//!    6 flags        u16      | 144 log bytes            u64 | 248 durable position        u64
//!    8 sequence     u64      | 152 index bytes          u64 | 256 names not yet synced    u64
//!   16 boot id      16 bytes | 160 time index bytes     u64 | 264 high watermark          i64
//!   32 topic id     16 bytes | 168 log end              i64 | 272 last stable offset      i64
//!   48 replica uuid 16 bytes | 176 last batch position  u64 | 280 metadata version synced u64
//!   64 generation   u64      | 184 last batch base      i64 | 288 joining: 8 of 24 bytes, each
//!   72 leader epoch i32      | 192 last batch crc       u32 | 508 CRC-32 of bytes 0 to 508 u32
//!   76 role         u8       | 196 last batch epoch     i32 |     a replica's id, 16 bytes, and
//!   77 intent       u8       | 200 unindexed bytes      u64 |     a version u64; zeros: none
//!   78 offline      u8       | 208 max timestamp        i64 |
//!   79 sealed       u8       | 216 its offset           i64 |
//!   80 intent's offset i64   | 224 time indexed up to   i64 |
//!   88 first timestamp i64   |                              |
//!   96 maker        16 bytes | 480 clock note   24 bytes    |
//!  120 deletions gone   i64  |     (112 to 120: zeros)      |
//! ```
//!
//! All little-endian: the file never leaves its machine.
//! Byte 2048 holds the heartbeat of a process that holds the append lock long
//! (`crate::store::lock::heartbeat`), byte 2560 that of the process that sealed the log for a
//! leadership transfer, byte 3072 the write probe of a process that watches either
//! (`crate::store::lock::write_probe`). Their places are allocated on disk from the start, in the
//! first copy's block.

use std::time::Duration;

use super::clock_note::ClockNote;
use super::replication::JoiningSet;
use crate::clock::Clock;
use crate::disk::File;
use crate::error::Result;
use crate::log::{LastBatch, LogPosition, Tail};
use crate::types::{LeaderEpoch, Offset, Timestamp, Uuid};

/// The file's name.
pub const PAGE_FILE: &str = "partition.state";
/// A copy's size: one sector.
const COPY_BYTES: usize = 512;
/// Where the maker's id stands in a copy.
const MAKER_AT: usize = 96;
/// Where the offset stands up to which a compaction left out deletions.
const DELETIONS_GONE_AT: usize = 120;
/// Where the joining replicas stand.
const JOINING_AT: usize = 288;
/// Where the clock note stands.
const CLOCK_AT: usize = 480;
/// Between the starts of the two copies.
const COPY_STRIDE: u64 = 4096;
/// The file's length.
pub const PAGE_FILE_BYTES: u64 = 2 * COPY_STRIDE;
/// How long a reader rereads a bad copy before it believes the other one.
const TORN_TIMEOUT: Duration = Duration::from_millis(10);

/// Where the heartbeat of the append lock's holder stands.
pub(crate) const HEARTBEAT_AT: u64 = 2048;
/// Where the heartbeat stands of the process that sealed the log for a leadership transfer.
pub(crate) const MOVER_HEARTBEAT_AT: u64 = 2560;
/// Where a watcher of either writes, to see whether writes complete.
pub(crate) const SERVED_AT: u64 = 3072;

const MAGIC: u32 = u32::from_le_bytes(*b"mqps");
const LAYOUT: u16 = 1;
const FLAG_HAS_LAST: u16 = 1;

/// What a replica does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes appends.
    Leader,
    /// Copies the leader.
    Follower,
}

/// What the lock holder was about to do; if it dies, the next process that finds the intent
/// finishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Nothing.
    None,
    /// Begin a segment at this offset.
    Roll(Offset),
    /// Rewrite everything from the durable offset on.
    Rewrite,
    /// Remove everything from this offset on. The page already describes the log as it ends then.
    Truncate(Offset),
}

impl Intent {
    /// Whether published bytes are being moved or removed.
    pub fn moves_bytes(self) -> bool {
        matches!(self, Intent::Rewrite | Intent::Truncate(_))
    }
}

/// Why nothing is appended until a new leader epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// A recovery, after which an offset of this epoch could be used twice.
    Recovered,
    /// A leadership transfer is about to happen: the log does not change until then.
    Moving,
}

/// Why a replica is offline, for every process, until repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offline {
    /// A sync failed: what it covered may be lost.
    SyncFailed,
    /// Damage was found that cannot be cut without losing what may be durable.
    Damaged,
    /// The directory was moved aside: its topic is gone.
    Removed,
}

/// How a new generation, which voids all notes, handles bytes whose sync may never have finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnseenSync {
    /// There are none: the notes were read since the lock was taken.
    None,
    /// All beyond the durable offset is rewritten under the new generation, or just was.
    Copied,
    /// The replica is offline: its repair rewrites them.
    Offline,
}

/// One published state of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatePage {
    /// Rises with each publication.
    pub sequence: u64,
    /// The boot in which it was written.
    pub boot_id: [u8; 16],
    /// The topic's id.
    pub topic_id: Uuid,
    /// The replica directory's id.
    pub replica_uuid: Uuid,
    /// Rises when published bytes are moved or removed: cached files and positions are void then.
    pub generation: u64,
    /// The epoch in which appends are stamped.
    pub leader_epoch: LeaderEpoch,
    /// Leader or follower.
    pub role: Role,
    /// The intent: what was begun.
    pub intent: Intent,
    /// Whether it is offline.
    pub offline: Option<Offline>,
    /// No append until a new leader epoch.
    pub seal: Option<Seal>,
    /// The committed log.
    pub tail: Tail,
    /// Everything below is on disk.
    pub durable: LogPosition,
    /// Names made in the directory since it was last synced.
    pub unsynced_names: u64,
    /// What a consumer may read up to.
    pub high_watermark: Offset,
    /// What a read_committed consumer may read up to.
    pub last_stable_offset: Offset,
    /// The topic file's version up to which the directory syncs of its name and the replica's are
    /// known.
    pub synced_version: u64,
    /// The process that creates the replica (`lifecycle::maker_lock`), until a topic file names it.
    pub maker: Option<Uuid>,
    /// The replicas that are about to join the in-sync replicas (a leader's page only).
    pub joining: JoiningSet,
    /// What the last removal by age knew of the clocks, in this boot.
    pub clock: ClockNote,
    /// A compaction left out deletions of keys below this offset; 0: none. A log that ends below it may
    /// hold values that they deleted.
    pub deletions_gone: Offset,
}

impl StatePage {
    /// The first page of an empty replica.
    pub fn new(boot_id: [u8; 16], topic_id: Uuid, replica_uuid: Uuid, start: Offset) -> Self {
        let tail = Tail::empty(start);
        StatePage {
            sequence: 1,
            boot_id,
            topic_id,
            replica_uuid,
            generation: 1,
            leader_epoch: 0,
            role: Role::Leader,
            intent: Intent::None,
            offline: None,
            seal: None,
            tail,
            durable: tail.place(),
            unsynced_names: 0,
            high_watermark: start,
            last_stable_offset: start,
            synced_version: 0,
            maker: None,
            joining: JoiningSet::default(),
            clock: ClockNote::default(),
            deletions_gone: 0,
        }
    }

    /// Begins a new generation; nothing else does. Processes then drop cached files and positions,
    /// and the note of an unfinished sync is void. So the caller states what happens to the bytes
    /// that such a sync covered.
    pub(crate) fn begin_generation(&mut self, _: UnseenSync) {
        self.generation += 1;
    }

    /// Moves the page to a boot. The clock note of another one says nothing.
    pub(crate) fn enter_boot(&mut self, boot_id: [u8; 16]) {
        if self.boot_id != boot_id {
            self.boot_id = boot_id;
            self.clock = ClockNote::default();
        }
    }

    /// The end of what counts as stored here: what is durable where every message is synced, else
    /// the log end.
    pub fn acked(&self, every_message: bool) -> Offset {
        if every_message {
            self.durable.offset
        } else {
            self.tail.end
        }
    }

    /// What the page says in the given boot. Of a page of another boot only the durable part is
    /// true: the log may end right there.
    #[must_use]
    pub fn as_of_boot(mut self, boot_id: [u8; 16]) -> Self {
        if self.boot_id != boot_id {
            let durable = self.durable;
            self.high_watermark = durable.offset;
            self.last_stable_offset = durable.offset;
            self.tail.end = durable.offset;
            self.tail.active = durable.segment;
            self.tail.log_bytes = durable.position;
            // An unknown length is not relied on: each index entry is checked against its batch.
            self.tail.index_bytes = u64::MAX;
            self.tail.time_index_bytes = u64::MAX;
            self.tail.max_timestamp = Timestamp::MAX;
        }
        self
    }

    /// The largest epoch that the replica's checkpoint has begun: a leader's own, a follower's as
    /// of its last batch.
    pub fn begun_epoch(&self) -> LeaderEpoch {
        match self.role {
            Role::Leader => self.leader_epoch,
            Role::Follower => self.tail.epoch,
        }
    }

    /// Whether the page describes that replica's log in that epoch and boot: only such a page
    /// counts for the high watermark.
    pub fn counts(&self, boot_id: [u8; 16], replica: Uuid, epoch: LeaderEpoch) -> bool {
        self.boot_id == boot_id
            && self.replica_uuid == replica
            && self.leader_epoch == epoch
            && self.offline.is_none()
            && self.seal != Some(Seal::Recovered)
            && !matches!(self.intent, Intent::Truncate(_) | Intent::Rewrite)
    }

    /// Whether the page belongs to the leader of that epoch, with that replica id, in that boot:
    /// only this decides which replica serves. A leader that lost records in a recovery has to
    /// begin another epoch first: other replicas may have some of the lost records.
    pub fn leads(&self, boot_id: [u8; 16], replica: Uuid, epoch: LeaderEpoch) -> bool {
        self.role == Role::Leader && self.counts(boot_id, replica, epoch)
    }

    /// Reads the newest sound copy. A bad copy may be one that is being written, and may be the
    /// newest: both are reread for up to 10 ms before the other is believed. `None` if neither is
    /// sound.
    pub fn read(file: &dyn File, clock: &dyn Clock) -> Result<Option<StatePage>, std::io::Error> {
        let mut since = None;
        loop {
            let mut raw = [0; COPY_STRIDE as usize + COPY_BYTES];
            let read = file.read_at(&mut raw, 0)?;
            let (first, second) = raw.split_at(COPY_STRIDE as usize);
            let first = if read < COPY_BYTES {
                None
            } else {
                StatePage::decode(&first[..COPY_BYTES])
            };
            let second = if read < raw.len() {
                None
            } else {
                StatePage::decode(second)
            };
            match (first, second) {
                (Some(a), Some(b)) => {
                    return Ok(Some(if a.sequence > b.sequence { a } else { b }));
                }
                (one, other) => {
                    let now = clock.monotonic();
                    if now - *since.get_or_insert(now) >= TORN_TIMEOUT {
                        return Ok(one.or(other));
                    }
                    clock.sleep(Duration::from_micros(20));
                }
            }
        }
    }

    /// Whether each copy is sound. A bad copy is reread for up to 10 ms, since it may be being
    /// written.
    pub fn copies(file: &dyn File, clock: &dyn Clock) -> Result<[bool; 2], std::io::Error> {
        let started = clock.monotonic();
        loop {
            let mut raw = [0; COPY_STRIDE as usize + COPY_BYTES];
            let read = file.read_at(&mut raw, 0)?;
            let (first, second) = raw.split_at(COPY_STRIDE as usize);
            let sound = [
                read >= COPY_BYTES && StatePage::decode(&first[..COPY_BYTES]).is_some(),
                read >= raw.len() && StatePage::decode(second).is_some(),
            ];
            if sound == [true, true] || clock.monotonic() - started >= TORN_TIMEOUT {
                return Ok(sound);
            }
            clock.sleep(Duration::from_micros(20));
        }
    }

    /// Publishes: writes this page over the older copy, with the next sequence number. Only under
    /// the append lock.
    pub(crate) fn write(&mut self, file: &dyn File) -> Result<(), std::io::Error> {
        self.sequence += 1;
        let at = if self.sequence.is_multiple_of(2) {
            0
        } else {
            COPY_STRIDE
        };
        file.write_at(&self.encode(), at)
    }

    /// Writes both copies of a new file.
    pub(crate) fn write_first(&mut self, file: &dyn File) -> Result<(), std::io::Error> {
        self.write(file)?;
        self.write(file)?;
        file.set_len(PAGE_FILE_BYTES)
    }

    fn encode(&self) -> [u8; COPY_BYTES] {
        let mut raw = [0; COPY_BYTES];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(target) = raw.get_mut(at..at + bytes.len()) {
                target.copy_from_slice(bytes);
            }
        };
        let tail = &self.tail;
        let last = tail.last.unwrap_or(LastBatch {
            position: 0,
            base_offset: 0,
            crc: 0,
        });
        let flags = if tail.last.is_some() {
            FLAG_HAS_LAST
        } else {
            0
        };
        let (intent, intent_offset) = match self.intent {
            Intent::None => (0, 0),
            Intent::Roll(next) => (1, next),
            Intent::Rewrite => (2, 0),
            Intent::Truncate(to) => (3, to),
        };
        let seal = match self.seal {
            None => 0,
            Some(Seal::Recovered) => 1,
            Some(Seal::Moving) => 2,
        };
        let offline = match self.offline {
            None => 0,
            Some(Offline::SyncFailed) => 1,
            Some(Offline::Damaged) => 2,
            Some(Offline::Removed) => 3,
        };
        let role = match self.role {
            Role::Leader => 0,
            Role::Follower => 1,
        };
        put(0, &MAGIC.to_le_bytes());
        put(4, &LAYOUT.to_le_bytes());
        put(6, &flags.to_le_bytes());
        put(8, &self.sequence.to_le_bytes());
        put(16, &self.boot_id);
        put(32, &self.topic_id.0);
        put(48, &self.replica_uuid.0);
        put(64, &self.generation.to_le_bytes());
        put(72, &self.leader_epoch.to_le_bytes());
        put(76, &[role, intent, offline, seal]);
        put(80, &intent_offset.to_le_bytes());
        put(88, &tail.first_timestamp.to_le_bytes());
        put(MAKER_AT, &self.maker.unwrap_or(Uuid::ZERO).0);
        put(DELETIONS_GONE_AT, &self.deletions_gone.to_le_bytes());
        put(128, &tail.log_start.to_le_bytes());
        put(136, &tail.active.to_le_bytes());
        put(144, &tail.log_bytes.to_le_bytes());
        put(152, &tail.index_bytes.to_le_bytes());
        put(160, &tail.time_index_bytes.to_le_bytes());
        put(168, &tail.end.to_le_bytes());
        put(176, &last.position.to_le_bytes());
        put(184, &last.base_offset.to_le_bytes());
        put(192, &last.crc.to_le_bytes());
        put(196, &tail.epoch.to_le_bytes());
        put(200, &tail.unindexed_bytes.to_le_bytes());
        put(208, &tail.max_timestamp.to_le_bytes());
        put(216, &tail.max_timestamp_offset.to_le_bytes());
        put(224, &tail.time_indexed.to_le_bytes());
        put(232, &self.durable.offset.to_le_bytes());
        put(240, &self.durable.segment.to_le_bytes());
        put(248, &self.durable.position.to_le_bytes());
        put(256, &self.unsynced_names.to_le_bytes());
        put(264, &self.high_watermark.to_le_bytes());
        put(272, &self.last_stable_offset.to_le_bytes());
        put(280, &self.synced_version.to_le_bytes());
        put(JOINING_AT, &self.joining.encode());
        put(CLOCK_AT, &self.clock.encode());
        let crc = crc32fast::hash(&raw[..CRC_AT]);
        raw[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        raw
    }

    fn decode(raw: &[u8]) -> Option<StatePage> {
        let crc = u32::from_le_bytes(field(raw, CRC_AT)?);
        if u32::from_le_bytes(field(raw, 0)?) != MAGIC
            || u16::from_le_bytes(field(raw, 4)?) != LAYOUT
            || crc32fast::hash(raw.get(..CRC_AT)?) != crc
        {
            return None;
        }
        let i64_at = |at| field(raw, at).map(i64::from_le_bytes);
        let u64_at = |at| field(raw, at).map(u64::from_le_bytes);
        let flags = u16::from_le_bytes(field(raw, 6)?);
        let [role, intent, offline, seal] = field(raw, 76)?;
        let tail = Tail {
            log_start: i64_at(128)?,
            active: i64_at(136)?,
            log_bytes: u64_at(144)?,
            index_bytes: u64_at(152)?,
            time_index_bytes: u64_at(160)?,
            end: i64_at(168)?,
            last: if flags & FLAG_HAS_LAST == 0 {
                None
            } else {
                Some(LastBatch {
                    position: u64_at(176)?,
                    base_offset: i64_at(184)?,
                    crc: u32::from_le_bytes(field(raw, 192)?),
                })
            },
            epoch: i32::from_le_bytes(field(raw, 196)?),
            unindexed_bytes: u64_at(200)?,
            max_timestamp: i64_at(208)?,
            max_timestamp_offset: i64_at(216)?,
            time_indexed: i64_at(224)?,
            first_timestamp: i64_at(88)?,
        };
        Some(StatePage {
            sequence: u64_at(8)?,
            boot_id: field(raw, 16)?,
            topic_id: Uuid(field(raw, 32)?),
            replica_uuid: Uuid(field(raw, 48)?),
            generation: u64_at(64)?,
            leader_epoch: i32::from_le_bytes(field(raw, 72)?),
            role: match role {
                0 => Role::Leader,
                1 => Role::Follower,
                _ => return None,
            },
            intent: match intent {
                0 => Intent::None,
                1 => Intent::Roll(i64_at(80)?),
                2 => Intent::Rewrite,
                3 => Intent::Truncate(i64_at(80)?),
                _ => return None,
            },
            offline: match offline {
                0 => None,
                1 => Some(Offline::SyncFailed),
                2 => Some(Offline::Damaged),
                3 => Some(Offline::Removed),
                _ => return None,
            },
            seal: match seal {
                0 => None,
                1 => Some(Seal::Recovered),
                2 => Some(Seal::Moving),
                _ => return None,
            },
            tail,
            durable: LogPosition {
                offset: i64_at(232)?,
                segment: i64_at(240)?,
                position: u64_at(248)?,
            },
            unsynced_names: u64_at(256)?,
            high_watermark: i64_at(264)?,
            last_stable_offset: i64_at(272)?,
            synced_version: u64_at(280)?,
            maker: Some(Uuid(field(raw, MAKER_AT)?)).filter(|maker| *maker != Uuid::ZERO),
            joining: JoiningSet::decode(raw.get(JOINING_AT..)?)?,
            clock: ClockNote::decode(raw.get(CLOCK_AT..)?)?,
            deletions_gone: i64_at(DELETIONS_GONE_AT)?,
        })
    }
}

/// Where the checksum stands: the last four bytes of a copy.
const CRC_AT: usize = COPY_BYTES - 4;

fn field<const N: usize>(raw: &[u8], at: usize) -> Option<[u8; N]> {
    raw.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::replication::Joining;

    fn page() -> StatePage {
        let mut page = StatePage::new([7; 16], Uuid([1; 16]), Uuid([2; 16]), 5);
        page.intent = Intent::Roll(99);
        page.offline = Some(Offline::Damaged);
        page.tail.last = Some(LastBatch {
            position: 3,
            base_offset: 4,
            crc: 5,
        });
        page.tail.log_bytes = 1234;
        page.seal = Some(Seal::Moving);
        page.maker = Some(Uuid([6; 16]));
        let joins = Joining {
            replica: Uuid([9; 16]),
            version: 7,
        };
        assert!(page.joining.enter(joins));
        page.clock = ClockNote::created(crate::clock::Moment {
            wall_ms: 8,
            boottime_ms: 9,
        });
        page.deletions_gone = 10;
        page
    }

    #[test]
    fn a_page_round_trips() {
        assert_eq!(StatePage::decode(&page().encode()), Some(page()));
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let raw = page().encode();
        for bit in 0..COPY_BYTES * 8 {
            let mut flipped = raw;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(StatePage::decode(&flipped), None, "bit {bit}");
        }
    }
}
