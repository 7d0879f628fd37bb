//! What follows from how a partition's replicas look.

use std::cmp::Reverse;
use std::time::Duration;

use super::state::{
    Ask, ChangeKind, Election, Lock, Look, Looked, PageLook, Partition, PlannedMove, Watch,
    WorkKind,
};
use super::step::{Context, Wish, fail_wish, lag_interval, take_out};
use crate::cluster::moves::Move;
use crate::store::STUCK;
use crate::types::{BrokerId, LeaderEpoch, Offset};

const STUCK_LOCK: &str = "its append lock was kept for 2 s";
/// Between two looks at a lock that is held: soon again at first, since who is at work has it for
/// some microseconds, and the failover waits for this.
const WATCHING_FIRST: Duration = Duration::from_millis(1);
const WATCHING: Duration = Duration::from_millis(50);
/// A watcher with a longer gap between two looks slept himself, and starts anew.
const BREAK_IN_WATCHING: Duration = Duration::from_millis(500);
/// Before a leader that could not be looked at is tried again.
const FAILED_LOOK: Duration = Duration::from_secs(1);

/// A look, and the partition it is of.
struct Sight<'a> {
    looked: &'a Looked,
    /// Whether all were looked at that may have to lead.
    full: bool,
}

impl Sight<'_> {
    fn of(&self, broker: BrokerId) -> Option<&Look> {
        let mut replicas = self.looked.replicas.iter();
        replicas.find(|(b, _)| *b == broker).map(|(_, look)| look)
    }

    /// The page of the replica directory that the topic file names.
    fn page(&self, p: &Partition, broker: BrokerId) -> Option<&PageLook> {
        match self.of(broker) {
            Some(Look::Page(page)) if p.meta.uuid_of(broker) == Some(page.uuid) => Some(page),
            _ => None,
        }
    }

    /// How much of the log it has: the epoch of its last batch, and its end.
    fn extent(&self, p: &Partition, broker: BrokerId) -> Option<(LeaderEpoch, Offset)> {
        let page = self.page(p, broker)?;
        Some((page.last_epoch, page.end))
    }

    /// Whether its disk has room for what a leader is sent.
    fn has_room(&self, p: &Partition, broker: BrokerId) -> bool {
        self.page(p, broker).is_some_and(|page| !page.full)
    }

    /// Why a directory is of no use, if that is certain.
    fn useless(&self, p: &Partition, broker: BrokerId) -> Option<&'static str> {
        match self.of(broker)? {
            Look::Gone => Some("its directory is gone"),
            Look::Offline => Some("its directory is offline"),
            Look::Page(page) if p.meta.uuid_of(broker) != Some(page.uuid) => {
                Some("another directory stands in its place")
            }
            Look::Page(_) | Look::Unreadable | Look::Failed => None,
        }
    }
}

/// Whom an election may take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Among {
    InSync,
    All,
}

