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

/// Interval of the reads of a high watermark, at first and once it takes longer.
const POLL_INTERVAL: Duration = Duration::from_micros(50);
const POLL_INTERVAL_LATER: Duration = Duration::from_micros(500);
const POLL_INTERVAL_AT_LAST: Duration = Duration::from_millis(2);
const POLLS_AT_FIRST: u32 = 40;
const POLLS_LATER: u32 = 140;
/// How long appended batches may still be acknowledged after the observer gives up.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// How long to wait for a lock to raise a high watermark: other processes raise it, too.
const RAISE_TIMEOUT: Duration = Duration::from_millis(100);

/// The waiting thread: syncs batches, reads the high watermarks, and acknowledges.
pub(in crate::client) fn wait_all(shared: &Arc<Replicated>, ledger: &Ledger, fail: &dyn Fn(Error)) {
    let mut waits: BTreeMap<PartitionId, Wait> = BTreeMap::new();
    let mut observations = 0_u32;
    loop {
        let partitions: Vec<PartitionId> = {
            let mut state = shared.lock();
            loop {
                if !state.in_flight_all.is_empty() {
                    break state.in_flight_all.keys().copied().collect();
                }
                if state.closed {
                    return;
                }
                observations = 0;
                state = shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        let mut moved_on = false;
        for partition in partitions {
            let wait = waits.entry(partition).or_default();
            let observed = wait.observe(shared, partition);
            let acked = shared.take_acked(partition, observed.as_ref().ok().copied().flatten());
            if !acked.is_empty() {
                moved_on = true;
                ledger.acknowledge(acked);
            }
            if let Err(e) = &observed {
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
                let why = match observed {
                    Err(e) => e.to_string(),
                    Ok(_) => "not all in-sync replicas had them in time".to_owned(),
                };
                fail(unknown(&shared.tp(partition), &why));
            }
        }
        observations = if moved_on {
            0
        } else {
            observations.saturating_add(1)
        };
        let pause = match observations {
            ..POLLS_AT_FIRST => POLL_INTERVAL,
            POLLS_AT_FIRST..POLLS_LATER => POLL_INTERVAL_LATER,
            _ => POLL_INTERVAL_AT_LAST,
        };
        shared.store.clock().sleep(pause);
    }
}

/// What the waiting thread has open of a partition.
#[derive(Debug, Default)]
struct Wait {
    leader: Option<(Watermark, Option<Committer>)>,
    /// A sync failed at this leader in this epoch: the controller transfers leadership.
    failed_in: Option<LeaderEpoch>,
}

impl Wait {
    fn observe(&mut self, shared: &Replicated, partition: PartitionId) -> Result<Option<Shown>> {
        let tp = shared.tp(partition);
        let (watermark, committer) = match &mut self.leader {
            Some(leader) => leader,
            none => none.insert((Watermark::open(&shared.store, &tp)?, None)),
        };
        let mut shown = watermark.observe()?;
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
                None => Committer::open(&shared.store, &tp, RAISE_TIMEOUT * 20)?,
            };
            let opened = committer.insert(opened);
            if let Err(e) = opened.commit(target) {
                *committer = None;
                if matches!(e.kind(), Kind::Unknown | Kind::Offline) {
                    self.failed_in = Some(shown.leader_epoch);
                }
                return Err(e);
            }
            shown = watermark.observe()?;
        }
        if shared.acks == Acks::All && shown.high_watermark < target {
            match watermark.raise(RAISE_TIMEOUT) {
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
        self.lock()
            .in_flight_all
            .get(&partition)
            .map(|in_flight| in_flight.topic_id)
    }

    /// The end of the in-flight batches in that epoch; `None` if they are of another.
    fn target(&self, partition: PartitionId, epoch: LeaderEpoch) -> Option<Offset> {
        let state = self.lock();
        let in_flight = state.in_flight_all.get(&partition)?;
        if in_flight.epoch != epoch || state.moved.contains(&partition) {
            return None;
        }
        in_flight
            .under_way
            .back()
            .map(|one| one.appended.last_offset + 1)
    }

    fn note_moved(&self, partition: PartitionId, shown: &Shown) {
        let mut state = self.lock();
        let in_flight = state.in_flight_all.get(&partition);
        if in_flight.is_some_and(|in_flight| in_flight.epoch != shown.leader_epoch) {
            state.moved.insert(partition);
        }
    }

    /// Takes the acknowledged batches out of the in-flight batches.
    fn take_acked(&self, partition: PartitionId, shown: Option<Shown>) -> Vec<(Ticket, Appended)> {
        let Some(shown) = shown.filter(|shown| shown.promoted) else {
            return Vec::new();
        };
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(in_flight) = state.in_flight_all.get_mut(&partition) else {
            return Vec::new();
        };
        if in_flight.epoch != shown.leader_epoch || state.moved.contains(&partition) {
            return Vec::new();
        }
        let end = match self.acks {
            Acks::All => shown.high_watermark,
            Acks::Leader | Acks::None => shown.acked,
        };
        let (mut acked, mut bytes, mut freed) = (Vec::new(), 0, Vec::new());
        let is_acked = |one: &UnderWay| one.appended.last_offset < end;
        while in_flight.under_way.front().is_some_and(is_acked)
            && let Some(one) = in_flight.under_way.pop_front()
        {
            bytes += one.batch.len();
            acked.push((one.ticket, one.appended));
            freed.push(one.batch);
        }
        if in_flight.under_way.is_empty() {
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
            .in_flight_all
            .get(&partition)
            .and_then(|in_flight| in_flight.under_way.front());
        let timeout = if self.gives_up() {
            self.timeout.min(LAST_MOMENT)
        } else {
            self.timeout
        };
        oldest.is_some_and(|one| now.saturating_sub(one.since) >= timeout)
    }
}
