//! Members that stop at any operation of what they do to their group: who owns what is old or new,
//! never half; no offset is lost with a partition; and the other members, or later ones, go on.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::groups::{
    GROUP_DIR, Offsets, commit, entries, join, offsets, seen_by, store, tp,
};
use crate::common::sim_disk::{SimDisk, seeded};
use mq::disk::{Disk, Open};
use mq::error::{Kind, Result};
use mq::group::Membership;
use mq::types::{TopicPartition, Uuid};
use rustix::io::Errno;

const NONE: Offsets = [None, None, None];
const OLD: Offsets = [Some(7), Some(6), None];

/// What one member, the actor, does, and among which members.
struct Scene {
    name: &'static str,
    old: Offsets,
    new: Offsets,
    /// Another member lives in a process of its own.
    has_other: bool,
    /// A third one died.
    has_dead: bool,
    /// The actor is a member already; otherwise it joins.
    is_member: bool,
    /// What it does; it stays a member if it is given back.
    run: fn(&mut Actor) -> Result<()>,
    /// Power cuts that are tried after each stop, besides the two that lose all and nothing.
    seeds: u64,
}

struct Actor {
    sim: SimDisk,
    id: Uuid,
    member: Option<Membership>,
}

/// The scene just before the actor acts.
struct Set {
    sim: SimDisk,
    other: Option<Membership>,
    actor: Actor,
}

const SCENES: [Scene; 8] = [
    Scene {
        name: "the first join",
        old: NONE,
        new: NONE,
        has_other: false,
        has_dead: false,
        is_member: false,
        run: enter,
        seeds: 3,
    },
    Scene {
        name: "a join beside another member",
        old: OLD,
        new: OLD,
        has_other: true,
        has_dead: false,
        is_member: false,
        run: enter,
        seeds: 2,
    },
    Scene {
        name: "a join that finds a member dead",
        old: OLD,
        new: OLD,
        has_other: true,
        has_dead: true,
        is_member: false,
        run: enter,
        seeds: 2,
    },
    Scene {
        name: "an eviction",
        old: OLD,
        new: OLD,
        has_other: true,
        has_dead: true,
        is_member: true,
        run: |actor| {
            let member = actor.member.as_mut().unwrap();
            let suspects = member.suspects()?;
            assert_eq!(suspects.len(), 1);
            member.evict(&suspects)
        },
        seeds: 2,
    },
    Scene {
        name: "a release with a commit",
        old: OLD,
        new: [Some(8), Some(9), Some(10)],
        has_other: true,
        has_dead: false,
        is_member: true,
        run: |actor| {
            let all = entries(actor.id, &[(0, 8), (1, 9), (2, 10)]);
            let member = actor.member.as_mut().unwrap();
            observe(member)?;
            let surplus = surplus(member);
            assert_eq!(surplus.len(), 1);
            member.release(surplus, all)
        },
        seeds: 3,
    },
    Scene {
        name: "a leave with a commit",
        old: OLD,
        new: [Some(8), Some(9), Some(10)],
        has_other: true,
        has_dead: false,
        is_member: true,
        run: leave,
        seeds: 3,
    },
    Scene {
        name: "the last one's leave with a commit",
        old: OLD,
        new: [Some(8), Some(9), Some(10)],
        has_other: false,
        has_dead: false,
        is_member: true,
        run: leave,
        seeds: 3,
    },
    Scene {
        name: "starts",
        old: OLD,
        new: [Some(7), Some(6), Some(50)],
        has_other: false,
        has_dead: false,
        is_member: true,
        run: |actor| {
            let starts = entries(actor.id, &[(0, 99), (2, 50)]);
            actor.member.as_mut().unwrap().commit_starts(starts)
        },
        seeds: 3,
    },
];

fn enter(actor: &mut Actor) -> Result<()> {
    let member = actor.member.insert(join(&actor.sim)?);
    member.assign()
}

fn leave(actor: &mut Actor) -> Result<()> {
    let all = entries(actor.id, &[(0, 8), (1, 9), (2, 10)]);
    actor.member.take().unwrap().leave(all)
}

/// Looks, after the pause that is due.
fn observe(member: &mut Membership) -> Result<bool> {
    while let Some(pause) = member.refresh_due()?
        && !pause.is_zero()
    {
        std::thread::sleep(pause);
    }
    member.refresh()
}

/// What it must give up.
fn surplus(member: &Membership) -> BTreeSet<TopicPartition> {
    let me = member.me().unwrap();
    me.owned.difference(&me.target).cloned().collect()
}

