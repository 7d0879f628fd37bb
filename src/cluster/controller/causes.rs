//! The causes for a change of leader, each decided on its own: the leader's directory is unusable,
//! its append lock is kept, its broker is dead, its disk is full, its state page was left sealed.
//! The first two force a failover ([`force`]); all others begin a leadership transfer, or leave the
//! leadership where it is.

use std::cmp::Reverse;
use std::time::Duration;

use super::assessment::Assessment;
use super::context::{Context, MoveReason, take_out};
use super::leadership_transfer::LeadershipTransfer;
use super::partition::{Ask, LeaderView, Partition, WorkKind};
use super::state::{ChangeKind, Forced, LeaderElection, PlannedMove};
use crate::timing::JOIN_WITHIN;
use crate::types::BrokerId;

/// The pause after no stand-in could take the leadership, until the failover is tried again.
const FAILOVER_AGAIN: Duration = Duration::from_secs(10);

impl Forced {
    fn why(self) -> &'static str {
        match self {
            Forced::DirectoryUnusable(why) => why,
            Forced::LockKept(..) => {
                "its append lock was kept for 2 s by a process that makes no progress"
            }
        }
    }
}

/// The replicas that an election may choose from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Among {
    InSync,
    All,
}

/// The leader's directory is gone, offline or belongs to another replica: its records cannot be
/// read.
pub(crate) fn directory_unusable(
    cx: &mut Context<'_>,
    p: &mut Partition,
    assessment: &Assessment<'_>,
    why: &'static str,
) {
    force(cx, p, assessment, Forced::DirectoryUnusable(why));
}

/// A stopped process holds the leader's append lock, so no process can append or seal the log.
/// `seen`: the state page's sequence number, and the holder's heartbeat.
pub(crate) fn lock_kept(
    cx: &mut Context<'_>,
    p: &mut Partition,
    assessment: &Assessment<'_>,
    sequence: Option<u64>,
    heartbeat: u64,
) {
    force(cx, p, assessment, Forced::LockKept(sequence, heartbeat));
}

/// The leader's broker is dead, but its directory is sound: a leadership transfer keeps all
/// records.
pub(crate) fn broker_dead(
    cx: &mut Context<'_>,
    p: &mut Partition,
    assessment: &Assessment<'_>,
    sealed: bool,
    leaving: Vec<BrokerId>,
) {
    fail_over(cx, p, assessment, sealed, leaving, |_| true);
}

/// The leader's disk is full, its directory is sound. A transfer from one full disk to another
/// gains nothing.
pub(crate) fn leader_disk_full(
    cx: &mut Context<'_>,
    p: &mut Partition,
    assessment: &Assessment<'_>,
    sealed: bool,
    leaving: Vec<BrokerId>,
) {
    fail_over(cx, p, assessment, sealed, leaving, |has_room| has_room);
}

/// The forced failover, the only way to take a leadership away without a leadership transfer: it
/// elects the live in-sync replica with the most log, or an unclean leader if the topic allows that.
fn force(cx: &mut Context<'_>, p: &mut Partition, assessment: &Assessment<'_>, forced: Forced) {
    if !assessment.is_full() {
        return cx.observe(p, Ask::ALL);
    }
    // An earlier snapshot showed a sound leader, this one does not, whatever the election achieves.
    if p.reign.view == LeaderView::Stands {
        p.reign.view = LeaderView::Unknown;
    }
    let (leader, why) = (p.meta.leader, forced.why());
    let lock_kept = matches!(forced, Forced::LockKept(..));
    // A kept lock loses no records, and the next leader's lock may be kept as well: never unclean.
    let unclean = cx.rules.unclean && !lock_kept;
    let drop = [vec![leader], cx.dead_followers(p)].concat();
    let chosen = best(cx, p, assessment, Among::InSync);
    let dead = chosen.and_then(|to| dead_ahead(cx, p, assessment, to));
    match (chosen, dead) {
        (Some(to), None) => return elect(cx, p, to, drop, Election::Clean, why, Some(forced)),
        // The elected replica lacks records of the dead one, and the topic allows that.
        (Some(to), Some(_)) if unclean => {
            return elect(cx, p, to, drop, Election::Unclean, why, Some(forced));
        }
        (None, _) if unclean => {
            if let Some(to) = best(cx, p, assessment, Among::All) {
                return elect(cx, p, to, drop, Election::Unclean, why, Some(forced));
            }
        }
        _ => {}
    }
    if p.reign.strand() {
        let others = p.meta.isr.iter().filter(|b| **b != leader);
        let others: Vec<_> = match dead {
            Some(dead) => vec![dead.to_string()],
            None => others.map(BrokerId::to_string).collect(),
        };
        let cure = match others.as_slice() {
            [] if lock_kept => "continue or kill the process that has it".to_owned(),
            [] => "'mq-topics verify' examines it".to_owned(),
            others => format!("start broker {}", others.join(" or ")),
        };
        let who = match dead {
            Some(dead) if assessment.is_read(dead) => "is complete",
            Some(_) => "is known to be complete",
            None => "is live",
        };
        cx.out.notified.push(format!(
            "{} cannot be used on its leader, broker {leader} ({why}), and no other in-sync \
             replica {who}: {cure}",
            cx.topic
        ));
    }
    cx.schedule(p);
}

