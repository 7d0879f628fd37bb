//! The failover policy: what follows from the snapshots of a partition's replicas.

use std::time::Duration;

use super::assessment::Assessment;
use super::causes::{
    broker_dead, directory_unusable, leader_disk_full, lock_kept, move_to, unseal, waits_in_vain,
};
use super::context::{Context, MoveReason, finishable, lag_interval, postpone, take_out};
use super::leader_decision::{LeaderAction, SoundLeader, decide};
use super::partition::{Ask, Coverage, LeaderView, Partition, WatchedLock, WorkKind};
use super::state::{ChangeKind, Lock, ProbeResult, ReplicaSnapshot};
use crate::store::Stillness;
use crate::timing::{LOCK_STOPPED_AFTER, SEAL_LEFT_AFTER};
use crate::types::BrokerId;

/// The interval between two probes of a held lock: short at first, since a working holder keeps it
/// for some microseconds, and the failover waits for the answer.
const WATCHING_FIRST: Duration = Duration::from_millis(1);
const WATCHING: Duration = Duration::from_millis(50);

/// The pause before a leader, or a candidate, whose probe failed is probed again.
const FAILED_POLL: Duration = Duration::from_secs(1);

/// Decides by a snapshot.
pub(crate) fn apply_policy(
    cx: &mut Context<'_>,
    p: &mut Partition,
    observed: &ProbeResult,
    coverage: Coverage,
) {
    let assessment = Assessment { observed, coverage };
    if assessment.is_full() {
        p.due.followers = None;
    }
    let laggards = note_lag(cx, p, &assessment);
    let leader = p.meta.leader;
    if let Some(why) = assessment.ineligible(p, leader) {
        return directory_unusable(cx, p, &assessment, why);
    }
    match watch(cx, p, &assessment) {
        LockWatch::Free => {}
        LockWatch::Stopped((sequence, heartbeat)) => {
            return lock_kept(cx, p, &assessment, sequence, heartbeat);
        }
        LockWatch::Held => {
            let since = p.reign.watch.map_or(cx.now, |watch| watch.since);
            let watched = cx.now.saturating_sub(since);
            p.due.again = Some(cx.now + watched.clamp(WATCHING_FIRST, WATCHING));
            return cx.schedule(p);
        }
    }
    if matches!(assessment.of(leader), Some(ReplicaSnapshot::Failed) | None) {
        p.due.again = Some(cx.now + FAILED_POLL);
    }
    let failed = |b: &BrokerId| matches!(assessment.of(*b), Some(ReplicaSnapshot::Failed));
    if !cx.brokers.is_alive(leader) && p.meta.isr.iter().any(failed) {
        // It may be the only replica that can lead.
        p.due.again_by(cx.now + FAILED_POLL);
    }
    let page = assessment
        .page(p, leader)
        .filter(|page| page.epoch == p.meta.leader_epoch);
    let mover = page.and_then(|page| page.moving);
    let left = match mover {
        Some(heartbeat) => {
            let begin = || Stillness::begin(heartbeat, cx.now);
            let seen = p.reign.others_move.get_or_insert_with(begin);
            seen.observe(heartbeat, cx.now) >= SEAL_LEFT_AFTER
        }
        None => {
            p.reign.others_move = None;
            false
        }
    };
    let sealed = left || page.is_some_and(|page| page.sealed);
    let stands = !sealed && page.is_some_and(|page| page.this_boot);
    p.reign.view = match p.reign.view {
        LeaderView::Leaderless if sealed => LeaderView::Leaderless,
        _ if stands => LeaderView::Stands,
        _ => LeaderView::Unknown,
    };
    // If the leader's records are lost and not recovered yet, or its disk is away, a dead in-sync
    // replica may have them.
    let unknown = match assessment.of(leader) {
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
        p.due.again = Some(cx.now + FAILED_POLL);
    }
    for broker in p.meta.isr.iter().filter(|b| **b != leader) {
        if !unknown
            && !leaving.contains(broker)
            && (laggards.contains(broker) || assessment.ineligible(p, *broker).is_some())
        {
            leaving.push(*broker);
        }
    }
    let found = SoundLeader {
        is_alive: cx.brokers.is_alive(leader),
        is_disk_full: page.is_some_and(|page| page.full),
        is_sealed: sealed,
        is_moving: mover.is_some(),
        loses_followers: !leaving.is_empty(),
    };
    match decide(found) {
        LeaderAction::ReplaceDead => return broker_dead(cx, p, &assessment, sealed, leaving),
        LeaderAction::ReplaceFull => return leader_disk_full(cx, p, &assessment, sealed, leaving),
        LeaderAction::Unseal => return unseal(cx, p, &assessment, leaving),
        LeaderAction::AwaitTransfer => {
            p.due.again = Some(cx.now + WATCHING);
            return cx.schedule(p);
        }
        LeaderAction::ShrinkIsr => return take_out(cx, p, &leaving),
        LeaderAction::LeadOn => {}
    }
    if waits_in_vain(cx, p, &assessment) {
        return cx.change(p, ChangeKind::Renew);
    }
    if let Some(reassignment) = finishable(&p.meta) {
        return cx.change(p, ChangeKind::Finish(reassignment));
    }
    if let Some((reason, when)) = cx.reason(p)
        && when <= cx.now
        && (reason != MoveReason::Balance || cx.may_balance())
    {
        if !assessment.is_full() {
            return cx.observe(p, Ask::ALL);
        }
        match wanted(cx, p, &assessment, reason) {
            Some(to) => return move_to(cx, p, to, WorkKind::Voluntary, Some(reason), Vec::new()),
            None => postpone(p, cx.now),
        }
    }
    cx.schedule(p);
}

