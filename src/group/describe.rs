//! Describes a group from one snapshot. No lock is taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::group_file::{GroupFile, Member, TopicPartitions};
use super::offset_check::{OffsetCheck, beyond, check_offset};
use super::offsets_log::OffsetsLog;
use super::offsets_state::OffsetsState;
use super::{directory, expiry};
use crate::error::{Error, Kind, Result};
use crate::partition::{PartitionReader, first_reader};
use crate::record::{BatchView, Decompressor};
use crate::store::topics::topic_file;
use crate::store::{StoreDir, TopicHandle};
use crate::types::{Offset, PartitionId, Timestamp, TopicName, TopicPartition, Uuid};

/// Bytes read to find the first unread record: at least its batch.
const READ_BYTES: usize = 4 << 10;

/// A group, without reading any partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupSummary {
    /// Its name.
    pub group: String,
    /// As [`GroupDescription::state`].
    pub state: Option<&'static str>,
    /// Raised by each change of the members.
    pub group_epoch: Option<i32>,
    /// How partitions are assigned.
    pub assignor: Option<String>,
    /// The number of live members.
    pub members: Option<usize>,
    /// The number of partitions with a committed offset.
    pub partitions: usize,
    /// The problems of its `offsets.log`, a line each.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// The problem of its `group.json`: fields that come from it alone are `None` then.
    #[serde(skip)]
    pub damage: Option<String>,
}

/// A group, as of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// `Empty`, `Assigning`, `Reconciling` or `Stable`: Kafka's spellings.
    pub state: Option<&'static str>,
    /// Raised by each change of the members.
    pub group_epoch: Option<i32>,
    /// How partitions are assigned.
    pub assignor: Option<String>,
    /// Its live members.
    pub members: Option<Vec<MemberDescription>>,
    /// The partitions with a committed offset, and those that a member reads.
    pub offsets: Vec<OffsetDescription>,
    /// The configs that were set explicitly.
    #[serde(skip)]
    pub configs: BTreeMap<String, String>,
    /// The problems of its `offsets.log`, and of its committed offsets, a line each.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// The problem of its `group.json`: fields that come from it alone are `None` then.
    #[serde(skip)]
    pub damage: Option<String>,
}

/// A member, as of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: Uuid,
    /// The name that a static member keeps.
    pub instance_id: Option<String>,
    /// The epoch in which it may commit.
    pub member_epoch: i32,
    /// Its process.
    pub pid: u32,
    /// That process's host.
    pub host: String,
    /// The partitions it owns.
    pub assignment: Vec<TopicPartitions>,
}

/// One partition's offsets, as of one snapshot. Unknown is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OffsetDescription {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to be read.
    pub committed_offset: Option<Offset>,
    /// The first offset of the log.
    pub log_start_offset: Option<Offset>,
    /// The end of what a consumer may read.
    pub high_watermark: Option<Offset>,
    /// How many offsets are still to be read; also unknown if the committed offset is beyond the
    /// end, which a note reports.
    pub lag: Option<i64>,
    /// The age of the first unread record, whole seconds; 0 if there is none.
    pub lag_seconds: Option<i64>,
    /// The member that reads it.
    pub member_id: Option<Uuid>,
    /// The committed offset is beyond the log's end, or beyond the point where this log diverged
    /// from the log that it was committed for.
    #[serde(skip)]
    pub is_beyond: bool,
    /// The unread records cannot be read.
    #[serde(skip)]
    pub is_unreadable: bool,
}

/// Group, log, live members, state, notes.
struct GroupSnapshot {
    file: GroupFile,
    log: OffsetsLog,
    members: Vec<Member>,
    state: &'static str,
    /// The problems of the log.
    notes: Vec<String>,
    /// The problem of `group.json`.
    damage: Option<String>,
}

fn examine(store: &Arc<StoreDir>, group: &str) -> Result<GroupSnapshot> {
    let dir = directory::open(store, group)?;
    let mut log = OffsetsLog::open_to_read(&dir)?;
    log.refresh()?;
    let notes = log.notes();
    let mut damage = None;
    let mut file = match GroupFile::read(&dir, store.boot_id()) {
        Ok(file) => file,
        Err(e) if e.kind() == Kind::Damaged => {
            damage = Some(e.to_string());
            GroupFile::new(store.boot_id(), log.state().epoch_max())
        }
        Err(e) => return Err(e),
    };
    let state = file.state(&*dir)?.name();
    let mut members = Vec::new();
    let mut is_alive = false;
    for member in std::mem::take(&mut file.members) {
        let lives = super::member_file::is_alive(&*dir, member.member_id)?;
        is_alive |= lives;
        // An absent static member keeps its place while a live member watches for its return.
        if lives || member.instance_id.is_some() {
            members.push(member);
        }
    }
    if !is_alive {
        members.clear();
        let kept = file.retention_minutes();
        let is_unused = log.state().is_unused() && damage.is_none() && file.sets_nothing();
        if log.state().is_deleted() || is_unused {
            return Err(directory::unknown(store, group));
        }
        if expiry::is_overdue(log.state(), kept, store.clock().now_ms()) {
            return Err(expired(group, kept));
        }
    }
    let state = if is_alive { state } else { "Empty" };
    Ok(GroupSnapshot {
        file,
        log,
        members,
        state,
        notes,
        damage,
    })
}

