//! How a member gets into `group.json`, and which topics exist for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::effects::put;
use super::errors::{instance_lives, refused, with_cure};
use super::join_options::JoinOptions;
use crate::disk::{Dir, File};
use crate::error::{Error, Kind, Result};
use crate::group::group_file::GroupFile;
use crate::group::group_handle::GroupGuard;
use crate::group::machine::{self, GroupEvent};
use crate::group::member_file::{self, HeartbeatReading, MemberFile};
use crate::group::state::{GroupState, MemberState, TopicState, Topics};
use crate::group::subscription::{Matcher, Subscription};
use crate::store::topics::topic_file;
use crate::store::{Process, StoreDir};
use crate::types::{TopicName, TopicPartition, Uuid};

/// In a larger group, watchers remove the dead members, and this member is one of them soon: many
/// members may wait to join behind it.
const PROBED_MAX: usize = 8;

/// Enters a new member, under the lock.
pub(super) fn enter(
    store: &Arc<StoreDir>,
    held: &mut GroupGuard<'_>,
    file: &MemberFile,
    options: &JoinOptions,
    matcher: &Matcher,
) -> Result<(GroupState, Vec<(TopicName, Error)>)> {
    let dir = Arc::clone(held.guard().dir());
    let written = held.group_file()?;
    let mut state = written.state(&*dir).map_err(with_cure)?;
    // A deletion or a rewritten file must not bring an epoch back.
    let epoch = state.group_epoch.max(held.state().epoch_max());
    if epoch > state.group_epoch {
        (state.group_epoch, state.assignment_epoch) = (epoch, epoch);
    }
    let mut events = Vec::new();
    let mut replaces = None;
    let is_small = state.members.len() <= PROBED_MAX;
    for (id, member) in &state.members {
        let same = member.instance_id.is_some() && member.instance_id == options.instance_id;
        if !same && !is_small {
            continue;
        }
        let is_dead = member_file::probe(&*dir, *id)? == HeartbeatReading::Dead;
        match (same, is_dead) {
            (true, true) => replaces = Some(*id),
            (true, false) => return Err(instance_lives(held, member)),
            (false, true) if member.instance_id.is_none() => {
                events.push(GroupEvent::Remove { id: *id });
            }
            (false, _) => {}
        }
    }
    let lives = state.members.len() > events.len();
    let is_used = !held.state().is_unused() || !state.members.is_empty();
    let joins = Joining {
        matcher,
        began_with: options.began_with.as_ref(),
        goes_on: lives || is_used && !held.state().is_deleted(),
    };
    let seen = see_topics(store, &state, Some(joins))?;
    let (topics, wanted, unreadable) = (seen.topics, seen.wanted, seen.unreadable);
    let own = topics
        .keys()
        .filter(|name| matcher.matches(name))
        .cloned()
        .collect();
    if is_change(&state, &topics, &wanted) {
        events.push(GroupEvent::Topics { topics, wanted });
    }
    let process = Process::current(&**store.clock());
    let member = MemberState {
        epoch: 0,
        instance_id: options.instance_id.clone(),
        subscription: options.subscription.clone(),
        topics: own,
        owned: BTreeSet::new(),
        target: BTreeSet::new(),
        ends: options.ends.clone(),
        session_timeout_ms: u64::try_from(options.session_timeout.as_millis()).unwrap_or(u64::MAX),
        pid: process.pid,
        host: process.host.clone(),
    };
    events.push(GroupEvent::Join {
        id: file.id(),
        member: Box::new(member),
        replaces,
        assignor: options.assignor,
    });
    let mut all_effects = Vec::new();
    for event in events {
        let (next, effects) = machine::step(&state, event).map_err(refused)?;
        state = next;
        all_effects.extend(effects);
    }
    if is_small {
        member_file::remove_dead(&*dir, held.guard(), |id| state.members.contains_key(&id))?;
    }
    put(held, store.boot_id(), &state, &all_effects)?;
    file.mark_entered()?;
    Ok((state, unreadable))
}

/// The result of a check of the topics.
pub(super) struct SeenTopics {
    /// The topics that members want.
    pub topics: Topics,
    /// The topics that each member wants.
    pub wanted: Vec<(Uuid, BTreeSet<TopicName>)>,
    /// Topics whose files are damaged. A known one stays as it was; an unknown one counts as
    /// missing.
    pub unreadable: Vec<(TopicName, Error)>,
}

