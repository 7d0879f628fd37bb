//! The thread that waits for acknowledgements.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Replicated, SPARE_BYTES_MAX, SPARE_MAX, UnderWay, unknown};
use crate::client::ledger::{Ledger, Ticket};
use crate::client::producer_options::Acks;
use crate::error::{Error, Kind, Result};
use crate::partition::{Appended, Committer, Shown, Watermark};
use crate::store::brokers::failure_reports;
use crate::types::{LeaderEpoch, Offset, PartitionId, Uuid};

/// Between two looks at a high watermark, at first and once it takes longer.
const LOOK_INTERVAL: Duration = Duration::from_micros(50);
const LOOK_INTERVAL_LATER: Duration = Duration::from_micros(500);
const LOOK_INTERVAL_AT_LAST: Duration = Duration::from_millis(2);
const LOOKS_AT_FIRST: u32 = 40;
const LOOKS_LATER: u32 = 140;
/// What is left to what is appended once somebody gives up.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// How long a lock is waited for to raise a high watermark: others raise it, too.
const RAISE_PATIENCE: Duration = Duration::from_millis(100);

/// The waiting thread: makes durable what has to be, looks at the high watermarks, and acknowledges.
pub(in crate::client) fn wait_all(shared: &Arc<Replicated>, ledger: &Ledger, fail: &dyn Fn(Error)) {
    let mut waits: BTreeMap<PartitionId, Wait> = BTreeMap::new();
    let mut looks = 0_u32;
    loop {
        let partitions: Vec<PartitionId> = {
            let mut state = shared.lock();
            loop {
                if !state.lanes.is_empty() {
                    break state.lanes.keys().copied().collect();
                }
                if state.closed {
                    return;
                }
                looks = 0;
                state = shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        let mut moved_on = false;
        for partition in partitions {
            let wait = waits.entry(partition).or_default();
            let looked = wait.look(shared, partition);
            let acked = shared.take_acked(partition, looked.as_ref().ok().copied().flatten());
            if !acked.is_empty() {
                moved_on = true;
                ledger.acknowledge(acked);
            }
            if let Err(e) = &looked {
                wait.leader = None;
                if e.kind() == Kind::UnknownTopic {
                    if shared.give_up(partition) > 0 {
                        fail(unknown(&shared.tp(partition), "the topic was deleted"));
                    }
                    continue;
                }
                let _ = failure_reports::report(&shared.store, &shared.tp(partition));
            }
            if shared.is_late(partition) && shared.give_up(partition) > 0 {
                let why = match looked {
                    Err(e) => e.to_string(),
                    Ok(_) => "not all replicas in sync had them in time".to_owned(),
                };
                fail(unknown(&shared.tp(partition), &why));
            }
        }
        looks = if moved_on { 0 } else { looks.saturating_add(1) };
        let pause = match looks {
            ..LOOKS_AT_FIRST => LOOK_INTERVAL,
            LOOKS_AT_FIRST..LOOKS_LATER => LOOK_INTERVAL_LATER,
            _ => LOOK_INTERVAL_AT_LAST,
        };
        shared.store.clock().sleep(pause);
    }
}

/// What the waiting thread has open of a partition.
#[derive(Debug, Default)]
struct Wait {
    leader: Option<(Watermark, Option<Committer>)>,
    /// A sync failed at this leader in this epoch: the controller moves leadership.
    failed_in: Option<LeaderEpoch>,
}

impl Wait {
    fn look(&mut self, shared: &Replicated, partition: PartitionId) -> Result<Option<Shown>> {
        let tp = shared.tp(partition);
        let (watermark, committer) = match &mut self.leader {
            Some(leader) => leader,
            none => none.insert((Watermark::open(&shared.store, &tp)?, None)),
        };
        let mut shown = watermark.look()?;
        let topic_id = watermark.topic().meta().topic_id;
        if shared.topic_id(partition).is_some_and(|id| id != topic_id) {
            return Err(Error::new(
                Kind::UnknownTopic,
                "another topic has that name",
            ));
        }
        let Some(target) = shared.target(partition, shown.leader_epoch) else {
            shared.note_moved(partition, &shown);
            return Ok(None);
        };
        if !shown.promoted {
            return Ok(None);
        }
        if watermark.topic().configs().every_message()
            && shown.acked < target
            && self.failed_in != Some(shown.leader_epoch)
        {
            let before = match committer.take() {
                Some(mut opened) => opened.is_the_leaders()?.then_some(opened),
                None => None,
            };
            let opened = match before {
                Some(opened) => opened,
                None => Committer::open(&shared.store, &tp, RAISE_PATIENCE * 20)?,
            };
            let opened = committer.insert(opened);
            if let Err(e) = opened.commit(target) {
                *committer = None;
                if matches!(e.kind(), Kind::Unknown | Kind::Offline) {
                    self.failed_in = Some(shown.leader_epoch);
                }
                return Err(e);
            }
            shown = watermark.look()?;
        }
        if shared.acks == Acks::All && shown.high_watermark < target {
            match watermark.raise(RAISE_PATIENCE) {
                Ok(raised) => shown = raised,
                // Its followers raise it, too.
                Err(e) if e.kind() == Kind::Busy => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Some(shown))
    }
}

impl Replicated {
    fn topic_id(&self, partition: PartitionId) -> Option<Uuid> {
        self.lock().lanes.get(&partition).map(|lane| lane.topic_id)
    }

    /// The end of what is under way in that epoch; `None` if the lane is of another.
    fn target(&self, partition: PartitionId, epoch: LeaderEpoch) -> Option<Offset> {
        let state = self.lock();
        let lane = state.lanes.get(&partition)?;
        if lane.epoch != epoch || state.moved.contains(&partition) {
            return None;
        }
        lane.under_way
            .back()
            .map(|one| one.appended.last_offset + 1)
    }

    fn note_moved(&self, partition: PartitionId, shown: &Shown) {
        let mut state = self.lock();
        let lane = state.lanes.get(&partition);
        if lane.is_some_and(|lane| lane.epoch != shown.leader_epoch) {
            state.moved.insert(partition);
        }
    }

    /// Takes what is acknowledged out of what is under way.
    fn take_acked(&self, partition: PartitionId, shown: Option<Shown>) -> Vec<(Ticket, Appended)> {
        let Some(shown) = shown.filter(|shown| shown.promoted) else {
            return Vec::new();
        };
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(lane) = state.lanes.get_mut(&partition) else {
            return Vec::new();
        };
        if lane.epoch != shown.leader_epoch || state.moved.contains(&partition) {
            return Vec::new();
        }
        let end = match self.acks {
            Acks::All => shown.high_watermark,
            Acks::Leader | Acks::None => shown.acked,
        };
        let (mut acked, mut bytes, mut freed) = (Vec::new(), 0, Vec::new());
        let is_acked = |one: &UnderWay| one.appended.last_offset < end;
        while lane.under_way.front().is_some_and(is_acked)
            && let Some(one) = lane.under_way.pop_front()
        {
            bytes += one.batch.len();
            acked.push((one.ticket, one.appended));
            freed.push(one.batch);
        }
        if lane.under_way.is_empty() {
            state.end(partition);
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        while state.spare.len() < SPARE_MAX
            && let Some(buffer) = freed.pop()
        {
            if buffer.len() <= SPARE_BYTES_MAX {
                state.spare.push(buffer);
            }
        }
        drop(guard);
        if !acked.is_empty() {
            self.changed.notify_all();
        }
        acked
    }

    fn is_late(&self, partition: PartitionId) -> bool {
        let now = self.now();
        let state = self.lock();
        let oldest = state
            .lanes
            .get(&partition)
            .and_then(|lane| lane.under_way.front());
        let timeout = if self.gives_up() {
            self.timeout.min(LAST_MOMENT)
        } else {
            self.timeout
        };
        oldest.is_some_and(|one| now.saturating_sub(one.since) >= timeout)
    }
}
