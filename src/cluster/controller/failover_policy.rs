//! What follows from how a partition's replicas look.

use std::time::Duration;

use super::causes::{
    broker_dead, directory_useless, leader_disk_full, lock_kept, move_to, unseal, waits_in_vain,
};
use super::context::{Context, MoveReason, fail_wish, finishable, lag_interval, take_out};
use super::partition::{Ask, Partition, View, Watch, WorkKind};
use super::sight::Assessment;
use super::state::{ChangeKind, Lock, ProbeResult, ReplicaSnapshot};
use crate::store::Stillness;
use crate::timing::{LOCK_STOPPED_AFTER, SEAL_LEFT_AFTER};
use crate::types::BrokerId;

/// Between two looks at a lock that is held: soon again at first, since who is at work has it for
/// some microseconds, and the failover waits for this.
const WATCHING_FIRST: Duration = Duration::from_millis(1);
const WATCHING: Duration = Duration::from_millis(50);

/// Before a leader, or who may follow it, is tried again that could not be looked at.
const FAILED_LOOK: Duration = Duration::from_secs(1);

/// Decides by what was seen.
pub(crate) fn judge(cx: &mut Context<'_>, p: &mut Partition, looked: &ProbeResult, full: bool) {
    let sight = Assessment { looked, full };
    if full {
        p.due.followers = None;
    }
    let laggards = note_lag(cx, p, &sight);
    let leader = p.meta.leader;
    if let Some(why) = sight.useless(p, leader) {
        return directory_useless(cx, p, &sight, why);
    }
    match watch(cx, p, &sight) {
        LockWatch::Free => {}
        LockWatch::Stopped(seen) => return lock_kept(cx, p, &sight, seen),
        LockWatch::Held => {
            let since = p.reign.watch.map_or(cx.now, |watch| watch.since);
            let watched = cx.now.saturating_sub(since);
            p.due.again = Some(cx.now + watched.clamp(WATCHING_FIRST, WATCHING));
            return cx.schedule(p);
        }
    }
    if matches!(sight.of(leader), Some(ReplicaSnapshot::Failed) | None) {
        p.due.again = Some(cx.now + FAILED_LOOK);
    }
    let failed = |b: &BrokerId| matches!(sight.of(*b), Some(ReplicaSnapshot::Failed));
    if !cx.brokers.is_alive(leader) && p.meta.isr.iter().any(failed) {
        // It may be the only one that can lead.
        p.due.again_by(cx.now + FAILED_LOOK);
    }
    let page = sight
        .page(p, leader)
        .filter(|page| page.epoch == p.meta.leader_epoch);
    let disk_full = page.is_some_and(|page| page.full);
    let mover = page.and_then(|page| page.moving);
    let moving = mover.is_some();
    let left = match mover {
        Some(beat) => {
            let begin = || Stillness::begin(beat, cx.now);
            let seen = p.reign.others_move.get_or_insert_with(begin);
            seen.look(beat, cx.now) >= SEAL_LEFT_AFTER
        }
        None => {
            p.reign.others_move = None;
            false
        }
    };
    let sealed = left || page.is_some_and(|page| page.sealed);
    let stands = !sealed && page.is_some_and(|page| page.this_boot);
    p.reign.view = match p.reign.view {
        View::Stranded if sealed => View::Stranded,
        _ if stands => View::Stands,
        _ => View::Unknown,
    };
    // What a leader has lost that nobody recovered yet, or whose disk is away, one that is dead may have
    // in sync.
    let unknown = match sight.of(leader) {
        Some(ReplicaSnapshot::Unreadable | ReplicaSnapshot::Failed) => true,
        Some(ReplicaSnapshot::Page(page)) => !page.this_boot,
        _ => false,
    };
    let mut leaving = if unknown {
        Vec::new()
    } else {
        cx.dead_followers(p)
    };
    if unknown && cx.brokers.is_alive(leader) {
        p.due.again = Some(cx.now + FAILED_LOOK);
    }
    for broker in p.meta.isr.iter().filter(|b| **b != leader) {
        if !unknown
            && !leaving.contains(broker)
            && (laggards.contains(broker) || sight.useless(p, *broker).is_some())
        {
            leaving.push(*broker);
        }
    }
    if !cx.brokers.is_alive(leader) {
        return broker_dead(cx, p, &sight, sealed, leaving);
    }
    if disk_full {
        return leader_disk_full(cx, p, &sight, sealed, leaving);
    }
    if sealed {
        return unseal(cx, p, &sight, leaving);
    }
    if moving {
        // Its broker may be about to end, or somebody asked for it.
        p.due.again = Some(cx.now + WATCHING);
        return cx.schedule(p);
    }
    if !leaving.is_empty() {
        return take_out(cx, p, &leaving);
    }
    if waits_in_vain(cx, p, &sight) {
        return cx.change(p, ChangeKind::Renew);
    }
    if let Some(reassignment) = finishable(&p.meta) {
        return cx.change(p, ChangeKind::Finish(reassignment));
    }
    if let Some((wish, when)) = cx.wish(p)
        && when <= cx.now
        && (wish != MoveReason::Balance || cx.may_balance())
    {
        if !full {
            return cx.look(p, Ask::ALL);
        }
        match wished(cx, p, &sight, wish) {
            Some(to) => return move_to(cx, p, to, WorkKind::Voluntary, Some(wish), Vec::new()),
            None => fail_wish(p, cx.now),
        }
    }
    cx.schedule(p);
}

