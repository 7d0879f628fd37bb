//! What follows from each event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::judge::{JOINING_GIVEN, judge};
use super::news::News;
use super::partition::{Ask, Partition, View, Work, WorkKind};
use super::state::{
    Broker, Brokers, Change, ChangeKind, Effects, Ended, Event, Job, LookAt, Looked, Rules,
    Standing, State, Topic,
};
use crate::store::topics::{PartitionMeta, TopicMeta};
use crate::types::{BrokerId, PartitionId, TopicPartition};

/// How long a leader stays before it gives way to the preferred one.
const STABLE: Duration = Duration::from_secs(5);
/// Moves to preferred leaders at one time.
const BALANCING_MAX: usize = 64;
/// After a move that nothing forced failed; doubled each time.
const REST_FIRST: Duration = Duration::from_secs(10);
const REST_MAX: Duration = Duration::from_secs(600);
/// After a change failed; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(8);
/// Least time between two looks at followers.
const LAG_LOOK_MIN: Duration = Duration::from_secs(1);

/// Decides.
pub fn step(mut state: State, event: Event, now: Duration) -> (State, Effects) {
    let mut out = Effects::default();
    match event {
        Event::Brokers(brokers) => brokers_seen(&mut state, &brokers, now, &mut out),
        Event::Topic(meta, rules) => topic_seen(&mut state, meta, rules, now, &mut out),
        Event::TopicGone(name) => {
            state.topics.remove(&name);
        }
        Event::Looked(looked) => looked_at(&mut state, &looked, now, &mut out),
        Event::Reported(tps) => {
            for tp in &tps {
                with_partition(&mut state, tp, now, &mut out, |cx, p| {
                    p.ask(Ask::REPORTED);
                    decide(cx, p);
                });
            }
        }
        Event::Ended(ended) => all_ended(&mut state, &ended, now, &mut out),
        Event::Tick => each_partition(&mut state, now, &mut out, |cx, p| {
            if p.work().is_none() {
                tick(cx, p);
            }
        }),
    }
    (state, out)
}

/// What a decision on one partition sees, beside the partition.
pub(super) struct Context<'a> {
    pub(super) brokers: &'a Brokers,
    pub(super) topic: &'a TopicPartition,
    pub(super) topic_id: crate::types::Uuid,
    /// Of the topic file.
    pub(super) version: u64,
    pub(super) rules: Rules,
    pub(super) now: Duration,
    jobs: &'a mut u64,
    balancing: &'a mut BTreeSet<Job>,
    pub(super) out: &'a mut Effects,
}

/// Something that nothing forces, but that had better be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// The reassignment leaves the leader out.
    Reassign,
    /// The leader is drained.
    Drain,
    /// The preferred leader can lead.
    Balance,
}