/// Decides by what was seen.
pub(super) fn judge(cx: &mut Context<'_>, p: &mut Partition, looked: &Looked, full: bool) {
    let sight = Sight { looked, full };
    if full {
        p.lag_due = None;
    }
    let laggards = note_lag(cx, p, &sight);
    let leader = p.meta.leader;
    if let Some(why) = sight.useless(p, leader) {
        return replace_leader(cx, p, &sight, why, cx.rules.unclean);
    }
    match watch(cx, p, &sight) {
        Watched::Free => {}
        // Nothing is lost, and the next one's lock may be kept as well: never an unclean election.
        Watched::Stuck => return replace_leader(cx, p, &sight, STUCK_LOCK, false),
        Watched::Held => {
            let since = p.watch.map_or(cx.now, |watch| watch.since);
            let watched = cx.now.saturating_sub(since);
            p.again = Some(cx.now + watched.clamp(WATCHING_FIRST, WATCHING));
            return cx.schedule(p);
        }
    }
    if matches!(sight.of(leader), Some(Look::Failed) | None) {
        p.again = Some(cx.now + FAILED_LOOK);
    }
    let page = sight
        .page(p, leader)
        .filter(|page| page.epoch == p.meta.leader_epoch);
    let disk_full = page.is_some_and(|page| page.full);
    let moving = page.is_some_and(|page| page.moving);
    let since = *p.moving_since.get_or_insert(cx.now);
    p.moving_since = moving.then_some(since);
    let late = moving && cx.now.saturating_sub(since) >= STUCK;
    let sealed = late || page.is_some_and(|page| page.sealed);
    p.stranded &= sealed;
    p.leader_stands = !sealed && page.is_some_and(|page| page.this_boot);
    // What a leader that nobody recovered yet has lost, one that is dead may have in sync.
    let unknown = match sight.of(leader) {
        Some(Look::Unreadable) => true,
        Some(Look::Page(page)) => !page.this_boot,
        _ => false,
    };
    let mut leaving = if unknown {
        Vec::new()
    } else {
        cx.dead_followers(p)
    };
    if unknown && cx.brokers.is_alive(leader) {
        p.again = Some(cx.now + FAILED_LOOK);
    }
    for broker in p.meta.isr.iter().filter(|b| **b != leader) {
        if !unknown
            && !leaving.contains(broker)
            && (laggards.contains(broker) || sight.useless(p, *broker).is_some())
        {
            leaving.push(*broker);
        }
    }
    if !cx.brokers.is_alive(leader) || disk_full {
        return fail_over(cx, p, &sight, sealed, leaving);
    }
    if sealed {
        return unseal(cx, p, &sight, leaving);
    }
    if moving {
        // Its broker may be about to end, or somebody asked for it.
        p.again = Some(cx.now + WATCHING);
        return cx.schedule(p);
    }
    if !leaving.is_empty() {
        return take_out(cx, p, &leaving);
    }
    if waits_in_vain(cx, p, &sight) {
        return cx.change(p, ChangeKind::Renew);
    }
    if let Some((wish, when)) = cx.wish(p)
        && when <= cx.now
        && (wish != Wish::Balance || cx.may_balance())
    {
        if !full {
            return cx.look(p, Ask::All);
        }
        match wished(cx, p, &sight, wish) {
            Some(to) => return move_to(cx, p, to, WorkKind::Voluntary, Some(wish), Vec::new()),
            None => fail_wish(p, cx.now),
        }
    }
    cx.schedule(p);
}

/// The leader's directory is of no use: the fence.
fn replace_leader(
    cx: &mut Context<'_>,
    p: &mut Partition,
    sight: &Sight<'_>,
    why: &'static str,
    unclean: bool,
) {
    if !sight.full {
        return cx.look(p, Ask::All);
    }
    let leader = p.meta.leader;
    let drop = [vec![leader], cx.dead_followers(p)].concat();
    if let Some(to) = best(cx, p, sight, Among::InSync) {
        return elect(cx, p, to, drop, false, why);
    }
    if unclean && let Some(to) = best(cx, p, sight, Among::All) {
        return elect(cx, p, to, drop, true, why);
    }
    if !p.stranded {
        p.stranded = true;
        let others = p.meta.isr.iter().filter(|b| **b != leader);
        let others: Vec<_> = others.map(BrokerId::to_string).collect();
        let cure = match others.as_slice() {
            [] if why == STUCK_LOCK => "continue or kill the process that has it".to_owned(),
            [] => "'mq-topics verify' looks at it".to_owned(),
            others => format!("start broker {}", others.join(" or ")),
        };
        cx.out.told.push(format!(
            "{} cannot be used on its leader, broker {leader} ({why}), and no other in-sync \
             replica is live: {cure}",
            cx.topic
        ));
    }
    p.watch = None;
    cx.schedule(p);
}

/// The leader's broker is not alive, or its disk is full, but its directory is fine.
fn fail_over(
    cx: &mut Context<'_>,
    p: &mut Partition,
    sight: &Sight<'_>,
    sealed: bool,
    leaving: Vec<BrokerId>,
) {
    let leader = p.meta.leader;
    if !sight.full {
        return cx.look(p, Ask::All);
    }
    if sealed && waits_for_dead(cx, p, sight) {
        return cx.schedule(p);
    }
    let fit = |b: &BrokerId| {
        *b != leader
            && p.meta.is_in_sync(*b)
            && !p.tried.contains(b)
            && !leaving.contains(b)
            && cx.brokers.is_alive(*b)
            && sight.page(p, *b).is_some()
            // From a full disk to another nothing is won.
            && (sight.has_room(p, *b) || !cx.brokers.is_alive(leader))
    };
    let mut candidates: Vec<_> = p.in_order().filter(fit).collect();
    candidates.sort_by_key(|b| !sight.has_room(p, *b));
    let undrained = candidates.iter().find(|b| cx.brokers.may_lead(**b));
    let drop = || {
        let mut drop = leaving.clone();
        drop.push(leader);
        drop
    };
    if let Some(to) = undrained.or(candidates.first()).copied() {
        return move_to(cx, p, to, WorkKind::Failover(to), None, drop());
    }
    if !p.tried.is_empty()
        && let Some(to) = best(cx, p, sight, Among::InSync)
    {
        return elect(cx, p, to, drop(), false, "no planned move reached its end");
    }
    if sealed {
        return unseal(cx, p, sight, leaving);
    }
    if !leaving.is_empty() {
        return take_out(cx, p, &leaving);
    }
    if waits_in_vain(cx, p, sight) {
        return cx.change(p, ChangeKind::Renew);
    }
    // The directory keeps serving.
    cx.schedule(p);
}

