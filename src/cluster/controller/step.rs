//! What follows from each event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::change_events::ChangeEvents;
use super::context::{Context, MoveReason, finishable, postpone, take_out};
use super::failover_policy::apply_policy;
use super::partition::{Ask, LeaderView, Partition, PartitionWork, WorkKind};
use super::state::{
    Broker, BrokerLiveness, ChangeKind, ControlledTopic, ControllerEvent, ControllerState, Effects,
    Ended, ProbeResult, Rules,
};
use crate::store::TopicMeta;
use crate::timing::JOIN_WITHIN;
use crate::types::{BrokerId, PartitionId, TopicPartition};

/// The first pause after a failed change; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(8);

/// Decides.
pub fn step(
    mut state: ControllerState,
    event: ControllerEvent,
    now: Duration,
) -> (ControllerState, Effects) {
    let mut out = Effects::default();
    match event {
        ControllerEvent::Brokers(brokers) => brokers_seen(&mut state, &brokers, now, &mut out),
        ControllerEvent::Topic(meta, rules) => topic_seen(&mut state, meta, rules, now, &mut out),
        ControllerEvent::TopicGone(name) => {
            state.topics.remove(&name);
        }
        ControllerEvent::Observed(observed) => examined(&mut state, &observed, now, &mut out),
        ControllerEvent::Reported(tps) => {
            for tp in &tps {
                with_partition(&mut state, tp, now, &mut out, |cx, p| {
                    p.ask(Ask::REPORTED);
                    decide(cx, p);
                });
            }
        }
        ControllerEvent::Ended(ended) => all_ended(&mut state, &ended, now, &mut out),
        ControllerEvent::Tick => each_partition(&mut state, now, &mut out, |cx, p| {
            if p.work().is_none() {
                tick(cx, p);
            }
        }),
    }
    (state, out)
}

/// Begins the work that the known state of a partition calls for, unless some is under way.
fn decide(cx: &mut Context<'_>, p: &mut Partition) {
    if p.work().is_none() {
        begin_next(cx, p);
    }
}

/// Begins the work that is called for, when none is under way or it has just ended.
fn begin_next(cx: &mut Context<'_>, p: &mut Partition) {
    if !p.is_replicated() {
        return p.retire();
    }
    if !cx.brokers.is_alive(p.meta.leader) {
        return cx.observe(p, Ask::ALL);
    }
    // If the leader's directory cannot be used, each in-sync replica may be needed.
    if p.reign.view != LeaderView::Leaderless {
        // A leader that was reported may be ineligible.
        let dead = cx.dead_followers(p);
        if !dead.is_empty() {
            // One of them may have the records that the leader lost.
            if p.reign.view == LeaderView::Stands && !p.is_reported() {
                take_out(cx, p, &dead);
            } else {
                cx.observe(p, Ask::ALL);
            }
            return;
        }
        if let Some(reassignment) = finishable(&p.meta).filter(|_| !p.is_reported()) {
            return cx.change(p, ChangeKind::Finish(reassignment));
        }
    }
    if let Some(asked) = p.asked {
        return cx.observe(p, asked);
    }
    if let Some((reason, when)) = cx.reason(p)
        && when <= cx.now
    {
        if reason != MoveReason::Balance {
            return cx.observe(p, Ask::ALL);
        }
        if cx.may_balance() {
            cx.observe(p, Ask::ALL);
            return cx.balances(p.work().map(|work| work.job));
        }
    }
    cx.schedule(p);
}

fn tick(cx: &mut Context<'_>, p: &mut Partition) {
    let pause = p.pauses_until();
    if pause.is_some_and(|until| until > cx.now) {
        return;
    }
    let came = |due: &mut Option<Duration>| due.take_if(|due| *due <= cx.now).is_some();
    let again = came(&mut p.due.again) || pause.is_some();
    let (lag, reason) = (came(&mut p.due.followers), came(&mut p.due.reason));
    if again {
        p.ask(Ask::LEADER);
    }
    if lag {
        p.ask(Ask::ALL);
    }
    if again || lag || reason {
        decide(cx, p);
    }
}

