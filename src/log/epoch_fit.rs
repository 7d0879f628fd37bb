//! Checks the epoch checkpoint against the batches of a log. No checksum covers the checkpoint, nor
//! the epoch in a batch's header, so each is compared with the other.

use super::epoch_checkpoint::LeaderEpochs;
use super::lookup::{header_at, locate};
use super::segments::Segments;
use super::tail::{LogPosition, Tail};
use super::unsynced_rewrite::{epochs_of_batches, last_sound_place, walk_log};
use crate::disk::Dir;
use crate::error::Result;
use crate::types::{LeaderEpoch, Offset};

const EVERYTHING: LogPosition = LogPosition {
    offset: Offset::MAX,
    segment: Offset::MAX,
    position: u64::MAX,
};

/// Number of entries that [`latest_epochs_fit`] checks.
const LATEST: usize = 4;

/// What is known of a partition's epochs besides the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownEpochs {
    /// The page's epoch: it begins at the log's end or before.
    pub current: LeaderEpoch,
    /// The largest epoch that was ever begun.
    pub newest: LeaderEpoch,
}

/// The epochs of the batches, if the log is sound up to `until` by them and the checkpoint is
/// wrong: impossible by what is known, or contradicted by at least two batches. If only one batch
/// contradicts it, either may be damaged, and a reader refuses that batch.
pub fn epochs_instead(
    dir: &dyn Dir,
    segments: &Segments,
    tail: &Tail,
    until: Offset,
    checkpoint: &LeaderEpochs,
    known: KnownEpochs,
) -> Result<Option<LeaderEpochs>> {
    let impossible = is_impossible(segments, tail, until, checkpoint, known);
    if !impossible && fits(dir, segments, tail, until, checkpoint, usize::MAX) {
        return Ok(None);
    }
    let (mut carried, mut against) = (LeaderEpochs::default(), 0);
    let end = walk_log(dir, segments, &mut |header| {
        carried.begin(header.leader_epoch, header.base_offset);
        against += u32::from(checkpoint.at(header.base_offset) != Some(header.leader_epoch));
    })?;
    let wrong = impossible || against > 1;
    let sound = end >= until && carried.last() <= Some(known.newest);
    Ok((wrong && sound).then_some(carried))
}

/// Whether the checkpoint's first and latest entries are right. This is the check at a process's
/// first use of a partition, whose cost must not grow with the number of leaders that ever were. A
/// wrong older entry is found by a reader of its batches.
pub fn latest_epochs_fit(
    dir: &dyn Dir,
    segments: &Segments,
    tail: &Tail,
    checkpoint: &LeaderEpochs,
    known: KnownEpochs,
) -> bool {
    !is_impossible(segments, tail, tail.end, checkpoint, known)
        && fits(dir, segments, tail, tail.end, checkpoint, LATEST)
}

fn is_impossible(
    segments: &Segments,
    tail: &Tail,
    until: Offset,
    checkpoint: &LeaderEpochs,
    known: KnownEpochs,
) -> bool {
    let first = segments.bases().first().copied().unwrap_or(until);
    (first < until && checkpoint.at(first).is_none())
        || checkpoint.at(tail.end) < Some(known.current)
        || checkpoint.last() > Some(known.newest)
}

/// Whether nothing in the log below `until` contradicts the `latest` entries of the checkpoint, or
/// its entry for the log's first batch. Epochs only rise along a log, so the batches on both sides
/// of each entry decide for all between them. An unreadable batch contradicts nothing: a reader of
/// the log reports it.
fn fits(
    dir: &dyn Dir,
    segments: &Segments,
    tail: &Tail,
    until: Offset,
    epochs: &LeaderEpochs,
    latest: usize,
) -> bool {
    let first = segments.bases().first().copied().unwrap_or(until);
    let latest = epochs.entries().iter().rev().take(latest);
    let starts = latest.map(|(_, start)| *start);
    let mut examined: Vec<Offset> = starts
        .flat_map(|start| [start.saturating_sub(1), start])
        .chain([first, until.saturating_sub(1)])
        .filter(|offset| (first..until).contains(offset))
        .collect();
    examined.sort_unstable();
    examined.dedup();
    examined.into_iter().all(|offset| {
        let header = locate(dir, segments, tail, offset)
            .and_then(|at| header_at(dir, at.segment, at.position));
        match header {
            // By its base: a batch lies on one side of an entry.
            Ok(Some(header)) => epochs.at(header.base_offset) == Some(header.leader_epoch),
            _ => true,
        }
    })
}

/// The epoch checkpoint, or the epochs of the batches if more of the log is sound by those.
pub fn epochs_that_fit(
    dir: &dyn Dir,
    segments: &Segments,
    checkpoint: Option<LeaderEpochs>,
    newest: LeaderEpoch,
) -> Result<LeaderEpochs> {
    let carried = epochs_of_batches(dir, segments)?;
    let Some(checkpoint) = checkpoint else {
        return Ok(carried);
    };
    let better = carried.last() <= Some(newest)
        && reach(dir, segments, &carried)? > reach(dir, segments, &checkpoint)?;
    Ok(if better { carried } else { checkpoint })
}

/// The offset up to which the log is sound by these epochs.
fn reach(dir: &dyn Dir, segments: &Segments, epochs: &LeaderEpochs) -> Result<Offset> {
    let first = segments.bases().first().copied().unwrap_or_default();
    let start = LogPosition {
        offset: first,
        segment: first,
        position: 0,
    };
    last_sound_place(dir, segments, start, EVERYTHING, Some(epochs)).map(|place| place.offset)
}