/// A leader that should not lead, although its directory is sound: leadership transfers, to one
/// stand-in after the other. If none succeeds, the directory continues to serve, and they are tried
/// again later.
fn fail_over(
    cx: &mut Context<'_>,
    p: &mut Partition,
    assessment: &Assessment<'_>,
    sealed: bool,
    leaving: Vec<BrokerId>,
    fits: impl Fn(bool) -> bool,
) {
    let leader = p.meta.leader;
    if !assessment.is_full() {
        return cx.observe(p, Ask::ALL);
    }
    if sealed && waits_for_dead(cx, p, assessment) {
        return cx.schedule(p);
    }
    let fit = |b: &BrokerId| {
        *b != leader
            && p.meta.is_in_sync(*b)
            && p.reign.failover.may_try(*b, cx.now)
            && !leaving.contains(b)
            && cx.brokers.is_alive(*b)
            && assessment.page(p, *b).is_some()
            && fits(assessment.has_room(p, *b))
    };
    let mut candidates: Vec<_> = p.in_order().filter(fit).collect();
    candidates.sort_by_key(|b| !assessment.has_room(p, *b));
    let undrained = candidates.iter().find(|b| cx.brokers.may_lead(**b));
    if let Some(to) = undrained.or(candidates.first()).copied() {
        let mut drop = leaving.clone();
        drop.push(leader);
        return move_to(cx, p, to, WorkKind::Failover(to), None, drop);
    }
    p.reign.failover.rest(cx.now + FAILOVER_AGAIN);
    if sealed {
        return unseal(cx, p, assessment, leaving);
    }
    if !leaving.is_empty() {
        return take_out(cx, p, &leaving);
    }
    if waits_in_vain(cx, p, assessment) {
        return cx.change(p, ChangeKind::Renew);
    }
    // The directory continues to serve.
    if let Some(due) = p.reign.failover.rests_until(cx.now) {
        p.due.again_by(due);
    }
    cx.schedule(p);
}

/// A sealed state page that no transfer of this controller will follow gets a new epoch, led by the
/// replica with the most log. That is the leader itself, unless it lost records that others have.
pub(crate) fn unseal(
    cx: &mut Context<'_>,
    p: &mut Partition,
    assessment: &Assessment<'_>,
    mut leaving: Vec<BrokerId>,
) {
    if !assessment.is_full() {
        return cx.observe(p, Ask::ALL);
    }
    if waits_for_dead(cx, p, assessment) {
        return cx.schedule(p);
    }
    let leader = p.meta.leader;
    let chosen = best(cx, p, assessment, Among::InSync);
    let to = match chosen {
        Some(other) if assessment.extent(p, other) > assessment.extent(p, leader) => {
            // It lacks records that in-sync replicas have.
            leaving.push(leader);
            other
        }
        _ => leader,
    };
    leaving.retain(|b| *b != to);
    let why = "its state page was left sealed";
    elect(cx, p, to, leaving, Election::Clean, why, None);
}