/// Whether the high watermark waits for a replica that was about to join the in-sync set and does
/// not: its broker died over it, or it takes its time.
fn waits_in_vain(cx: &Context<'_>, p: &mut Partition, sight: &Sight<'_>) -> bool {
    let page = sight.page(p, p.meta.leader);
    let entries = page.iter().flat_map(|page| page.joining.iter());
    let uuids: Vec<_> = entries
        .filter(|entry| entry.version >= cx.version)
        .map(|entry| entry.replica)
        .collect();
    let replicas = p.meta.replicas.iter();
    let joining: Vec<_> = replicas
        .filter(|r| uuids.contains(&r.uuid) && !p.meta.is_in_sync(r.broker))
        .map(|r| r.broker)
        .collect();
    if joining.is_empty() {
        p.joining_since = None;
        return false;
    }
    let since = *p.joining_since.get_or_insert(cx.now);
    let vain = cx.now.saturating_sub(since) >= STUCK
        || joining.iter().any(|broker| !cx.brokers.is_alive(*broker));
    if !vain {
        p.again = Some(p.again.map_or(since + STUCK, |at| at.min(since + STUCK)));
    }
    vain
}

/// A sealed page that no move of ours will follow: a new epoch, of whoever has most. That is the
/// leader itself, unless it lost what others have.
fn unseal(cx: &mut Context<'_>, p: &mut Partition, sight: &Sight<'_>, mut leaving: Vec<BrokerId>) {
    if !sight.full {
        return cx.look(p, Ask::All);
    }
    if waits_for_dead(cx, p, sight) {
        return cx.schedule(p);
    }
    let leader = p.meta.leader;
    let chosen = best(cx, p, sight, Among::InSync);
    let to = match chosen {
        Some(other) if sight.extent(p, other) > sight.extent(p, leader) => {
            // It lacks what others have in sync.
            leaving.push(leader);
            other
        }
        _ => leader,
    };
    leaving.retain(|b| *b != to);
    elect(cx, p, to, leaving, false, "its page was left sealed");
}

/// Whether only a dead one in sync has what a sealed leader lost: in an epoch of anyone else it would
/// lose that, too. Told once.
fn waits_for_dead(cx: &mut Context<'_>, p: &mut Partition, sight: &Sight<'_>) -> bool {
    let leader = p.meta.leader;
    let chosen = best(cx, p, sight, Among::InSync);
    let most = chosen
        .and_then(|b| sight.extent(p, b))
        .max(sight.extent(p, leader));
    let mut dead = cx.dead_followers(p).into_iter();
    let Some(dead) = dead.find(|b| sight.extent(p, *b) > most) else {
        return false;
    };
    if !std::mem::replace(&mut p.stranded, true) {
        cx.out.told.push(format!(
            "{} lost records on its leader, broker {leader}, that only broker {dead} has in \
             sync: start that one",
            cx.topic
        ));
    }
    true
}

/// Who can be elected instead of the leader: live, the right directory, most of the log.
fn best(cx: &Context<'_>, p: &Partition, sight: &Sight<'_>, among: Among) -> Option<BrokerId> {
    p.in_order()
        .enumerate()
        .filter(|(_, b)| *b != p.meta.leader && cx.brokers.is_alive(*b))
        .filter(|(_, b)| among == Among::All || p.meta.is_in_sync(*b))
        .filter_map(|(at, b)| {
            let page = sight.page(p, b)?;
            let undrained = !cx.brokers.is_drained(b);
            let key = (
                page.last_epoch,
                page.end,
                !page.full,
                undrained,
                Reverse(at),
            );
            Some((key, b))
        })
        .max_by_key(|(key, _)| *key)
        .map(|(_, broker)| broker)
}

