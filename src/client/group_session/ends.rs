//! Where a member ends: fixed when it starts (`-e`, or the B of `-o A:B`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::options::GroupOptions;
use crate::client::read_from::Chooser;
use crate::client::resolve::{Until, resolve_range};
use crate::client::unresolved_offset::{UnresolvedOffset, UnresolvedRange};
use crate::error::{Error, Kind, Result};
use crate::group::{self, OffsetsState};
use crate::store::topics::topic_file;
use crate::store::{StoreDir, TopicHandle};
use crate::types::{Offset, PartitionId, Timestamp, TopicName, TopicPartition, Uuid};

/// The ends of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The ends of each topic, from partition 0; [`Offset::MAX`] while the clock has not passed its
    /// time.
    pub offsets: BTreeMap<TopicName, Vec<Offset>>,
    /// The ids of these topics: a topic that is created again under the name has no ends.
    pub ids: BTreeMap<TopicName, Uuid>,
    /// The end times that the clock has not passed.
    pub times: HashMap<TopicPartition, Timestamp>,
}

impl Ends {
    /// The present ends of all that the options subscribe to; `None` if they name none. `unfixed`:
    /// the partitions that cannot be read now, which end at once.
    ///
    /// # Errors
    /// As for reading a partition.
    pub fn fix(
        store: &Arc<StoreDir>,
        chooser: &Chooser,
        options: &GroupOptions,
        unfixed: &mut Vec<(TopicPartition, Error)>,
    ) -> Result<Option<Self>> {
        if !options.to_end && options.range.to.is_none() {
            return Ok(None);
        }
        let offsets = group::committed_offsets(store, &options.group)?;
        let matcher = options.subscription.matcher()?;
        let mut ends = Ends {
            offsets: BTreeMap::new(),
            ids: BTreeMap::new(),
            times: HashMap::new(),
        };
        let now_ms = store.clock().now_ms();
        let there = topic_file::list(store)?;
        for name in there.into_iter().filter(|name| matcher.matches(name)) {
            let topic = match TopicHandle::open(store, &name) {
                // The check of the topics reports it.
                Err(e) if e.kind() == Kind::Damaged => continue,
                other => other?,
            };
            let mut of_topic = Vec::with_capacity(topic.meta().partitions.len());
            for partition in 0..topic.meta().partitions.len() {
                let tp = TopicPartition::new(name.clone(), partition as PartitionId);
                let end = match end_of(chooser, options, &offsets, &topic, &tp, now_ms) {
                    // No record of it can be read: its owner reports that, and no member waits for
                    // it.
                    Err(e) if e.kind() == Kind::Damaged => 0,
                    // It may become readable soon, but its end as of now will not be known then.
                    Err(e) if e.is_of_one_partition() => {
                        unfixed.push((tp, e));
                        0
                    }
                    Err(e) => return Err(e),
                    Ok(until) => match until {
                        Until::Offset(offset) => offset,
                        Until::Never => Offset::MAX,
                        Until::Time(time) => {
                            ends.times.insert(tp, time);
                            Offset::MAX
                        }
                    },
                };
                of_topic.push(end);
            }
            ends.ids.insert(name.clone(), topic.meta().topic_id);
            ends.offsets.insert(name, of_topic);
        }
        Ok(Some(ends))
    }

    /// The end of a partition; `None`: it was added later.
    pub fn of(&self, tp: &TopicPartition) -> Option<Offset> {
        let of_topic = self.offsets.get(&tp.topic)?;
        of_topic.get(usize::try_from(tp.partition).ok()?).copied()
    }

    /// Whether these are ends of the topic with that id.
    pub fn is_of(&self, tp: &TopicPartition, topic_id: Uuid) -> bool {
        self.ids.get(&tp.topic) == Some(&topic_id)
    }

    /// Sets the end of a partition whose end time has passed.
    pub fn set(&mut self, tp: &TopicPartition, end: Offset) {
        self.times.remove(tp);
        let at = usize::try_from(tp.partition).ok();
        let of_topic = self.offsets.get_mut(&tp.topic);
        if let Some(slot) = of_topic.zip(at).and_then(|(ends, at)| ends.get_mut(at)) {
            *slot = end;
        }
    }

    /// Every partition that has an end, with it.
    pub fn iter(&self) -> impl Iterator<Item = (TopicPartition, Offset)> + '_ {
        self.offsets.iter().flat_map(|(topic, ends)| {
            ends.iter().enumerate().map(|(partition, end)| {
                (
                    TopicPartition::new(topic.clone(), partition as PartitionId),
                    *end,
                )
            })
        })
    }

    /// Turns end times that the clock has passed into offsets.
    pub fn pass_times(
        &mut self,
        chooser: &Chooser,
        now_ms: Timestamp,
    ) -> Result<Vec<(TopicPartition, Offset)>> {
        let passed: Vec<(TopicPartition, Timestamp)> = self
            .times
            .iter()
            .filter(|(_, time)| **time <= now_ms)
            .map(|(tp, time)| (tp.clone(), *time))
            .collect();
        let mut found = Vec::with_capacity(passed.len());
        for (tp, time) in passed {
            let opened = chooser.open(&tp).and_then(|reader| {
                let page = reader.page()?;
                Ok((reader, page))
            });
            let (reader, page) = match opened {
                Ok(opened) => opened,
                // Its owner reports it; the time stays, and is tried again.
                Err(e) if e.is_of_one_partition() => continue,
                Err(e) => return Err(e),
            };
            let range = UnresolvedRange {
                from: Some(UnresolvedOffset::Start),
                to: Some(UnresolvedOffset::Time(time)),
            };
            let resolved = resolve_range(
                &reader,
                &page,
                range,
                UnresolvedOffset::Start,
                None,
                true,
                now_ms,
            )?;
            if let Until::Offset(end) = resolved.until {
                self.set(&tp, end);
                found.push((tp, end));
            }
        }
        Ok(found)
    }
}

fn end_of(
    chooser: &Chooser,
    options: &GroupOptions,
    offsets: &OffsetsState,
    topic: &TopicHandle,
    tp: &TopicPartition,
    now_ms: Timestamp,
) -> Result<Until> {
    let reader = chooser.open(tp)?;
    let page = reader.page()?;
    if options.range.to.is_none() {
        return Ok(Until::Offset(page.high_watermark));
    }
    let committed = offsets.committed(&tp.topic, topic.meta().topic_id, tp.partition);
    let mut range = options.range;
    if let Some(committed) = &committed {
        // An offset beyond the log is an error, reported when the partition is read.
        range.from = Some(UnresolvedOffset::At(
            committed.offset.min(page.high_watermark),
        ));
    }
    let stored = committed.map(|committed| committed.offset);
    Ok(resolve_range(
        &reader,
        &page,
        range,
        UnresolvedOffset::Start,
        stored,
        options.to_end,
        now_ms,
    )?
    .until)
}