/// Summarizes a group.
///
/// # Errors
/// Those of [`describe`].
pub fn summarize(store: &Arc<StoreDir>, group: &str) -> Result<GroupSummary> {
    let GroupSnapshot {
        file,
        log,
        members,
        state,
        notes,
        damage,
    } = examine(store, group)?;
    let known = damage.is_none();
    Ok(GroupSummary {
        group: group.to_owned(),
        state: known.then_some(state),
        group_epoch: known.then_some(file.group_epoch),
        assignor: known.then_some(file.assignor),
        members: known.then_some(members.len()),
        partitions: log.state().offsets().count(),
        notes,
        damage,
    })
}

/// Describes a group.
///
/// # Errors
/// [`Kind::UnknownGroup`] with near names, also for one that was deleted and has no member;
/// [`Kind::Damaged`].
pub fn describe(store: &Arc<StoreDir>, group: &str) -> Result<GroupDescription> {
    let GroupSnapshot {
        file,
        log,
        members,
        state,
        mut notes,
        damage,
    } = examine(store, group)?;
    let known = damage.is_none();
    let members: Vec<_> = members.iter().map(MemberDescription::from).collect();
    let mut rows: BTreeMap<(TopicName, PartitionId), Option<Uuid>> = BTreeMap::new();
    for (topic, partition, ..) in log.state().offsets() {
        rows.insert((topic.clone(), partition), None);
    }
    for member in &members {
        for owned in &member.assignment {
            let Ok(topic) = TopicName::new(owned.topic.as_str()) else {
                continue;
            };
            for partition in &owned.partitions {
                rows.insert((topic.clone(), *partition), Some(member.member_id));
            }
        }
    }
    let mut offsets = Vec::new();
    for ((topic, partition), owner) in rows {
        let tp = TopicPartition::new(topic, partition);
        if let Some(mut row) = describe_offset(store, group, log.state(), &tp, &mut notes)? {
            row.member_id = owner;
            offsets.push(row);
        }
    }
    Ok(GroupDescription {
        group: group.to_owned(),
        configs: super::group_file::explicit(&file),
        state: known.then_some(state),
        group_epoch: known.then_some(file.group_epoch),
        assignor: known.then_some(file.assignor),
        members: known.then_some(members),
        offsets,
        notes,
        damage,
    })
}

fn expired(group: &str, minutes: u32) -> Error {
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    Error::new(
        Kind::UnknownGroup,
        format!(
            "GROUP_ID_NOT_FOUND: the offsets of group '{}' have expired: no member joined for \
             {minutes} {unit}",
            group.escape_debug()
        ),
    )
    .cure("a member that joins creates the group again; 'mq-groups history' shows what it had")
}

/// The offsets of a group that has to exist.
///
/// # Errors
/// [`Kind::UnknownGroup`]; [`Kind::Damaged`].
pub(super) fn present(store: &Arc<StoreDir>, group: &str) -> Result<OffsetsState> {
    Ok(examine(store, group)?.log.state().clone())
}

/// The offsets of a group without a live member; none for a group that does not exist.
///
/// # Errors
/// [`Kind::NonEmptyGroup`]; [`Kind::Damaged`].
pub(super) fn observe_empty(store: &Arc<StoreDir>, group: &str) -> Result<OffsetsState> {
    let (state, members) = observe(store, group)?;
    super::live_members::refuse_members(group, &members)?;
    Ok(state.unwrap_or_default())
}

/// The committed offsets of a group, as of one snapshot; none for a group that does not exist.
///
/// # Errors
/// [`Kind::Damaged`].
pub fn committed_offsets(store: &Arc<StoreDir>, group: &str) -> Result<OffsetsState> {
    Ok(observe(store, group)?.0.unwrap_or_default())
}

/// Offsets and live members of a group, as of one snapshot; `None` if it does not exist.
pub(super) fn observe(
    store: &Arc<StoreDir>,
    group: &str,
) -> Result<(Option<OffsetsState>, Vec<Member>)> {
    let dir = match store.group_dir(group) {
        Err(e) if e.kind() == Kind::UnknownGroup => return Ok((None, Vec::new())),
        other => other?,
    };
    let mut log = OffsetsLog::open_to_read(&dir)?;
    log.refresh()?;
    let members = match directory::alive(store, &dir) {
        Err(e) if e.kind() == Kind::Damaged => Vec::new(),
        other => other?,
    };
    let mut state = log.state().clone();
    let kept = expiry::retention_minutes(store, &dir)?;
    if members.is_empty() && expiry::is_overdue(&state, kept, store.clock().now_ms()) {
        state.expire();
    }
    Ok((Some(state), members))
}

