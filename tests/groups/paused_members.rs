//! A member that stands still before any call of what it does to its group, for so long that its
//! lock is broken and the others change the group; then it goes on. What it knew by then is old: it
//! must never be written over what the others did, nor taken for it later.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::groups::{GROUP, TIMEOUT, entries, store, topic, tp};
use crate::common::sim_disk::SimDisk;
use mq::clock::{Clock, SystemClock};
use mq::error::{Kind, Result};
use mq::group::{JoinOptions, Membership, Subscription};
use mq::store::StoreDir;
use mq::types::{TopicPartition, Uuid};

/// Time goes so much faster: a lock is broken after 2 s.
const FASTER: u32 = 25;
/// Cases at a time: they mostly wait.
const AT_ONCE: usize = 8;

#[derive(Debug, Default)]
struct FastClock(SystemClock);

impl Clock for FastClock {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() * FASTER
    }

    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration / FASTER);
    }
}

fn join(sim: &SimDisk) -> Result<Membership> {
    let options = JoinOptions {
        subscription: Subscription::to_names([topic()]),
        assignor: None,
        instance_id: None,
        session_timeout: TIMEOUT * 100,
        ends: None,
        began_with: None,
        lock_timeout: TIMEOUT * 10,
    };
    let clock = Arc::new(FastClock::default());
    let store = StoreDir::open(Arc::new(sim.clone()), clock, Path::new("/s"))?;
    Membership::join(&Arc::new(store), GROUP, &options)
}

/// What the actor does.
type Act = fn(&SimDisk, &mut Option<Membership>, Uuid) -> Result<()>;

struct Scene {
    name: &'static str,
    /// The actor is a member before.
    is_member: bool,
    /// Another one died.
    has_dead: bool,
    act: Act,
}

const SCENES: [Scene; 6] = [
    Scene {
        name: "a join",
        is_member: false,
        has_dead: false,
        act: |sim, member, _| {
            *member = Some(join(sim)?);
            Ok(())
        },
    },
    Scene {
        name: "an assignment",
        is_member: true,
        has_dead: false,
        act: |_, member, _| member.as_mut().unwrap().assign(),
    },
    Scene {
        name: "a release with a commit",
        is_member: true,
        has_dead: false,
        act: |_, member, id| {
            let member = member.as_mut().unwrap();
            member.assign()?;
            let all = entries(id, &[(0, 8), (1, 9), (2, 10)]);
            member.release(surplus(member), all)
        },
    },
    Scene {
        name: "a commit",
        is_member: true,
        has_dead: false,
        act: |_, member, id| member.as_mut().unwrap().commit(entries(id, &[(0, 8)])),
    },
    Scene {
        name: "an eviction",
        is_member: true,
        has_dead: true,
        act: |_, member, _| {
            let member = member.as_mut().unwrap();
            observe(member)?;
            let suspects = member.suspects()?;
            member.evict(&suspects)
        },
    },
    Scene {
        name: "a leave with a commit",
        is_member: true,
        has_dead: false,
        act: |_, member, id| member.take().unwrap().leave(entries(id, &[(0, 8)])),
    },
];

fn surplus(member: &Membership) -> BTreeSet<TopicPartition> {
    let Some(me) = member.me() else {
        return BTreeSet::new();
    };
    me.owned.difference(&me.target).cloned().collect()
}

fn observe(member: &mut Membership) -> Result<()> {
    while let Some(pause) = member.refresh_due()?
        && !pause.is_zero()
    {
        std::thread::sleep(pause / FASTER);
    }
    member.refresh()?;
    member.refresh_others()
}

/// All that was seen of the group, one look after the other.
#[derive(Default)]
struct Seen {
    group_epoch: i32,
    owners: BTreeMap<(TopicPartition, i32), Uuid>,
    committed: BTreeMap<TopicPartition, i64>,
}

impl Seen {
    fn observe(&mut self, member: &mut Membership, topic_id: Uuid, place: &str) {
        observe(member).unwrap_or_else(|e| panic!("{place}: {e}"));
        let state = member.state();
        assert!(
            state.group_epoch >= self.group_epoch,
            "{place}: the group epoch went back from {} to {}",
            self.group_epoch,
            state.group_epoch
        );
        self.group_epoch = state.group_epoch;
        let mut owned = BTreeSet::new();
        for (id, member) in &state.members {
            for tp in &member.owned {
                assert!(owned.insert(tp.clone()), "{place}: {tp} has two owners");
                let key = (tp.clone(), member.epoch);
                let before = self.owners.entry(key).or_insert(*id);
                let epoch = member.epoch;
                assert_eq!(before, id, "{place}: two owners of {tp} in epoch {epoch}");
            }
        }
        member.refresh_offsets().unwrap();
        for partition in 0..3 {
            let now = member
                .committed(&tp(partition), topic_id)
                .map_or(0, |c| c.offset);
            let before = self.committed.insert(tp(partition), now).unwrap_or(0);
            assert!(now >= before, "{place}: {before} was committed, now {now}");
        }
    }