impl Context<'_> {
    /// Begins something.
    pub(super) fn begin(&mut self, p: &mut Partition, kind: WorkKind) -> Job {
        *self.jobs += 1;
        let job = Job(*self.jobs);
        p.begin(job, kind, self.now);
        job
    }

    pub(super) fn look(&mut self, p: &mut Partition, ask: Ask) {
        let leader = p.meta.leader;
        let ask = ask.with(p.asked.unwrap_or_default());
        let job = self.begin(p, WorkKind::Look { all: ask.all });
        // Who could be elected uncleanly is looked at too.
        let matters = |broker: &BrokerId| {
            *broker != leader && (p.meta.is_in_sync(*broker) || self.rules.unclean)
        };
        let others: Vec<_> = p.in_order().filter(matters).collect();
        let mut brokers = vec![leader];
        if ask.all {
            brokers.extend(others);
        }
        let probe = ask.probe || p.reign.watch.is_some() || !self.brokers.is_alive(leader);
        self.out.looks.push(LookAt {
            job,
            tp: self.topic.clone(),
            leader,
            brokers,
            probe,
        });
    }

    pub(super) fn change(&mut self, p: &mut Partition, kind: ChangeKind) {
        let work = match kind {
            ChangeKind::Elect(_) => WorkKind::Elect,
            ChangeKind::TakeOut(_) | ChangeKind::Renew | ChangeKind::Finish(_) => WorkKind::Change,
        };
        let job = self.begin(p, work);
        self.out.changes.push(Change {
            job,
            tp: self.topic.clone(),
            topic_id: self.topic_id,
            leader: p.meta.leader,
            epoch: p.meta.leader_epoch,
            kind,
        });
    }

    /// Whether one more leader may be moved back.
    pub(super) fn may_balance(&self) -> bool {
        self.balancing.len() < BALANCING_MAX
    }

    /// A job that counts as one that moves a leader back.
    pub(super) fn balances(&mut self, job: Option<Job>) {
        self.balancing.extend(job);
    }

    /// In-sync followers that are not alive.
    pub(super) fn dead_followers(&self, p: &Partition) -> Vec<BrokerId> {
        let dead = |b: &BrokerId| *b != p.meta.leader && !self.brokers.is_alive(*b);
        p.meta.isr.iter().copied().filter(dead).collect()
    }

    /// What had better be, and from when on.
    pub(super) fn wish(&self, p: &Partition) -> Option<(Wish, Duration)> {
        let meta = &p.meta;
        let leader = meta.leader;
        // Other things come first.
        if !self.brokers.is_alive(leader) || p.reign.is_in_doubt() {
            return None;
        }
        let others = || meta.isr.iter().filter(|b| **b != leader);
        if let Some(to) = &meta.reassignment {
            let complete = to.target.iter().all(|b| meta.is_in_sync(*b));
            let leads_on = to.target.contains(&leader);
            let can = to.target.iter().any(|b| self.brokers.is_alive(*b));
            if complete && !leads_on && can {
                return Some((Wish::Reassign, p.rest.until));
            }
        }
        if self.brokers.is_drained(leader) {
            let can = others().any(|b| self.brokers.may_lead(*b));
            return can.then_some((Wish::Drain, p.rest.until));
        }
        let preferred = meta.preferred_leader();
        let can = meta.reassignment.is_none()
            && preferred != leader
            && meta.is_in_sync(preferred)
            && self.brokers.may_lead(preferred);
        can.then(|| {
            let since = p.since.max(self.brokers.since(preferred));
            (Wish::Balance, p.rest.until.max(since + STABLE))
        })
    }

    /// Notes when to look again though nothing happens.
    pub(super) fn schedule(&self, p: &mut Partition) {
        if p.due.followers.is_none() {
            p.due.followers = Some(next_lag_look(self.rules, self.now));
        }
        p.due.wish = match self.wish(p) {
            Some((Wish::Balance, _)) if !self.may_balance() => None,
            Some((_, when)) => Some(when),
            None => None,
        };
    }
}

/// Between two looks at followers.
pub(super) fn lag_interval(rules: Rules) -> Duration {
    (rules.lag_max / 2).max(LAG_LOOK_MIN)
}

/// At whole multiples of the interval, so that one wake-up serves all partitions.
fn next_lag_look(rules: Rules, now: Duration) -> Duration {
    let interval = lag_interval(rules).as_millis().max(1);
    let next = (now.as_millis() / interval + 1) * interval;
    Duration::from_millis(u64::try_from(next).unwrap_or(u64::MAX))
}

/// Begins what is called for by what is known of a partition, unless something is under way.
fn decide(cx: &mut Context<'_>, p: &mut Partition) {
    if p.work().is_none() {
        begin_next(cx, p);
    }
}