fn owned(member: &Membership) -> BTreeSet<TopicPartition> {
    member.me().map(|me| me.owned.clone()).unwrap_or_default()
}

/// A fresh disk, with the scene set.
fn set(scene: &Scene) -> Set {
    let (sim, id) = store();
    if scene.old == OLD {
        commit(&sim, id, &[(0, 5), (1, 6)]).unwrap();
        commit(&sim, id, &[(0, 7)]).unwrap();
    }
    let actor_sim = sim.process();
    let member = scene.is_member.then(|| join(&actor_sim).unwrap());
    let mut other = scene.has_other.then(|| join(&sim.process()).unwrap());
    if scene.has_dead {
        let process = sim.process();
        let _died = join(&process).unwrap();
        process.kill();
    }
    if let Some(other) = &mut other {
        // The targets are made; what must move has not moved.
        observe(other).unwrap();
        other.assign().unwrap();
    }
    let mut member = member;
    if let Some(member) = &mut member {
        observe(member).unwrap();
    }
    assert_eq!(offsets(&sim, id), scene.old, "{}", scene.name);
    let actor = Actor {
        sim: actor_sim,
        id,
        member,
    };
    Set { sim, other, actor }
}

/// What may be committed after it ended so.
fn allowed(scene: &Scene, done: Option<bool>) -> Vec<Offsets> {
    match done {
        Some(true) => vec![scene.new],
        Some(false) => vec![scene.old],
        None => vec![scene.old, scene.new],
    }
}

/// After a power cut all are gone, and the next one goes on. Whether `group.json` was lost.
fn check_cut(left: &SimDisk, id: Uuid, allowed: &[Offsets], place: &str) -> bool {
    let seen = offsets(left, id);
    assert!(allowed.contains(&seen), "{place}: {seen:?}");
    let mut member = join(left).unwrap_or_else(|e| panic!("{place}: {e}"));
    assert_eq!(seen_by(&member, id), seen, "{place}");
    assert_eq!(owned(&member).len(), 3, "{place}");
    assert_eq!(member.state().members.len(), 1, "{place}");
    let torn = !member.notes().is_empty();
    member.commit(entries(id, &[(0, 77)])).unwrap();
    let after = left.crash_losing_all();
    let kept = [Some(77), seen[1], seen[2]];
    assert_eq!(offsets(&after, id), kept, "{place}: later");
    torn
}

fn check_cuts(sim: &SimDisk, id: Uuid, scene: &Scene, done: Option<bool>, place: &str) -> usize {
    let allowed = allowed(scene, done);
    let mut torn = 0;
    let mut check = |choice: &mut dyn FnMut(usize) -> usize, cut: &str| {
        let left = sim.if_crashed(choice);
        torn += usize::from(check_cut(&left, id, &allowed, &format!("{place}, {cut}")));
    };
    check(&mut |_| 0, "all lost");
    check(&mut |n| n - 1, "nothing lost");
    for seed in 0..scene.seeds {
        check(&mut seeded(seed), &format!("seed {seed}"));
    }
    torn
}

/// Those who live go on beside one another: all is read by one of them.
fn check_living(set: Set, scene: &Scene, done: Option<bool>, place: &str) {
    let Set { sim, other, actor } = set;
    let (id, before) = (actor.id, offsets(&sim, actor.id));
    assert!(
        allowed(scene, done).contains(&before),
        "{place}: {before:?}"
    );
    let had_other = other.is_some();
    let mut members: Vec<Membership> = other.into_iter().collect();
    if let Some(other) = members.first_mut() {
        observe(other).unwrap_or_else(|e| panic!("{place}: {e}"));
        // Who got a partition that the actor had finds the actor's commit.
        if scene.is_member && scene.old != scene.new && !owned(other).is_empty() {
            assert_eq!(before, scene.new, "{place}: it went without its offset");
        }
    }
    members.extend(actor.member);
    if !had_other {
        members.push(join(&sim.process()).unwrap_or_else(|e| panic!("{place}: {e}")));
    }
    for _ in 0..3 {
        for member in &mut members {
            observe(member).unwrap_or_else(|e| panic!("{place}: {e}"));
            let suspects = member.suspects().unwrap();
            member.evict(&suspects).unwrap();
            if member.me().is_some() {
                member.assign().unwrap();
                member.release(surplus(member), Vec::new()).unwrap();
            }
        }
    }
    let mut all = BTreeSet::new();
    for member in &mut members {
        observe(member).unwrap();
        member.refresh_offsets().unwrap();
        assert_eq!(seen_by(member, id), before, "{place}");
        assert_eq!(member.state().name(), "Stable", "{place}");
        for tp in owned(member) {
            assert!(all.insert(tp.clone()), "{place}: {tp} has two owners");
        }
    }
    assert_eq!(
        all,
        [0, 1, 2].map(tp).into(),
        "{place}: nobody reads the rest"
    );
    for member in &mut members {
        member
            .commit(entries(id, &[(0, 77), (1, 78), (2, 79)]))
            .unwrap();
    }
    let after = sim.crash_losing_all();
    let kept = [Some(77), Some(78), Some(79)];
    assert_eq!(offsets(&after, id), kept, "{place}: later");
}