/// Whether only a dead in-sync replica has, or may have, the records that a sealed leader lost: an
/// epoch of any other leader would lose them for good. Notified once.
fn waits_for_dead(cx: &mut Context<'_>, p: &mut Partition, assessment: &Assessment<'_>) -> bool {
    let leader = p.meta.leader;
    let chosen = best(cx, p, assessment, Among::InSync);
    let most = chosen
        .filter(|b| assessment.extent(p, *b) > assessment.extent(p, leader))
        .unwrap_or(leader);
    let Some(dead) = dead_ahead(cx, p, assessment, most) else {
        return false;
    };
    if p.reign.strand() {
        let text = if assessment.is_read(dead) {
            format!(
                "{} lost records on its leader, broker {leader}, that only broker {dead} has in \
                 sync: start broker {dead}",
                cx.topic
            )
        } else {
            format!(
                "{} may have lost records on its leader, broker {leader}, and what broker {dead} has \
                 in sync cannot be read: mount its disk, or start broker {dead}",
                cx.topic
            )
        };
        cx.out.notified.push(text);
    }
    true
}

/// A dead in-sync replica that has more than `to`, or may have.
fn dead_ahead(
    cx: &Context<'_>,
    p: &Partition,
    assessment: &Assessment<'_>,
    to: BrokerId,
) -> Option<BrokerId> {
    let mut dead = cx.dead_followers(p).into_iter();
    dead.find(|b| assessment.is_ahead(p, *b, to))
}

/// The replica to elect instead of the leader: live, with the listed directory, with the most log.
fn best(
    cx: &Context<'_>,
    p: &Partition,
    assessment: &Assessment<'_>,
    among: Among,
) -> Option<BrokerId> {
    p.in_order()
        .enumerate()
        .filter(|(_, b)| *b != p.meta.leader && cx.brokers.is_alive(*b))
        .filter(|(_, b)| among == Among::All || p.meta.is_in_sync(*b))
        .filter_map(|(at, b)| {
            let page = assessment.page(p, b)?;
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

/// Whether a leader may lack acknowledged records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Election {
    Clean,
    Unclean,
}

fn elect(
    cx: &mut Context<'_>,
    p: &mut Partition,
    to: BrokerId,
    mut drop_from_isr: Vec<BrokerId>,
    election: Election,
    why: &'static str,
    forced: Option<Forced>,
) {
    let Some(uuid) = p.meta.uuid_of(to) else {
        return cx.schedule(p);
    };
    drop_from_isr.retain(|b| *b != to);
    let election = LeaderElection {
        to,
        uuid,
        drop_from_isr,
        unclean: election == Election::Unclean,
        why,
        forced,
    };
    cx.change(p, ChangeKind::Elect(election));
}

pub(crate) fn move_to(
    cx: &mut Context<'_>,
    p: &mut Partition,
    to: BrokerId,
    kind: WorkKind,
    reason: Option<MoveReason>,
    drop_from_isr: Vec<BrokerId>,
) {
    let why = match reason {
        Some(MoveReason::Reassign) => "by a reassignment",
        Some(MoveReason::Drain) => "which is drained",
        Some(MoveReason::Balance) => "as preferred",
        None if cx.brokers.is_alive(p.meta.leader) => "whose disk is full",
        None => "which is not alive",
    };
    let job = cx.begin(p, kind);
    if reason == Some(MoveReason::Balance) {
        cx.balances(Some(job));
    }
    cx.out.moves.push(PlannedMove {
        job,
        what: LeadershipTransfer {
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

/// Whether the high watermark waits for a replica that was about to join the ISR and does not: its
/// broker died, or the join takes too long.
pub(crate) fn waits_in_vain(
    cx: &Context<'_>,
    p: &mut Partition,
    assessment: &Assessment<'_>,
) -> bool {
    let page = assessment.page(p, p.meta.leader);
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
        p.reign.joining = None;
        return false;
    }
    // For a replica that was about to join as of an older version, the wait starts again.
    let known = p.reign.joining.filter(|(as_of, _)| *as_of == cx.version);
    let (_, since) = *p
        .reign
        .joining
        .insert(known.unwrap_or((cx.version, cx.now)));
    let vain = cx.now.saturating_sub(since) >= JOIN_WITHIN
        || joining.iter().any(|broker| !cx.brokers.is_alive(*broker));
    if !vain {
        p.due.again_by(since + JOIN_WITHIN);
    }
    vain
}