    /// Everybody does what there is to do, until nothing is.
    fn come_to_rest(
        &mut self,
        members: &mut [Membership],
        topic_id: Uuid,
        evicts: bool,
        place: &str,
    ) {
        for _ in 0..4 {
            for member in members.iter_mut() {
                self.observe(member, topic_id, place);
                if evicts {
                    let suspects = member.suspects().unwrap();
                    again(|| member.evict(&suspects)).unwrap_or_else(|e| panic!("{place}: {e}"));
                    self.observe(member, topic_id, place);
                }
                if member.me().is_some() {
                    again(|| member.assign()).unwrap_or_else(|e| panic!("{place}: {e}"));
                    self.observe(member, topic_id, place);
                    let surplus = surplus(member);
                    if !surplus.is_empty() {
                        again(|| member.release(surplus.clone(), Vec::new()))
                            .unwrap_or_else(|e| panic!("{place}: {e}"));
                    }
                    self.observe(member, topic_id, place);
                }
            }
        }
    }
}

/// Where a machine under load lets a holder stand still itself.
fn again(mut what: impl FnMut() -> Result<()>) -> Result<()> {
    loop {
        match what() {
            Err(e) if e.kind() == Kind::Fenced => {}
            done => return done,
        }
    }
}

/// The actor stands still before its nth call, if it has so many. Whether it has.
fn stopped_at(scene: &Scene, n: u64) -> bool {
    let place = format!("{}, stopped before call {n}", scene.name);
    let (sim, id) = store();
    let actor_sim = sim.process();
    let mut actor = scene.is_member.then(|| join(&actor_sim).unwrap());
    let mut others = vec![join(&sim.process()).unwrap()];
    let mut seen = Seen::default();
    if scene.has_dead {
        let process = sim.process();
        let _died = join(&process).unwrap();
        process.kill();
    }
    // What the actor knows is old: it reads the group under the lock.
    seen.observe(&mut others[0], id, &place);
    let before = actor_sim.calls();
    actor_sim.freeze_at(before + n);
    let thread = std::thread::spawn({
        let (act, sim) = (scene.act, actor_sim.clone());
        move || {
            let outcome = act(&sim, &mut actor, id);
            (outcome, actor)
        }
    });
    while !actor_sim.is_frozen() && !thread.is_finished() {
        std::thread::sleep(Duration::from_micros(100));
    }
    let was_frozen = actor_sim.is_frozen();
    others.push(join(&sim.process()).unwrap_or_else(|e| panic!("{place}: {e}")));
    seen.come_to_rest(&mut others, id, false, &place);
    // They read on from where the actor's commit is, or would have been.
    for other in &mut others {
        let on = entries(id, &[(0, 20), (1, 20), (2, 20)]);
        again(|| other.commit(on.clone())).unwrap_or_else(|e| panic!("{place}: {e}"));
        seen.observe(other, id, &place);
    }
    actor_sim.thaw();
    let (outcome, actor) = thread.join().unwrap();
    if let Err(e) = outcome {
        let reported = matches!(e.kind(), Kind::Fenced | Kind::Unknown);
        assert!(reported, "{place}: {e}");
    }
    others.extend(actor);
    seen.come_to_rest(&mut others, id, true, &place);
    // The actor commits what it had read, where it owns that again.
    for other in &mut others {
        let old = entries(id, &[(0, 9), (1, 9), (2, 9)]);
        if other.me().is_some() {
            again(|| other.commit(old.clone())).unwrap_or_else(|e| panic!("{place}: {e}"));
        }
    }
    let mut all = BTreeSet::new();
    for member in &mut others {
        seen.observe(member, id, &place);
        assert_eq!(member.state().name(), "Stable", "{place}");
        if let Some(me) = member.me() {
            all.extend(me.owned.iter().cloned());
        }
    }
    assert_eq!(all, [0, 1, 2].map(tp).into(), "{place}");
    was_frozen
}

#[test]
fn a_member_that_stood_still_writes_nothing_old() {
    let started = Instant::now();
    let mut cases = 0;
    for scene in &SCENES {
        let mut first = 1;
        loop {
            let numbers: Vec<u64> = (first..).take(AT_ONCE).collect();
            let frozen: Vec<bool> = std::thread::scope(|scope| {
                let threads: Vec<_> = numbers
                    .iter()
                    .map(|n| scope.spawn(|| stopped_at(scene, *n)))
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            cases += frozen.iter().filter(|frozen| **frozen).count();
            if frozen.contains(&false) {
                break;
            }
            first += AT_ONCE as u64;
        }
        println!("{}: {} calls", scene.name, first);
    }
    println!(
        "groups_stopped: {cases} cases, 0 failures, {:?}",
        started.elapsed()
    );
    assert!(cases > 100, "{cases}");
}