/// Begins what is called for, where nothing is under way, or what was ended just now.
fn begin_next(cx: &mut Context<'_>, p: &mut Partition) {
    if !p.is_replicated() {
        return p.retire();
    }
    if !cx.brokers.is_alive(p.meta.leader) {
        return cx.look(p, Ask::ALL);
    }
    // Where the leader's directory cannot be used, whoever is in sync may be needed.
    if p.reign.view != View::Stranded {
        // A leader that was reported may be of no use.
        let dead = cx.dead_followers(p);
        if !dead.is_empty() {
            // One of them may have what the leader lost.
            if p.reign.view == View::Stands && !p.is_reported() {
                take_out(cx, p, &dead);
            } else {
                cx.look(p, Ask::ALL);
            }
            return;
        }
        if let Some(reassignment) = finishable(&p.meta).filter(|_| !p.is_reported()) {
            return cx.change(p, ChangeKind::Finish(reassignment));
        }
    }
    if let Some(asked) = p.asked {
        return cx.look(p, asked);
    }
    if let Some((wish, when)) = cx.wish(p)
        && when <= cx.now
    {
        if wish != Wish::Balance {
            return cx.look(p, Ask::ALL);
        }
        if cx.may_balance() {
            cx.look(p, Ask::ALL);
            return cx.balances(p.work().map(|work| work.job));
        }
    }
    cx.schedule(p);
}

pub(super) fn take_out(cx: &mut Context<'_>, p: &mut Partition, who: &[BrokerId]) {
    let uuid = |b: &BrokerId| Some((*b, p.meta.uuid_of(*b)?));
    let out = who.iter().filter_map(uuid).collect();
    cx.change(p, ChangeKind::TakeOut(out));
}

/// The reassignment, if nothing is left to do but to write that down.
pub(super) fn finishable(meta: &PartitionMeta) -> Option<crate::store::topics::Reassignment> {
    let to = meta.reassignment.as_ref()?;
    let complete = to.target.iter().all(|b| meta.is_in_sync(*b));
    (complete && to.target.contains(&meta.leader)).then(|| to.clone())
}

fn tick(cx: &mut Context<'_>, p: &mut Partition) {
    let pause = p.pauses_until();
    if pause.is_some_and(|until| until > cx.now) {
        return;
    }
    let came = |due: &mut Option<Duration>| due.take_if(|due| *due <= cx.now).is_some();
    let again = came(&mut p.due.again) || pause.is_some();
    let (lag, wish) = (came(&mut p.due.followers), came(&mut p.due.wish));
    if again {
        p.ask(Ask::LEADER);
    }
    if lag {
        p.ask(Ask::ALL);
    }
    if again || lag || wish {
        decide(cx, p);
    }
}

fn brokers_seen(
    state: &mut State,
    seen: &BTreeMap<BrokerId, Standing>,
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
    for (broker, standing) in seen {
        if known.get(broker).is_none_or(|b| b.standing != *standing) {
            let (standing, since) = (*standing, now);
            known.insert(*broker, Broker { standing, since });
            changed.push(*broker);
        }
    }
    if changed.is_empty() {
        return;
    }
    each_partition(state, now, out, |cx, p| {
        if p.meta.replicas.iter().any(|r| changed.contains(&r.broker)) {
            p.try_anew();
            // A daemon that was away is given the whole time again.
            let caught_up = &mut p.reign.lag.caught_up;
            caught_up.retain(|(b, _)| !changed.contains(b));
            // Whoever died may have been about to join.
            let outside = |b: &BrokerId| p.meta.uuid_of(*b).is_some() && !p.meta.is_in_sync(*b);
            let mut outside = changed.iter().filter(|b| outside(b));
            if outside.any(|b| !cx.brokers.is_alive(*b)) {
                p.ask(Ask::LEADER);
            }
            decide(cx, p);
        }
    });
}

