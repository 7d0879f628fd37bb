//! Before a pass: a leader's active segment is closed, and the durable place moved to the next segment's
//! start, so that all of the closed one may be compacted.

use std::sync::Arc;
use std::time::Duration;

use super::limits::{is_in_order, must_close};
use crate::error::Result;
use crate::log::{Appender, LogPosition, Segments};
use crate::partition::append::{Committer, PartitionWriter, begin_segment};
use crate::partition::log_snapshot::LogSnapshot;
use crate::partition::replica::Replica;
use crate::partition::state_page::{Intent, Role, StatePage};
use crate::store::StoreDir;
use crate::types::{BrokerId, Offset, Timestamp, TopicPartition};

/// Makes the leader's log ready. Closes the active segment if `is_forced`, or by its age, and makes all
/// closed segments durable.
///
/// # Errors
/// Those of an append and of a group commit.
pub(super) fn close_leaders(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    is_forced: bool,
    now_ms: Option<Timestamp>,
    timeout: Duration,
) -> Result<()> {
    let mut writer = PartitionWriter::open(store, tp, timeout)?;
    let configs = writer.configs().clone();
    let page = writer.when_ready(|ready| {
        let page = ready.page;
        let is_old = now_ms.is_some_and(|now| must_close(page, &configs, now));
        if page.tail.last.is_some() && (is_forced || is_old) {
            begin_segment(ready.recovery.held, ready.recovery.appender, page)?;
            page.intent = Intent::None;
            ready.recovery.held.publish(page)?;
        }
        Ok(*page)
    })?;
    if page.durable.offset < page.tail.active {
        Committer::open(store, tp, timeout)?.commit(page.tail.active)?;
    }
    Ok(())
}

/// As [`close_leaders`], for a broker's follower, if `is_due` says so of its page: its segments need not be
/// its leader's.
///
/// # Errors
/// [`Kind::Busy`](crate::error::Kind::Busy), [`Kind::Io`](crate::error::Kind::Io); those of a group commit.
pub(super) fn close_followers(
    store: &Arc<StoreDir>,
    replica: &Replica,
    broker: BrokerId,
    is_due: impl Fn(&StatePage) -> bool,
    timeout: Duration,
) -> Result<()> {
    let held = replica.lock(timeout)?;
    let Some(mut page) = held.page()? else {
        return Ok(());
    };
    if page.role != Role::Follower || !is_in_order(&page, store.boot_id()) {
        return Ok(());
    }
    if page.tail.last.is_some() && is_due(&page) {
        let mut appender = Appender::new(Arc::clone(replica.dir()));
        begin_segment(&held, &mut appender, &mut page)?;
        page.intent = Intent::None;
        held.publish(&mut page)?;
    }
    drop(held);
    if page.durable.offset < page.tail.active {
        let mut committer = Committer::open_at(store, replica.tp(), broker, timeout)?;
        committer.commit(page.tail.active)?;
    }
    Ok(())
}

/// Where the durable place goes if its segment is durable to its end.
fn next_place(page: &StatePage, segments: &Segments) -> Option<LogPosition> {
    let next = segments.after(page.durable.segment)?;
    let is_at_end = page.durable.offset == next && next <= page.tail.active;
    is_at_end.then_some(LogPosition {
        offset: next,
        segment: next,
        position: 0,
    })
}

/// Moves a durable place at the end of a closed segment to the start of the next one.
///
/// # Errors
/// [`Kind::Offline`](crate::error::Kind::Offline) after a failed sync, which takes the replica offline;
/// [`Kind::Busy`](crate::error::Kind::Busy), [`Kind::Io`](crate::error::Kind::Io).
pub(super) fn leave_closed_segment(
    replica: &Replica,
    boot_id: [u8; 16],
    timeout: Duration,
) -> Result<()> {
    let Some(LogSnapshot { page, segments, .. }) = LogSnapshot::take(replica)? else {
        return Ok(());
    };
    let is_closed = page.durable.segment < page.tail.active && is_in_order(&page, boot_id);
    let Some(place) = next_place(&page, &segments).filter(|_| is_closed) else {
        return Ok(());
    };
    // The page is about to name the next segment as durable: so is that segment's name.
    replica.sync_page_and_names(timeout)?;
    let held = replica.lock(timeout)?;
    let Some(mut now) = held.page()? else {
        return Ok(());
    };
    let is_same = now.generation == page.generation && now.durable == page.durable;
    if !is_same || !is_in_order(&now, boot_id) {
        return Ok(());
    }
    now.durable = place;
    held.publish(&mut now)
}

/// The end of a closed segment.
pub(super) fn end_of(segments: &Segments, base: Offset, active: Offset) -> Offset {
    segments.after(base).unwrap_or(active)
}