fn brokers_seen(
    state: &mut ControllerState,
    seen: &BTreeMap<BrokerId, BrokerLiveness>,
    now: Duration,
    out: &mut Effects,
) {
    let known = &mut state.brokers.0;
    let mut changed: Vec<BrokerId> = known
        .keys()
        .copied()
        .filter(|b| !seen.contains_key(b))
        .collect();
    known.retain(|broker, _| seen.contains_key(broker));
    for (broker, liveness) in seen {
        if known.get(broker).is_none_or(|b| b.liveness != *liveness) {
            let (liveness, since) = (*liveness, now);
            known.insert(*broker, Broker { liveness, since });
            changed.push(*broker);
        }
    }
    if changed.is_empty() {
        return;
    }
    each_partition(state, now, out, |cx, p| {
        if p.meta.replicas.iter().any(|r| changed.contains(&r.broker)) {
            p.retry();
            // A daemon that was away gets the full time again.
            let caught_up = &mut p.reign.lag.caught_up;
            caught_up.retain(|(b, _)| !changed.contains(b));
            // A broker that died may have been about to join.
            let outside = |b: &BrokerId| p.meta.uuid_of(*b).is_some() && !p.meta.is_in_sync(*b);
            let mut outside = changed.iter().filter(|b| outside(b));
            if outside.any(|b| !cx.brokers.is_alive(*b)) {
                p.ask(Ask::LEADER);
            }
            decide(cx, p);
        }
    });
}

fn topic_seen(
    state: &mut ControllerState,
    meta: TopicMeta,
    rules: Rules,
    now: Duration,
    out: &mut Effects,
) {
    let name = meta.name.clone();
    let (topic_id, count) = (meta.topic_id, meta.partitions.len());
    let topic = state
        .topics
        .entry(name.clone())
        .or_insert_with(|| ControlledTopic {
            name,
            topic_id,
            version: meta.version,
            rules,
            partitions: Vec::new(),
        });
    if topic.topic_id != topic_id {
        topic.topic_id = topic_id;
        topic.partitions.clear();
    }
    topic.partitions.truncate(count);
    let other_rules = topic.rules != rules;
    topic.rules = rules;
    topic.version = meta.version;
    let mut changed = BTreeSet::new();
    let mut changes = ChangeEvents::default();
    for (at, next) in meta.partitions.into_iter().enumerate() {
        match topic.partitions.get_mut(at) {
            None => {
                changes.first(&topic.name, &next);
                topic.partitions.push(Partition::new(next, now));
            }
            Some(p) if p.meta != next => {
                changes.changed(&topic.name, p, &next);
                // Its heartbeat is late while it still works, and it is removed from the ISR again:
                // it may end in the middle of its next entry.
                let joined = |b: &&BrokerId| !p.meta.is_in_sync(**b);
                let late = next
                    .isr
                    .iter()
                    .filter(joined)
                    .any(|b| !state.brokers.is_alive(*b));
                p.update(next, now);
                if late {
                    p.due.again_by(now + JOIN_WITHIN);
                }
            }
            Some(p) if other_rules => {
                p.ask(Ask::ALL);
                p.due.followers = None;
            }
            Some(_) => continue,
        }
        changed.insert(at as PartitionId);
    }
    out.notified.extend(changes.notified());
    let name = topic.name.clone();
    each_of_topic(state, &name, now, out, |cx, p| {
        if changed.contains(&p.meta.partition) {
            decide(cx, p);
        }
    });
}

fn examined(
    state: &mut ControllerState,
    observed: &[ProbeResult],
    now: Duration,
    out: &mut Effects,
) {
    let mut freed = false;
    for observed in observed {
        freed |= state.balancing.remove(&observed.job);
        with_partition(state, &observed.tp, now, out, |cx, p| {
            if let Some(work) = p.work_of(observed.job)
                && let WorkKind::Observation { coverage } = work.kind
            {
                // Observations of one leader say nothing of the next.
                if work.epoch == p.meta.leader_epoch {
                    apply_policy(cx, p, observed, coverage);
                } else {
                    begin_next(cx, p);
                }
                p.settle(work.job);
            }
        });
    }
    if freed {
        balance_more(state, now, out);
    }
}