fn topic_seen(state: &mut State, meta: TopicMeta, rules: Rules, now: Duration, out: &mut Effects) {
    let name = meta.name.clone();
    let (topic_id, count) = (meta.topic_id, meta.partitions.len());
    let topic = state.topics.entry(name.clone()).or_insert_with(|| Topic {
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
    let mut news = News::default();
    for (at, next) in meta.partitions.into_iter().enumerate() {
        match topic.partitions.get_mut(at) {
            None => {
                news.first(&topic.name, &next);
                topic.partitions.push(Partition::new(next, now));
            }
            Some(p) if p.meta != next => {
                news.changed(&topic.name, p, &next);
                // Its beat is late, it works on, and it is taken out again: it may end in the middle
                // of its next entry.
                let joined = |b: &&BrokerId| !p.meta.is_in_sync(**b);
                let late = next
                    .isr
                    .iter()
                    .filter(joined)
                    .any(|b| !state.brokers.is_alive(*b));
                p.update(next, now);
                if late {
                    p.due.again_by(now + JOINING_GIVEN);
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
    out.told.extend(news.told());
    let name = topic.name.clone();
    each_of_topic(state, &name, now, out, |cx, p| {
        if changed.contains(&p.meta.partition) {
            decide(cx, p);
        }
    });
}

fn looked_at(state: &mut State, looked: &[Looked], now: Duration, out: &mut Effects) {
    let mut freed = false;
    for looked in looked {
        freed |= state.balancing.remove(&looked.job);
        with_partition(state, &looked.tp, now, out, |cx, p| {
            if let Some(work) = p.work_of(looked.job)
                && let WorkKind::Look { all } = work.kind
            {
                // What was seen of one leader says nothing of the next.
                if work.epoch == p.meta.leader_epoch {
                    judge(cx, p, looked, all);
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

fn all_ended(state: &mut State, ended: &[Ended], now: Duration, out: &mut Effects) {
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

fn after(cx: &mut Context<'_>, p: &mut Partition, work: Work, done: bool) {
    let moved_on = work.epoch != p.meta.leader_epoch;
    match work.kind {
        _ if done => p.succeed(),
        // A move that failed may have left the page sealed.
        WorkKind::Failover(to) => {
            // The undoing of its seal is a new epoch of the same leader.
            if work.leader == p.meta.leader {
                p.reign.failover.fail(to);
            }
            p.ask(Ask::ALL);
        }
        WorkKind::Voluntary => {
            fail_wish(p, cx.now);
            p.ask(Ask::ALL);
        }
        // A look has no end but what was seen.
        WorkKind::Look { .. } => {}
        // It came too late: something else was changed.
        WorkKind::Elect | WorkKind::Change if moved_on => {}
        WorkKind::Elect | WorkKind::Change => {
            let pause = RETRY_FIRST * 2u32.pow(work.failures.min(6));
            p.pause(cx.now + pause.min(RETRY_MAX));
            if !p.is_reported() {
                return;
            }
            // Somebody reported the leader meanwhile.
        }
    }
    begin_next(cx, p);
}

pub(super) fn fail_wish(p: &mut Partition, now: Duration) {
    p.rest.length = (p.rest.length * 2).clamp(REST_FIRST, REST_MAX);
    p.rest.until = now + p.rest.length;
}

/// Goes on moving leaders back where that waited for others.
fn balance_more(state: &mut State, now: Duration, out: &mut Effects) {
    each_partition(state, now, out, |cx, p| {
        let waits = p.is_steady() && p.due.again.is_none() && p.due.wish.is_none();
        if waits && cx.may_balance() && matches!(cx.wish(p), Some((Wish::Balance, _))) {
            decide(cx, p);
        }
    });
}

fn with_partition(
    state: &mut State,
    tp: &TopicPartition,
    now: Duration,
    out: &mut Effects,
    then: impl FnOnce(&mut Context<'_>, &mut Partition),
) {
    let State {
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
    state: &mut State,
    now: Duration,
    out: &mut Effects,
    mut each: impl FnMut(&mut Context<'_>, &mut Partition),
) {
    let State {
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
    state: &mut State,
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