/// Who fulfils a wish.
fn wished(
    cx: &Context<'_>,
    p: &Partition,
    sight: &Assessment<'_>,
    wish: MoveReason,
) -> Option<BrokerId> {
    let fit = |b: &BrokerId| {
        *b != p.meta.leader
            && p.meta.is_in_sync(*b)
            && cx.brokers.is_alive(*b)
            && sight.has_room(p, *b)
    };
    match wish {
        MoveReason::Reassign => {
            let target = p.meta.reassignment.iter().flat_map(|r| &r.target);
            let fit: Vec<_> = target.copied().filter(fit).collect();
            let undrained = fit.iter().find(|b| cx.brokers.may_lead(**b));
            undrained.or(fit.first()).copied()
        }
        MoveReason::Drain => p.in_order().filter(fit).find(|b| cx.brokers.may_lead(*b)),
        MoveReason::Balance => Some(p.meta.preferred_leader()).filter(fit),
    }
}

enum LockWatch {
    /// Nobody keeps the lock, or who has it gets on.
    Free,
    /// Somebody has it, and beats, or was not watched for long enough.
    Held,
    /// One holder kept it without a beat for too long: the page's number, and the beat.
    Stopped((Option<u64>, u64)),
}

fn watch(cx: &Context<'_>, p: &mut Partition, sight: &Assessment<'_>) -> LockWatch {
    let beat = match sight.looked.lock {
        Lock::Untried => return LockWatch::Free,
        Lock::Free => {
            p.reign.watch = None;
            return LockWatch::Free;
        }
        Lock::Held(beat) => beat,
    };
    let sequence = sight.of(p.meta.leader).and_then(ReplicaSnapshot::sequence);
    if p.reign
        .watch
        .is_some_and(|watch| watch.seen.seen().0 != sequence)
    {
        p.reign.watch = None;
        return LockWatch::Free;
    }
    let seen = (sequence, beat);
    let watch = p.reign.watch.get_or_insert_with(|| Watch {
        since: cx.now,
        seen: Stillness::begin(seen, cx.now),
    });
    if watch.seen.look(seen, cx.now) >= LOCK_STOPPED_AFTER {
        LockWatch::Stopped(seen)
    } else {
        LockWatch::Held
    }
}

/// Notes which followers keep up; those that did not for too long.
fn note_lag(cx: &Context<'_>, p: &mut Partition, sight: &Assessment<'_>) -> Vec<BrokerId> {
    let leader = p.meta.leader;
    if !sight.full {
        return Vec::new();
    }
    let followers: Vec<_> = p
        .meta
        .isr
        .iter()
        .copied()
        .filter(|b| *b != leader)
        .collect();
    let page = sight
        .page(p, leader)
        .filter(|page| page.this_boot && page.epoch == p.meta.leader_epoch);
    let Some(page) = page else {
        // Nobody can follow a leader that was not made ready.
        p.reign.lag.last = None;
        p.reign.lag.caught_up.clear();
        return Vec::new();
    };
    let interval = lag_interval(cx.rules);
    let last = p.reign.lag.last;
    if last.is_none_or(|(at, _)| cx.now.saturating_sub(at) >= interval / 2) {
        p.reign.lag.last = Some((cx.now, page.end));
    }
    if last.is_some_and(|(at, _)| cx.now.saturating_sub(at) > interval * 2) {
        // Whoever looked slept.
        p.reign.lag.caught_up.clear();
    }
    // Half an interval more, or a follower that is always a little behind could seem to be late.
    let late = cx.rules.lag_max.max(interval) + interval / 2;
    let before = std::mem::take(&mut p.reign.lag.caught_up);
    let mut laggards = Vec::new();
    for broker in followers {
        let known = before.iter().find(|(b, _)| *b == broker);
        let mut at = known.map_or(cx.now, |(_, at)| *at);
        if let Some(own) = sight.page(p, broker)
            && own.this_boot
            && own.epoch == p.meta.leader_epoch
        {
            if own.acked >= page.end {
                at = cx.now;
            } else if let Some((then, end)) = last
                && own.acked >= end
            {
                at = at.max(then);
            }
        }
        if cx.now.saturating_sub(at) > late {
            laggards.push(broker);
        }
        p.reign.lag.caught_up.push((broker, at));
    }
    laggards
}