/// The id of the partition's topic.
///
/// # Errors
/// [`Kind::UnknownTopic`], also if the topic has no such partition.
pub(super) fn topic_id_of(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<Uuid> {
    let topic = TopicHandle::open(store, &tp.topic)?;
    topic.partition(tp.partition)?;
    Ok(topic.meta().topic_id)
}

/// A reader of a partition, opened the way every reader opens it.
pub(super) fn ready_reader(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<PartitionReader> {
    first_reader(store, || PartitionReader::open(store, tp))
}

/// One row; `None` for a topic that is gone, or was deleted and created again: the new one has no
/// offset here.
fn describe_offset(
    store: &Arc<StoreDir>,
    group: &str,
    state: &OffsetsState,
    tp: &TopicPartition,
    notes: &mut Vec<String>,
) -> Result<Option<OffsetDescription>> {
    let Some((meta, _)) = topic_file::read_if_there(store, &tp.topic)? else {
        return Ok(None);
    };
    let committed = state.committed(&tp.topic, meta.topic_id, tp.partition);
    let mut row = OffsetDescription {
        topic: tp.topic.to_string(),
        partition: tp.partition,
        committed_offset: committed.as_ref().map(|c| c.offset),
        log_start_offset: None,
        high_watermark: None,
        lag: None,
        lag_seconds: None,
        member_id: None,
        is_beyond: false,
        is_unreadable: false,
    };
    // A partition that cannot be read leaves its columns unknown; verify says why.
    let Ok(mut reader) = ready_reader(store, tp) else {
        return Ok(Some(row));
    };
    let Ok(page) = reader.page() else {
        return Ok(Some(row));
    };
    let (start, end) = (page.tail.log_start, page.high_watermark);
    row.log_start_offset = Some(start);
    row.high_watermark = Some(end);
    let Some(committed) = committed else {
        return Ok(Some(row));
    };
    let Ok(stands) = check_offset(&reader, &page, &committed) else {
        return Ok(Some(row));
    };
    if let OffsetCheck::Beyond(point) = stands {
        row.is_beyond = true;
        let reported = beyond(group, tp, committed.offset, point);
        notes.push(format!(
            "{reported}; {}",
            reported.cure_text().unwrap_or_default()
        ));
    } else {
        let (committed, lag) = unread(committed.offset, start, end);
        row.lag = Some(lag);
        row.lag_seconds = if lag == 0 {
            Some(0)
        } else {
            let now_ms = store.clock().now_ms();
            let first = first_timestamp(&mut reader, committed);
            row.is_unreadable = first.is_err();
            first
                .ok()
                .flatten()
                .map(|first| now_ms.saturating_sub(first).max(0) / 1000)
        };
    }
    Ok(Some(row))
}

/// Where the unread records begin, and how many there are: records below the log start cannot be
/// read.
fn unread(committed: Offset, start: Offset, end: Offset) -> (Offset, i64) {
    let from = committed.max(start);
    (from, end.saturating_sub(from).max(0))
}

/// The timestamp of the first record at or after `from`.
fn first_timestamp(reader: &mut PartitionReader, from: Offset) -> Result<Option<Timestamp>> {
    let mut buf = Vec::new();
    let mut at = from;
    // Batches may have lost records to compaction: continue with the next, as long as there is one.
    while reader.read(at, READ_BYTES, &mut buf)? > 0 {
        let mut decompressor = Decompressor::new(reader.decompressed_len_max());
        let mut rest = buf.as_slice();
        while !rest.is_empty() {
            let view = BatchView::parse(rest).map_err(Error::from)?;
            for record in view.records(&mut decompressor).map_err(Error::from)? {
                let record = record.map_err(Error::from)?;
                if record.offset >= from {
                    return Ok((record.timestamp >= 0).then_some(record.timestamp));
                }
            }
            at = view.header().last_offset() + 1;
            rest = rest.get(view.bytes().len()..).unwrap_or_default();
        }
    }
    Ok(None)
}

impl From<&Member> for MemberDescription {
    fn from(member: &Member) -> Self {
        MemberDescription {
            member_id: member.member_id,
            instance_id: member.instance_id.clone(),
            member_epoch: member.member_epoch,
            pid: member.pid,
            host: member.host.clone(),
            assignment: member.assignment.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::group::describe::unread;

    #[test]
    fn lag_counts_what_can_be_read() {
        for (committed, start, end, seen) in [
            (3, 0, 10, (3, 7)),
            (3, 5, 10, (5, 5)),
            (10, 5, 10, (10, 0)),
            (12, 5, 10, (12, 0)),
        ] {
            assert_eq!(
                unread(committed, start, end),
                seen,
                "{committed} {start} {end}"
            );
        }
    }
}