fn all_ended(state: &mut ControllerState, ended: &[Ended], now: Duration, out: &mut Effects) {
    let mut freed = false;
    for ended in ended {
        freed |= state.balancing.remove(&ended.job);
        with_partition(state, &ended.tp, now, out, |cx, p| {
            if let Some(work) = p.work_of(ended.job) {
                after(cx, p, work, ended.done);
                p.settle(work.job);
            }
        });
    }
    if freed {
        balance_more(state, now, out);
    }
}

fn after(cx: &mut Context<'_>, p: &mut Partition, work: PartitionWork, done: bool) {
    let moved_on = work.epoch != p.meta.leader_epoch;
    match work.kind {
        _ if done => p.succeed(),
        // A failed transfer may have left the state page sealed.
        WorkKind::Failover(to) => {
            // Undoing its seal takes a new epoch of the same leader.
            if work.leader == p.meta.leader {
                p.reign.failover.fail(to);
            }
            p.ask(Ask::ALL);
        }
        WorkKind::Voluntary => {
            postpone(p, cx.now);
            p.ask(Ask::ALL);
        }
        // A probe ends with its snapshots only.
        WorkKind::Observation { .. } => {}
        // It came too late: something else was changed.
        WorkKind::Elect | WorkKind::Change if moved_on => {}
        WorkKind::Elect | WorkKind::Change => {
            let pause = RETRY_FIRST * 2u32.pow(work.failures.min(6));
            p.pause(cx.now + pause.min(RETRY_MAX));
            if !p.is_reported() {
                return;
            }
            // A failure report came meanwhile.
        }
    }
    begin_next(cx, p);
}

/// Continues transferring leaderships back that waited for others.
fn balance_more(state: &mut ControllerState, now: Duration, out: &mut Effects) {
    each_partition(state, now, out, |cx, p| {
        let waits = p.is_steady() && p.due.again.is_none() && p.due.reason.is_none();
        if waits && cx.may_balance() && matches!(cx.reason(p), Some((MoveReason::Balance, _))) {
            decide(cx, p);
        }
    });
}

fn with_partition(
    state: &mut ControllerState,
    tp: &TopicPartition,
    now: Duration,
    out: &mut Effects,
    then: impl FnOnce(&mut Context<'_>, &mut Partition),
) {
    let ControllerState {
        brokers,
        topics,
        jobs,
        balancing,
    } = state;
    let Some(topic) = topics.get_mut(&tp.topic) else {
        return;
    };
    let at = usize::try_from(tp.partition).unwrap_or(usize::MAX);
    if let Some(p) = topic.partitions.get_mut(at) {
        let mut cx = Context {
            brokers,
            topic: tp,
            topic_id: topic.topic_id,
            version: topic.version,
            rules: topic.rules,
            now,
            jobs,
            balancing,
            out,
        };
        then(&mut cx, p);
    }
}

fn each_partition(
    state: &mut ControllerState,
    now: Duration,
    out: &mut Effects,
    mut each: impl FnMut(&mut Context<'_>, &mut Partition),
) {
    let ControllerState {
        brokers,
        topics,
        jobs,
        balancing,
    } = state;
    for topic in topics.values_mut() {
        let mut tp = TopicPartition::new(topic.name.clone(), 0);
        for p in &mut topic.partitions {
            tp.partition = p.meta.partition;
            let mut cx = Context {
                brokers,
                topic: &tp,
                topic_id: topic.topic_id,
                version: topic.version,
                rules: topic.rules,
                now,
                jobs,
                balancing,
                out,
            };
            each(&mut cx, p);
        }
    }
}

fn each_of_topic(
    state: &mut ControllerState,
    name: &crate::types::TopicName,
    now: Duration,
    out: &mut Effects,
    mut each: impl FnMut(&mut Context<'_>, &mut Partition),
) {
    let count = state.topics.get(name).map_or(0, |t| t.partitions.len());
    let mut tp = TopicPartition::new(name.clone(), 0);
    for at in 0..count {
        tp.partition = at as PartitionId;
        with_partition(state, &tp, now, out, &mut each);
    }
}