/// The replica to transfer to for a reason.
fn wanted(
    cx: &Context<'_>,
    p: &Partition,
    assessment: &Assessment<'_>,
    reason: MoveReason,
) -> Option<BrokerId> {
    let fit = |b: &BrokerId| {
        *b != p.meta.leader
            && p.meta.is_in_sync(*b)
            && cx.brokers.is_alive(*b)
            && assessment.has_room(p, *b)
    };
    match reason {
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
    /// The lock is free, or its holder makes progress.
    Free,
    /// The lock is held, and its heartbeat moves or was not watched for long enough.
    Held,
    /// One holder kept it without a heartbeat for too long: the state page's sequence number, and
    /// the heartbeat.
    Stopped((Option<u64>, u64)),
}

fn watch(cx: &Context<'_>, p: &mut Partition, assessment: &Assessment<'_>) -> LockWatch {
    let heartbeat = match assessment.observed.lock {
        Lock::Untried => return LockWatch::Free,
        Lock::Free => {
            p.reign.watch = None;
            return LockWatch::Free;
        }
        Lock::Held(heartbeat) => heartbeat,
    };
    let sequence = assessment
        .of(p.meta.leader)
        .and_then(ReplicaSnapshot::sequence);
    if p.reign
        .watch
        .is_some_and(|watch| watch.seen.seen().0 != sequence)
    {
        p.reign.watch = None;
        return LockWatch::Free;
    }
    let seen = (sequence, heartbeat);
    let watch = p.reign.watch.get_or_insert_with(|| WatchedLock {
        since: cx.now,
        seen: Stillness::begin(seen, cx.now),
    });
    if watch.seen.observe(seen, cx.now) >= LOCK_STOPPED_AFTER {
        LockWatch::Stopped(seen)
    } else {
        LockWatch::Held
    }
}

/// Records which followers keep up; returns those that have not for too long.
fn note_lag(cx: &Context<'_>, p: &mut Partition, assessment: &Assessment<'_>) -> Vec<BrokerId> {
    let leader = p.meta.leader;
    if !assessment.is_full() {
        return Vec::new();
    }
    let followers: Vec<_> = p
        .meta
        .isr
        .iter()
        .copied()
        .filter(|b| *b != leader)
        .collect();
    let page = assessment
        .page(p, leader)
        .filter(|page| page.this_boot && page.epoch == p.meta.leader_epoch);
    let Some(page) = page else {
        // No follower can follow a leader that is not recovered.
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
        // The prober was suspended.
        p.reign.lag.caught_up.clear();
    }
    // Half an interval more: otherwise a follower that is always a little behind could seem late.
    let late = cx.rules.lag_max.max(interval) + interval / 2;
    let before = std::mem::take(&mut p.reign.lag.caught_up);
    let mut laggards = Vec::new();
    for broker in followers {
        let known = before.iter().find(|(b, _)| *b == broker);
        let mut at = known.map_or(cx.now, |(_, at)| *at);
        if let Some(own) = assessment.page(p, broker)
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
