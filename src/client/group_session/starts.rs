//! Where a group begins a partition: at the committed offset; in a topic that the group never read,
//! at the start that the options give; else at the log start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::client::ReadFrom;
use crate::client::read_from::Chooser;
use crate::client::resolve::resolve_within;
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::error::{Error, Kind, Result};
use crate::group::{self, OffsetsEntry, Subscription, TopicState};
use crate::partition::PartitionReader;
use crate::store::topics::topic_file;
use crate::store::{StoreDir, TopicHandle};
use crate::types::{LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition, Uuid};

/// What existed when a command began. Partitions that were added later are read from their start,
/// and a requested end is the end at that time.
#[derive(Debug, Clone, Default)]
pub struct Began {
    had: BTreeMap<Uuid, Had>,
    /// Topics that existed, but whose files could not be read.
    unreadable: BTreeSet<TopicName>,
}

/// One topic, as of then.
#[derive(Debug, Clone)]
struct Had {
    partitions: PartitionId,
    /// Where its partitions begin, if that depends on where they ended.
    starts: BTreeMap<PartitionId, OffsetsEntry>,
}

impl Began {
    /// Reads the present topics. `from`: where the group begins topics that it never read.
    ///
    /// # Errors
    /// All but those of one topic or partition, which are reported when it is read.
    pub fn observe(
        store: &Arc<StoreDir>,
        group: &str,
        subscription: &Subscription,
        from: Option<UnresolvedOffset>,
        read_from: &ReadFrom,
    ) -> Result<Self> {
        let matcher = subscription.matcher()?;
        let depends = matches!(
            from,
            Some(UnresolvedOffset::End | UnresolvedOffset::Minus(_))
        );
        let offsets = if depends {
            group::committed_offsets(store, group)?
        } else {
            group::OffsetsState::default()
        };
        let chooser = Chooser::new(store, read_from.clone());
        let mut had = BTreeMap::new();
        let mut unreadable = BTreeSet::new();
        let there = topic_file::list(store)?;
        for name in there.into_iter().filter(|name| matcher.matches(name)) {
            let topic = match TopicHandle::open(store, &name) {
                Ok(topic) => topic,
                Err(e) if e.kind() == Kind::Damaged => {
                    unreadable.insert(name);
                    continue;
                }
                // Deleted since the topics were listed.
                Err(e) if e.kind() == Kind::UnknownTopic => continue,
                Err(e) => return Err(e),
            };
            let topic_id = topic.meta().topic_id;
            let partitions = PartitionId::try_from(topic.meta().partitions.len());
            let partitions = partitions.unwrap_or(PartitionId::MAX);
            let mut starts = BTreeMap::new();
            if depends && !offsets.knows_topic(&name) {
                for partition in 0..partitions {
                    let tp = TopicPartition::new(name.clone(), partition);
                    let started = chooser
                        .open(&tp)
                        .and_then(|reader| fresh_start(&reader, topic_id, from));
                    match started {
                        Ok(entry) => {
                            starts.insert(partition, entry);
                        }
                        // A partition that becomes readable begins at its end of that time.
                        Err(e) if e.kind() == Kind::UnknownTopic || e.is_of_one_partition() => {}
                        Err(e) => return Err(e),
                    }
                }
            }
            had.insert(topic_id, Had { partitions, starts });
        }
        Ok(Began { had, unreadable })
    }

    /// The ids of the topics.
    pub fn topics(&self) -> BTreeSet<Uuid> {
        self.had.keys().copied().collect()
    }

    /// A topic that could not be read was deleted: one of the same name is a later one.
    pub(super) fn forget_unreadable(&mut self, name: &TopicName) {
        self.unreadable.remove(name);
    }

    /// Where a partition begins if the group read neither it nor its topic before.
    pub(super) fn start_of(
        &self,
        chooser: &Chooser,
        tp: &TopicPartition,
        topic: TopicState,
        from: Option<UnresolvedOffset>,
    ) -> Result<OffsetsEntry> {
        if self.unreadable.contains(&tp.topic) {
            // It begins as of the time when it can be read.
            return fresh_start(&chooser.open(tp)?, topic.topic_id, from);
        }
        let had = self.had.get(&topic.topic_id).filter(|_| !topic.came_later);
        let had = had.filter(|had| tp.partition < had.partitions);
        if let Some(start) = had.and_then(|had| had.starts.get(&tp.partition)) {
            return Ok(start.clone());
        }
        let from = had.and(from);
        fresh_start(&chooser.open(tp)?, topic.topic_id, from)
    }
}

/// A partition's start if no offset is committed for it; `None`: the log start.
pub fn fresh_start(
    reader: &PartitionReader,
    topic_id: Uuid,
    from: Option<UnresolvedOffset>,
) -> Result<OffsetsEntry> {
    let page = reader.page()?;
    let offset = match from {
        None => page.tail.log_start,
        // It is reported where the start is committed.
        Some(UnresolvedOffset::At(below)) if below < page.tail.log_start => page.tail.log_start,
        Some(from) => resolve_within(reader, &page, from, None)?,
    };
    let leader_epoch = epoch_before(reader, offset)?;
    let tp = reader.replica().tp();
    Ok(OffsetsEntry {
        topic: tp.topic.clone(),
        topic_id,
        partition: tp.partition,
        offset,
        leader_epoch,
    })
}

/// The starts of all partitions of a topic that the group never read. They are committed together,
/// so that a member that gets another partition later does not count the topic as read before. A
/// partition that cannot be read has its error instead of a start.
pub fn fresh_starts(
    chooser: &Chooser,
    began: &Began,
    name: &TopicName,
    topic: TopicState,
    from: Option<UnresolvedOffset>,
) -> Result<(Vec<OffsetsEntry>, Vec<(TopicPartition, Error)>)> {
    let (mut begun, mut unbegun) = (Vec::new(), Vec::new());
    for partition in 0..topic.partitions {
        let tp = TopicPartition::new(name.clone(), partition);
        match began.start_of(chooser, &tp, topic, from) {
            Ok(entry) => begun.push(entry),
            Err(e) if e.is_of_one_partition() => unbegun.push((tp, e)),
            Err(e) => return Err(e),
        }
    }
    Ok((begun, unbegun))
}

/// The epoch of the record before an offset; -1: unknown.
pub fn epoch_before(reader: &PartitionReader, offset: Offset) -> Result<LeaderEpoch> {
    if offset == 0 {
        return Ok(-1);
    }
    let epochs = reader.replica().epochs()?;
    Ok(epochs
        .and_then(|epochs| epochs.at(offset - 1))
        .unwrap_or(-1))
}