fn traced(sim: &SimDisk, before: u64, n: u64) -> String {
    let trace = sim.trace();
    trace
        .get((before + n) as usize - 1)
        .map_or("?", String::as_str)
        .to_owned()
}

/// How many operations it has, and how often a power cut tore `group.json`.
fn every_operation(scene: &Scene) -> (u64, usize) {
    let mut torn = 0;
    let mut done = set(scene);
    let before = done.actor.sim.ops();
    (scene.run)(&mut done.actor).unwrap();
    let ops = done.actor.sim.ops() - before;
    assert!(ops > 3, "{}: {:?}", scene.name, done.actor.sim.trace());
    let name = scene.name;
    torn += check_cuts(&done.sim, done.actor.id, scene, Some(true), name);
    check_living(done, scene, Some(true), name);
    for n in 1..=ops {
        for bytes in [0, 1, 40] {
            let mut set = set(scene);
            let actor = &mut set.actor;
            let before = actor.sim.ops();
            actor.sim.stop_within(before + n, bytes);
            let done = (scene.run)(actor).is_ok().then_some(true);
            let what = traced(&actor.sim, before, n);
            let place = format!("{name}, stopped within {bytes} bytes of {n}: {what}");
            // The dead do nothing more.
            if actor.sim.ops() >= before + n {
                actor.member = None;
            }
            torn += check_cuts(&set.sim, set.actor.id, scene, done, &place);
            check_living(set, scene, done, &place);
        }
    }
    (ops, torn)
}

/// What an error says of what happened holds for every process, and after a power cut too.
fn every_error(scene: &Scene, errno: Errno) {
    let mut counted = set(scene);
    let before = counted.actor.sim.ops();
    (scene.run)(&mut counted.actor).unwrap();
    for n in 1..=counted.actor.sim.ops() - before {
        let mut set = set(scene);
        let actor = &mut set.actor;
        let before = actor.sim.ops();
        actor.sim.fail_at(before + n, errno);
        let outcome = (scene.run)(actor);
        let done = match &outcome {
            Ok(()) => Some(true),
            Err(e) if e.kind() == Kind::Unknown => None,
            Err(_) => Some(false),
        };
        let what = traced(&actor.sim, before, n);
        let place = format!("{}, {errno:?} at {n}: {what} -> {outcome:?}", scene.name);
        check_cuts(&set.sim, set.actor.id, scene, done, &place);
        check_living(set, scene, done, &place);
    }
}

#[test]
fn stopped_at_any_operation() {
    let (mut all, mut lost) = (0, 0);
    for scene in &SCENES {
        let (ops, torn) = every_operation(scene);
        println!("{}: {ops} operations, {torn} torn group files", scene.name);
        all += ops;
        lost += torn;
    }
    println!("groups_members: {all} operations, {lost} torn group files");
    assert!(lost > 0, "no power cut tore group.json: too few to tell");
}

#[test]
fn errors_are_true() {
    for scene in &SCENES {
        every_error(scene, Errno::IO);
    }
    every_error(&SCENES[4], Errno::NOSPC);
}

#[test]
fn a_torn_group_file_is_recreated_once_no_member_lives() {
    let (sim, id) = store();
    let process = sim.process();
    let mut member = join(&process).unwrap();
    member.commit(entries(id, &[(0, 5)])).unwrap();
    let epoch = member.state().group_epoch;
    let dir = sim.open_dir(Path::new(GROUP_DIR)).unwrap();
    let file = dir.open("group.json", Open::Write).unwrap();
    file.set_len(20).unwrap();
    let error = join(&sim.process()).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains("group.json"), "{error}");
    process.kill();
    let next = join(&sim.process()).unwrap();
    assert_eq!(next.notes().len(), 1, "{:?}", next.notes());
    assert!(next.state().group_epoch > epoch);
    assert_eq!(
        (seen_by(&next, id), owned(&next).len()),
        ([Some(5), None, None], 3)
    );
}
