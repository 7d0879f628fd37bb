//! Which partitions are read, and from where: those that exist at first, and later ones.

use std::sync::Arc;

use super::{Assigned, Consumer, Failing, Known, TOPICS_POLL};
use crate::api::OffsetSpec;
use crate::api::batch::about;
use crate::api::consumer_options::OnMissed;
use crate::api::event::Event;
use crate::api::record::Origin;
use crate::client::unresolved_offset::{UnresolvedOffset, UnresolvedRange};
use crate::client::{Until, resolve_range};
use crate::error::{Error, Kind, Result};
use crate::store::TopicHandle;
use crate::store::topics::topic_file;
use crate::types::{Offset, PartitionId, TopicName, TopicPartition};

impl Consumer {
    /// Assigns the partitions that exist when the consumer is opened.
    pub(super) fn assign_first(
        &mut self,
        names: impl IntoIterator<Item = TopicName>,
    ) -> Result<()> {
        for name in names {
            let topic = TopicHandle::open(&self.store, &name).map_err(|e| match e.kind() {
                Kind::UnknownTopic => topic_file::unknown(&self.store, &name),
                _ => e,
            });
            let topic = topic.map_err(|e| e.of_topic(&name))?;
            for partition in self.options.partitions.iter().flatten() {
                let there = topic.partition(*partition);
                there.map_err(|e| e.of_topic(&name).of_partition(*partition))?;
            }
            self.take_in(topic, true)?;
        }
        if self.partitions.is_empty()
            && let Some(at) = self.pending.iter().position(Result::is_err)
            && let Some(Err(e)) = self.pending.remove(at)
        {
            // There are no others.
            return Err(e);
        }
        let assigned: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        self.pending.push_front(Ok(Event::Assigned(assigned)));
        Ok(())
    }

    /// Checks for added partitions, periodically and after each change.
    pub(super) fn refresh_topics(&mut self) {
        let now = self.store.clock().monotonic();
        let is_due = now.saturating_sub(self.examined) >= TOPICS_POLL;
        if !is_due && !std::mem::take(&mut self.topics_changed) {
            return;
        }
        self.examined = now;
        // A consumer that never waits gets no notice of a change.
        self.engine.find_leaders();
        if self.options.to_end {
            return;
        }
        let changed: Vec<TopicName> = self
            .topics
            .iter()
            .filter(|(_, known)| !known.topic.is_current().unwrap_or(false))
            .map(|(name, _)| name.clone())
            .collect();
        if changed.is_empty() && self.failing.is_empty() {
            return;
        }
        let before: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        for (tp, failing) in std::mem::take(&mut self.failing) {
            if let Err(e) = self.assign(&tp, failing.is_first) {
                let e = about(e, &tp);
                self.fails(tp, &failing, e);
            }
        }
        for name in changed {
            // The fetch reports a topic that is gone, or that was created again under that name.
            if let Ok(topic) = TopicHandle::open(&self.store, &name)
                && let Some(known) = self.topics.get(&name)
                && known.topic.meta().topic_id == topic.meta().topic_id
                && let Err(e) = self.take_in(topic, false)
            {
                self.pending.push_back(Err(e));
            }
        }
        let is_new = |tp: &&TopicPartition| before.binary_search(tp).is_err();
        let new: Vec<TopicPartition> = self.partitions.keys().filter(is_new).cloned().collect();
        if !new.is_empty() {
            self.pending.push_back(Ok(Event::Assigned(new)));
        }
    }

    /// Assigns the partitions of a topic that were not assigned yet.
    fn take_in(&mut self, topic: TopicHandle, is_first: bool) -> Result<()> {
        let meta = topic.meta();
        let count = meta.partitions.len();
        let name = meta.name.clone();
        let have = self.topics.get(&name).map_or(0, |known| known.partitions);
        for partition in have..count {
            let partition = partition as PartitionId;
            let asked = self.options.partitions.as_ref();
            if asked.is_some_and(|asked| !asked.contains(&partition)) {
                continue;
            }
            let tp = TopicPartition::new(name.clone(), partition);
            match self.assign(&tp, is_first).map_err(|e| about(e, &tp)) {
                Err(e) if e.is_of_one_partition() => {
                    let failing = Failing {
                        is_first,
                        is_reported: false,
                    };
                    self.fails(tp, &failing, e);
                }
                outcome => outcome?,
            }
        }
        let partitions = count.max(have);
        self.topics.insert(name, Known { topic, partitions });
        Ok(())
    }

    /// A partition cannot be opened: that is reported once. Unless it is damaged, it is retried.
    fn fails(&mut self, tp: TopicPartition, failing: &Failing, e: Error) {
        let is_final = !e.is_of_one_partition() || e.kind() == Kind::Damaged;
        if !failing.is_reported || is_final {
            self.pending.push_back(Err(e));
        }
        if !is_final {
            let reported = Failing {
                is_first: failing.is_first,
                is_reported: true,
            };
            self.failing.insert(tp, reported);
        }
    }

    fn assign(&mut self, tp: &TopicPartition, is_first: bool) -> Result<()> {
        let reader = self.engine.open_reader(tp)?;
        let page = reader.page()?;
        let topic_id = reader.topic().meta().topic_id;
        let known = self.topics.get(&tp.topic);
        if known.is_some_and(|known| known.topic.meta().topic_id != topic_id) {
            return Err(topic_file::unknown(&self.store, &tp.topic));
        }
        let from = if is_first {
            self.options.from
        } else {
            OffsetSpec::Start
        };
        let kept = self.options.resume.position(tp);
        if let Some(kept) = kept {
            kept.check(reader.topic())?;
            if kept.offset > page.high_watermark && !reader.is_pinned() {
                OffsetSpec::At(kept.offset).resolve(&reader)?;
            }
        }
        // A stored offset is used unchanged: if it is deleted now, the first fetch says so.
        let begin = match kept {
            Some(_) => UnresolvedOffset::Start,
            None => from.unresolved(),
        };
        let range = UnresolvedRange {
            from: Some(begin),
            to: self.options.until.map(|until| until.unresolved_end(&page)),
        };
        let now = self.store.clock().now_ms();
        let to_end = self.options.to_end;
        let resolved = resolve_range(
            &reader,
            &page,
            range,
            UnresolvedOffset::Start,
            None,
            to_end,
            now,
        )?;
        let from = match (kept, resolved.below_start) {
            (Some(kept), _) => kept.offset,
            (None, Some(below)) => below,
            (None, None) => resolved.from,
        };
        if from < page.tail.log_start && self.options.on_missed == OnMissed::Fail && is_first {
            return Err(gone(tp, from, page.tail.log_start));
        }
        let until = match resolved.until {
            Until::Never => None,
            Until::Offset(offset) => Some(offset),
            Until::Time(time) => {
                self.time_bounds.insert(tp.clone(), time);
                None
            }
        };
        let origin = Origin {
            tp: tp.clone(),
            topic_id,
            generation: 0,
        };
        let origin = Arc::new(origin);
        self.partitions
            .insert(tp.clone(), Assigned { origin, until });
        self.engine.assign_reader(reader, from, until);
        Ok(())
    }
}

fn gone(tp: &TopicPartition, from: Offset, start: Offset) -> Error {
    let text = format!("OFFSET_OUT_OF_RANGE: {tp} begins at offset {start}: {from} is gone");
    Error::new(Kind::OffsetOutOfRange, text)
        .of_offset(from)
        .cure(format!(
            "begin at {start} or later, or accept that records are missed"
        ))
}