/// A joining member, which checks the topics before it is a member.
pub(super) struct Joining<'a> {
    matcher: &'a Matcher,
    /// The ids of the topics that existed when its command began.
    began_with: Option<&'a BTreeSet<Uuid>>,
    /// The group has a live member, offsets, or members that died just now: it does not begin with
    /// this member.
    goes_on: bool,
}

/// The topics that members want, for the moment including dead ones; and the joining member's.
pub(super) fn see_topics(
    store: &Arc<StoreDir>,
    state: &GroupState,
    one_more: Option<Joining<'_>>,
) -> Result<SeenTopics> {
    let there = topic_file::list(store)?;
    let mut distinct: Vec<(&Subscription, BTreeSet<TopicName>)> = Vec::new();
    let mut wanted = Vec::with_capacity(state.members.len());
    let mut all: BTreeSet<TopicName> = BTreeSet::new();
    let mut wanted_before: BTreeSet<TopicName> = BTreeSet::new();
    let matching = |matcher: &Matcher| -> BTreeSet<TopicName> {
        let matching = there.iter().filter(|name| matcher.matches(name));
        matching.cloned().collect()
    };
    if let Some(joins) = &one_more {
        all.extend(matching(joins.matcher));
    }
    for former in &state.former {
        wanted_before.extend(matching(&former.matcher()?));
    }
    for (id, member) in &state.members {
        let known = distinct
            .iter()
            .position(|(known, _)| **known == member.subscription);
        let at = match known {
            Some(at) => at,
            None => {
                let names = matching(&member.subscription.matcher()?);
                all.extend(names.iter().cloned());
                wanted_before.extend(names.iter().cloned());
                distinct.push((&member.subscription, names));
                distinct.len() - 1
            }
        };
        if let Some((_, names)) = distinct.get(at) {
            wanted.push((*id, names.clone()));
        }
    }
    let goes_on = one_more.as_ref().is_none_or(|joins| joins.goes_on);
    let began_with = one_more.and_then(|joins| joins.began_with);
    let mut seen = Topics::new();
    let mut unreadable = Vec::new();
    for name in all {
        let known = state.topics.get(&name).copied();
        let meta = match topic_file::read_if_there(store, &name) {
            Ok(Some((meta, _))) => meta,
            // Deleted since it was listed: it does not exist.
            Ok(None) => continue,
            Err(e) if e.kind() == Kind::Damaged => {
                seen.extend(known.map(|known| (name.clone(), known)));
                unreadable.push((name, e));
                continue;
            }
            Err(e) => return Err(e),
        };
        let known = known.filter(|known| goes_on && known.topic_id == meta.topic_id);
        let came_later = match known {
            Some(known) => known.came_later,
            None if goes_on && wanted_before.contains(&name) => true,
            None => began_with.is_some_and(|ids| !ids.contains(&meta.topic_id)),
        };
        let topic = TopicState {
            topic_id: meta.topic_id,
            partitions: i32::try_from(meta.partitions.len()).unwrap_or(i32::MAX),
            came_later,
        };
        seen.insert(name, topic);
    }
    for (_, names) in &mut wanted {
        names.retain(|name| seen.contains_key(name));
    }
    Ok(SeenTopics {
        topics: seen,
        wanted,
        unreadable,
    })
}

pub(super) fn is_change(
    state: &GroupState,
    topics: &Topics,
    wanted: &[(Uuid, BTreeSet<TopicName>)],
) -> bool {
    state.topics != *topics
        || wanted
            .iter()
            .any(|(id, names)| state.members.get(id).is_some_and(|m| m.topics != *names))
}

/// The partitions that a member owns now, and the `group.json` that was read for that; nothing if
/// it is no longer a member.
///
/// # Errors
/// Those of [`super::Membership::refresh`].
pub fn owned_by(
    dir: &Arc<dyn Dir>,
    boot_id: [u8; 16],
    member: Uuid,
) -> Result<(BTreeSet<TopicPartition>, Arc<dyn File>)> {
    let (file, open) = GroupFile::read_own(dir, boot_id, member)?;
    let mut state = file.state(&**dir)?;
    let owned = state.members.remove(&member).map(|me| me.owned);
    Ok((owned.unwrap_or_default(), open))
}