/// Who fulfils a wish.
fn wished(cx: &Context<'_>, p: &Partition, sight: &Sight<'_>, wish: Wish) -> Option<BrokerId> {
    let fit = |b: &BrokerId| {
        *b != p.meta.leader
            && p.meta.is_in_sync(*b)
            && cx.brokers.is_alive(*b)
            && sight.has_room(p, *b)
    };
    match wish {
        Wish::Reassign => {
            let target = p.meta.reassignment.iter().flat_map(|r| &r.target);
            let fit: Vec<_> = target.copied().filter(fit).collect();
            let undrained = fit.iter().find(|b| cx.brokers.may_lead(**b));
            undrained.or(fit.first()).copied()
        }
        Wish::Drain => p.in_order().filter(fit).find(|b| cx.brokers.may_lead(*b)),
        Wish::Balance => Some(p.meta.preferred_leader()).filter(fit),
    }
}

fn elect(
    cx: &mut Context<'_>,
    p: &mut Partition,
    to: BrokerId,
    mut drop_from_isr: Vec<BrokerId>,
    unclean: bool,
    why: &'static str,
) {
    let Some(uuid) = p.meta.uuid_of(to) else {
        return cx.schedule(p);
    };
    drop_from_isr.retain(|b| *b != to);
    let election = Election {
        to,
        uuid,
        drop_from_isr,
        unclean,
        why,
    };
    cx.change(p, ChangeKind::Elect(election));
}

fn move_to(
    cx: &mut Context<'_>,
    p: &mut Partition,
    to: BrokerId,
    kind: WorkKind,
    wish: Option<Wish>,
    drop_from_isr: Vec<BrokerId>,
) {
    let why = match wish {
        Some(Wish::Reassign) => "by a reassignment",
        Some(Wish::Drain) => "which is drained",
        Some(Wish::Balance) => "as preferred",
        None if cx.brokers.is_alive(p.meta.leader) => "whose disk is full",
        None => "which is not alive",
    };
    let job = cx.begin(p, kind);
    if wish == Some(Wish::Balance) {
        cx.balances(Some(job));
    }
    cx.out.moves.push(PlannedMove {
        job,
        what: Move {
            tp: cx.topic.clone(),
            topic_id: cx.topic_id,
            from: p.meta.leader,
            epoch: p.meta.leader_epoch,
            to,
            drop_from_isr,
        },
        why,
    });
}

enum Watched {
    /// Nobody keeps the lock, or who has it gets on.
    Free,
    /// Somebody had it, so far.
    Held,
    /// One holder kept it too long.
    Stuck,
}

fn watch(cx: &Context<'_>, p: &mut Partition, sight: &Sight<'_>) -> Watched {
    match sight.looked.lock {
        Lock::Untried => return Watched::Free,
        Lock::Free => {
            p.watch = None;
            return Watched::Free;
        }
        Lock::Held => {}
    }
    let sequence = match sight.of(p.meta.leader) {
        Some(Look::Page(page)) => Some(page.sequence),
        _ => None,
    };
    let unbroken = p
        .watch
        .filter(|seen| cx.now.saturating_sub(seen.looked) <= BREAK_IN_WATCHING);
    if unbroken.is_some_and(|seen| seen.sequence != sequence) {
        p.watch = None;
        return Watched::Free;
    }
    let since = unbroken.map_or(cx.now, |seen| seen.since);
    p.watch = Some(Watch {
        sequence,
        since,
        looked: cx.now,
    });
    if cx.now.saturating_sub(since) >= STUCK {
        Watched::Stuck
    } else {
        Watched::Held
    }
}

/// Notes which followers keep up; those that did not for too long.
fn note_lag(cx: &Context<'_>, p: &mut Partition, sight: &Sight<'_>) -> Vec<BrokerId> {
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
        p.lag.last = None;
        p.lag.caught_up.clear();
        return Vec::new();
    };
    let interval = lag_interval(cx.rules);
    let last = p.lag.last;
    if last.is_none_or(|(at, _)| cx.now.saturating_sub(at) >= interval / 2) {
        p.lag.last = Some((cx.now, page.end));
    }
    if last.is_some_and(|(at, _)| cx.now.saturating_sub(at) > interval * 2) {
        // Whoever looked slept.
        p.lag.caught_up.clear();
    }
    // Half an interval more, or a follower that is always a little behind could seem to be late.
    let late = cx.rules.lag_max.max(interval) + interval / 2;
    let before = std::mem::take(&mut p.lag.caught_up);
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
        p.lag.caught_up.push((broker, at));
    }
    laggards
}
