//! Carries out the orders of the group's session.

use std::sync::Arc;

use super::{Assigned, GroupConsumer, SessionNotice};
use crate::api::event::Event;
use crate::api::progress::HandedOut;
use crate::api::record::Origin;
use crate::client::{Generation, Order};
use crate::partition::PartitionReader;
use crate::types::{Offset, TopicPartition};

impl GroupConsumer {
    pub(super) fn follow_orders(&mut self) {
        let mut stopped = Vec::new();
        let mut largest = None;
        for order in self.session.take_orders() {
            match order {
                Order::Assign {
                    generation,
                    reader,
                    from,
                    until,
                    ..
                } => {
                    let lag = lag_of(&reader, from, until);
                    let tp = self.assign(generation, *reader, from, until);
                    if largest.as_ref().is_none_or(|(most, _)| lag > *most) {
                        largest = Some((lag, tp));
                    }
                }
                Order::Limit(generation, tp, until) => {
                    if self.is_of(&tp, generation).is_some_and(|it| !it.is_broken) {
                        self.engine.limit(&tp, until);
                    }
                }
                Order::Revoke(generation, tp) => {
                    if self.is_of(&tp, generation).is_some() {
                        self.stop_reading(&tp);
                        self.notify_revoked(tp, generation);
                    } else {
                        stopped.push(generation);
                    }
                }
                Order::Lost(generation, tp) => {
                    if self.is_of(&tp, generation).is_some() {
                        self.stop_reading(&tp);
                        self.assigned.remove(&tp);
                        self.notify_lost(tp);
                    }
                }
                Order::Missed { tp, from, to, .. } => {
                    let partition = tp;
                    self.pending.push_back(SessionNotice::Event(Event::Missed {
                        partition,
                        from,
                        to,
                    }));
                }
                Order::Follow => self.engine.find_leaders(),
                Order::Note(_) => {}
                Order::Warn(text) => self.store.dir().add_note(text),
                Order::Broken(e) => self.pending.push_back(SessionNotice::Error(e)),
                Order::Finished => self.is_over = true,
                Order::Failed(e) => {
                    for tp in std::mem::take(&mut self.assigned).into_keys() {
                        self.stop_reading(&tp);
                        self.notify_lost(tp);
                    }
                    self.pending.push_back(SessionNotice::Error(e));
                    self.is_over = true;
                }
            }
        }
        // Otherwise members that live shortly, however they end, would never read any partition but
        // the first.
        if let Some((_, tp)) = largest {
            self.engine.begin_with(&tp);
        }
        if !stopped.is_empty() {
            self.session.stopped(&stopped);
        }
    }

    /// Tells the session that the program has stopped working on revoked partitions.
    pub(super) fn stop(&mut self) {
        if self.stopping.is_empty() {
            return;
        }
        let stopping = std::mem::take(&mut self.stopping);
        let mut generations = Vec::with_capacity(stopping.len());
        for (tp, generation) in stopping {
            if self.is_of(&tp, generation).is_some() {
                self.assigned.remove(&tp);
            }
            generations.push(generation);
        }
        self.session.stopped(&generations);
    }

    fn assign(
        &mut self,
        generation: Generation,
        reader: PartitionReader,
        from: Offset,
        until: Option<Offset>,
    ) -> TopicPartition {
        let tp = reader.replica().tp().clone();
        let origin = Origin {
            tp: tp.clone(),
            topic_id: reader.topic().meta().topic_id,
            generation,
        };
        let assigned = Assigned {
            origin: Arc::new(origin),
            done: from,
            work: HandedOut::new(from),
            is_broken: false,
        };
        self.stop_reading(&tp);
        self.assigned.insert(tp.clone(), assigned);
        self.engine.assign_reader(reader, from, until);
        match self.pending.back_mut() {
            Some(SessionNotice::Event(Event::Assigned(partitions))) => partitions.push(tp.clone()),
            _ => {
                let assigned = Event::Assigned(vec![tp.clone()]);
                self.pending.push_back(SessionNotice::Event(assigned));
            }
        }
        tp
    }

    fn is_of(&self, tp: &TopicPartition, generation: Generation) -> Option<&Assigned> {
        let assigned = self.assigned.get(tp);
        assigned.filter(|assigned| assigned.origin.generation == generation)
    }

    pub(super) fn stop_reading(&mut self, tp: &TopicPartition) {
        self.engine.unassign(tp);
        if self.buffer.origin().is_some_and(|origin| origin.tp == *tp) {
            self.buffer.clear();
        }
    }

    fn notify_revoked(&mut self, tp: TopicPartition, generation: Generation) {
        match self.pending.back_mut() {
            Some(SessionNotice::Revoked(partitions)) => partitions.push((tp, generation)),
            _ => self
                .pending
                .push_back(SessionNotice::Revoked(vec![(tp, generation)])),
        }
    }

    fn notify_lost(&mut self, tp: TopicPartition) {
        match self.pending.back_mut() {
            Some(SessionNotice::Event(Event::Lost(partitions))) => partitions.push(tp),
            _ => self
                .pending
                .push_back(SessionNotice::Event(Event::Lost(vec![tp]))),
        }
    }
}

/// How many offsets of a partition this member still has to read.
fn lag_of(reader: &PartitionReader, from: Offset, until: Option<Offset>) -> Offset {
    // A partition that cannot be read is reported when it is read.
    let end = reader.page().map_or(from, |page| page.high_watermark);
    let end = until.map_or(end, |until| until.min(end));
    end.saturating_sub(from)
}
