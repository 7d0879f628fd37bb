//! Simulates brokers that die and come back, directories and leadership transfers that fail, and
//! controllers that change; checks what must hold throughout.

use std::collections::HashMap;

use super::*;
use crate::cluster::controller::state::{PlannedMove, ProbeRequest};

const BROKERS: std::ops::RangeInclusive<BrokerId> = 1..=5;
const PARTITIONS: usize = 3;
/// The second topic allows unclean elections.
const TOPICS: [(&str, bool); 2] = [("clean", false), ("unclean", true)];

struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn broker(&mut self) -> BrokerId {
        1 + self.below(5) as BrokerId
    }
}

/// A replica directory.
#[derive(Debug, Clone, Copy, Default)]
struct Replica {
    sequence: u64,
    epoch: i32,
    last_epoch: i32,
    end: i64,
    sealed: bool,
    offline: bool,
    /// A stopped process holds the append lock.
    stuck: bool,
}

impl Replica {
    fn serves(&self) -> bool {
        !self.offline && !self.stuck
    }
}

type At = (usize, usize);

struct Replicas<'a>(&'a HashMap<(At, BrokerId), Replica>);

impl Extents for Replicas<'_> {
    fn ahead_of(&self, tp: &TopicPartition, p: &PartitionMeta, to: BrokerId) -> Option<Ahead> {
        let of = |b: &BrokerId| self.0.get(&(at_of(tp), *b)).filter(|r| !r.offline);
        let extent = |b: &BrokerId| of(b).map(|r| (r.last_epoch, r.end));
        let mut others = p.isr.iter().filter(|b| **b != to && **b != p.leader);
        let ahead = others.find(|b| extent(b) > extent(&to));
        ahead.copied().map(Ahead::More)
    }
}

fn all() -> Vec<At> {
    let partitions = |topic| (0..PARTITIONS).map(move |p| (topic, p));
    (0..TOPICS.len()).flat_map(partitions).collect()
}

fn at_of(tp: &TopicPartition) -> At {
    let topic = TOPICS.iter().position(|(n, _)| *n == tp.topic.as_str());
    (topic.unwrap(), tp.partition as usize)
}

struct World {
    chance: Chance,
    now: Duration,
    state: ControllerState,
    brokers: BTreeMap<BrokerId, BrokerLiveness>,
    topics: Vec<TopicMeta>,
    replicas: HashMap<(At, BrokerId), Replica>,
    committed: HashMap<At, i64>,
    /// Transfers under way, with the time of their end.
    moves: Vec<(Duration, PlannedMove)>,
    /// Nothing fails any more.
    calm: bool,
    /// Changes and transfers begun.
    acts: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let topics = TOPICS.iter().map(|(name, _)| TopicMeta {
            name: TopicName::new(*name).unwrap(),
            topic_id: Uuid([name.len() as u8; 16]),
            version: 1,
            explicit: BTreeMap::new(),
            partitions: (0..PARTITIONS)
                .map(|at| {
                    let first = chance.broker();
                    let replicas: Vec<_> = (0..3).map(|n| (first + n - 1) % 5 + 1).collect();
                    PartitionMeta {
                        partition: at as i32,
                        ..partition(&replicas, first, &replicas)
                    }
                })
                .collect(),
            retired: Vec::new(),
        });
        let topics: Vec<_> = topics.collect();
        let mut world = World {
            chance,
            now: secs(100),
            state: ControllerState::default(),
            brokers: BROKERS.map(|b| (b, UP)).collect(),
            topics,
            replicas: HashMap::new(),
            committed: HashMap::new(),
            moves: Vec::new(),
            calm: false,
            acts: 0,
        };
        for at in all() {
            for replica in world.meta(at).replicas.clone() {
                let fresh = Replica {
                    epoch: 4,
                    ..Replica::default()
                };
                world.replicas.insert((at, replica.broker), fresh);
            }
        }
        world.new_controller();
        world
    }

    fn meta(&self, at: At) -> &PartitionMeta {
        &self.topics[at.0].partitions[at.1]
    }

    fn meta_mut(&mut self, at: At) -> &mut PartitionMeta {
        &mut self.topics[at.0].partitions[at.1]
    }

    fn tp(&self, at: At) -> TopicPartition {
        TopicPartition::new(self.topics[at.0].name.clone(), at.1 as i32)
    }

    fn replica(&mut self, at: At, broker: BrokerId) -> &mut Replica {
        self.replicas.get_mut(&(at, broker)).unwrap()
    }

    fn alive(&self, broker: BrokerId) -> bool {
        self.brokers[&broker].alive
    }

    /// The eligible stand-ins: in sync, on a live broker, not the leader.
    fn stand_ins(&self, at: At) -> Vec<BrokerId> {
        let meta = self.meta(at);
        let can =
            |b: &BrokerId| *b != meta.leader && self.alive(*b) && !self.replicas[&(at, *b)].offline;
        meta.isr.iter().copied().filter(can).collect()
    }

    /// Whether a dead in-sync replica has more than every possible stand-in.
    fn waits_for_dead(&self, at: At) -> bool {
        let extent = |b: &BrokerId| {
            let replica = &self.replicas[&(at, *b)];
            (replica.last_epoch, replica.end)
        };
        let meta = self.meta(at);
        let most = self.stand_ins(at).iter().map(extent).max();
        let dead = |b: &&BrokerId| **b != meta.leader && !self.alive(**b);
        let mut dead = meta.isr.iter().filter(dead);
        dead.any(|b| !self.replicas[&(at, *b)].offline && Some(extent(b)) > most)
    }

    /// Whether a client could append.
    fn usable(&self, at: At) -> bool {
        let meta = self.meta(at);
        let leader = &self.replicas[&(at, meta.leader)];
        leader.serves() && !(leader.sealed && leader.epoch == meta.leader_epoch)
    }

    fn new_controller(&mut self) {
        self.state = ControllerState::default();
        // A sealed log stays sealed.
        self.moves.clear();
        self.happen(ControllerEvent::Brokers(self.brokers.clone()));
        for topic in 0..TOPICS.len() {
            self.see(topic);
        }
    }

    fn see(&mut self, topic: usize) {
        let rules = Rules {
            unclean: TOPICS[topic].1,
            lag_max: secs(30),
        };
        self.happen(ControllerEvent::Topic(self.topics[topic].clone(), rules));
    }

    fn happen(&mut self, event: ControllerEvent) {
        let (state, mut todo) = step(std::mem::take(&mut self.state), event, self.now);
        self.state = state;
        self.acts += todo.moves.len() + todo.changes.len();
        if !todo.observations.is_empty() {
            let observed = todo
                .observations
                .drain(..)
                .map(|at| self.observe(at))
                .collect();
            self.happen(ControllerEvent::Observed(observed));
        }
        for planned in todo.moves {
            self.begin_move(planned);
        }
        let mut ended = Vec::new();
        for change in todo.changes {
            let done = (self.calm || !self.chance.one_in(5)) && self.change(&change);
            let (job, tp) = (change.job, change.tp);
            ended.push(Ended { job, tp, done });
        }
        if !ended.is_empty() {
            for topic in 0..TOPICS.len() {
                self.see(topic);
            }
            self.happen(ControllerEvent::Ended(ended));
        }
    }

    fn observe(&mut self, ask: ProbeRequest) -> ProbeResult {
        let at = at_of(&ask.tp);
        assert_eq!(ask.leader, self.meta(at).leader);
        let observations = ask.brokers.iter().map(|b| {
            let replica = &self.replicas[&(at, *b)];
            let observe = if replica.offline {
                ReplicaSnapshot::Offline
            } else {
                ReplicaSnapshot::Page(PageSnapshot {
                    uuid: uuid(*b),
                    sequence: replica.sequence,
                    this_boot: true,
                    whole: !replica.sealed,
                    epoch: replica.epoch,
                    sealed: replica.sealed,
                    moving: None,
                    full: false,
                    joining: Vec::new(),
                    acked: replica.end,
                    last_epoch: replica.last_epoch,
                    end: replica.end,
                })
            };
            (*b, observe)
        });
        let replicas = observations.collect();
        let lock = match (ask.probe, self.replicas[&(at, ask.leader)].stuck) {
            (false, _) => Lock::Untried,
            (true, true) => Lock::Held(0),
            (true, false) => Lock::Free,
        };
        ProbeResult {
            job: ask.job,
            tp: ask.tp,
            replicas,
            lock,
        }
    }

    fn begin_move(&mut self, planned: PlannedMove) {
        let at = at_of(&planned.what.tp);
        let (from, to) = (planned.what.from, planned.what.to);
        assert!(self.meta(at).is_in_sync(to) && self.alive(to) && to != from);
        assert!(!self.replicas[&(at, to)].offline);
        // No log is sealed for a target that is behind and does not copy.
        let target = self.replicas[&(at, to)];
        let leader = self.replica(at, from);
        let approaches = target.serves() || target.end == leader.end;
        if leader.serves() && approaches {
            leader.sealed = true;
            leader.sequence += 1;
        }
        let takes = Duration::from_millis(self.chance.below(2000));
        self.moves.push((self.now + takes, planned));
    }

    fn end_moves(&mut self) {
        let now = self.now;
        let due = self.moves.extract_if(.., |(due, _)| *due <= now).collect();
        let due: Vec<(Duration, PlannedMove)> = due;
        for (_, PlannedMove { job, what, .. }) in due {
            let at = at_of(&what.tp);
            let fails = !self.calm && self.chance.one_in(3);
            let meta = self.meta(at);
            let done = !fails
                && (meta.leader, meta.leader_epoch) == (what.from, what.epoch)
                && meta.is_in_sync(what.to)
                && self.alive(what.to)
                && self.replicas[&(at, what.from)].serves()
                && self.replicas[&(at, what.to)].serves();
            if done {
                let from = self.replicas[&(at, what.from)];
                let to = self.replica(at, what.to);
                (to.end, to.last_epoch) = (from.end, from.last_epoch);
                let before = self.meta(at).clone();
                let meta = self.meta_mut(at);
                meta.leader = what.to;
                meta.leader_epoch += 1;
                meta.isr.retain(|b| !what.drop_from_isr.contains(b));
                self.check(at, &before, false);
            }
            self.see(at.0);
            let tp = what.tp;
            self.happen(ControllerEvent::Ended(vec![Ended { job, tp, done }]));
        }
    }

    fn change(&mut self, change: &Change) -> bool {
        let at = at_of(&change.tp);
        let before = self.meta(at).clone();
        if let ChangeKind::Elect(election) = &change.kind {
            let old = self.replicas[&(at, before.leader)];
            let forced = !old.serves() || (old.sealed && old.epoch == before.leader_epoch);
            assert!(forced, "a fence that nothing called for: {change:?}");
            if election.unclean {
                let none = self.stand_ins(at).is_empty();
                assert!(none || self.waits_for_dead(at), "{change:?}");
            }
        }
        let extents = Replicas(&self.replicas);
        let done = apply(&extents, &mut self.topics[at.0], change);
        if done {
            let unclean = matches!(&change.kind, ChangeKind::Elect(election) if election.unclean);
            self.check(at, &before, unclean);
        }
        done
    }

    /// Checks what holds for every change.
    fn check(&mut self, at: At, before: &PartitionMeta, unclean: bool) {
        let now = self.meta(at).clone();
        assert!(now.is_in_sync(now.leader), "{now:?}");
        assert!(now.isr.iter().all(|b| now.uuid_of(*b).is_some()));
        assert!(now.leader_epoch - before.leader_epoch <= 1);
        if now.leader != before.leader {
            assert_eq!(now.leader_epoch, before.leader_epoch + 1);
        }
        if now.leader_epoch == before.leader_epoch {
            return;
        }
        let end = self.replicas[&(at, now.leader)].end;
        if unclean {
            assert!(TOPICS[at.0].1);
            self.committed.insert(at, end);
        } else {
            assert!(before.is_in_sync(now.leader), "{before:?} {now:?}");
            let committed = self.committed.get(&at).copied().unwrap_or(0);
            assert!(end >= committed, "{end} of {committed}: {before:?} {now:?}");
        }
    }

    /// Clients append and followers copy.
    fn work(&mut self) {
        for at in all() {
            let meta = self.meta(at).clone();
            let epoch = meta.leader_epoch;
            if !self.usable(at) {
                continue;
            }
            let leader = self.replica(at, meta.leader);
            if leader.epoch < epoch {
                (leader.epoch, leader.sealed) = (epoch, false);
            }
            leader.end += 3;
            leader.last_epoch = epoch;
            leader.sequence += 1;
            let leader = *leader;
            for replica in &meta.replicas {
                let broker = replica.broker;
                let now = self.meta(at).clone();
                if now.leader_epoch != epoch || now.uuid_of(broker).is_none() {
                    continue;
                }
                let lazy = !self.calm && self.chance.one_in(3);
                let own = self.replicas[&(at, broker)];
                if broker == meta.leader || !self.alive(broker) || !own.serves() || lazy {
                    continue;
                }
                *self.replica(at, broker) = Replica {
                    sealed: false,
                    ..leader
                };
                if !now.is_in_sync(broker) {
                    self.meta_mut(at).isr.push(broker);
                    self.see(at.0);
                }
            }
            if self.meta(at).leader_epoch != epoch {
                continue;
            }
            let ends = self.meta(at).isr.iter().map(|b| self.replicas[&(at, *b)]);
            let everywhere = ends.map(|r| if r.epoch == epoch { r.end } else { 0 }).min();
            let committed = self.committed.entry(at).or_default();
            *committed = (*committed).max(everywhere.unwrap());
        }
    }

    fn trouble(&mut self) {
        let broker = self.chance.broker();
        let at = (self.chance.below(2) as usize, self.chance.below(3) as usize);
        match self.chance.below(12) {
            0..=3 => {
                let liveness = self.brokers.get_mut(&broker).unwrap();
                liveness.alive = !liveness.alive;
                self.happen(ControllerEvent::Brokers(self.brokers.clone()));
            }
            4 => {
                let liveness = self.brokers.get_mut(&broker).unwrap();
                liveness.drained = !liveness.drained;
                self.happen(ControllerEvent::Brokers(self.brokers.clone()));
            }
            5 | 6 => {
                if let Some(replica) = self.replicas.get_mut(&(at, broker)) {
                    replica.offline = !replica.offline;
                }
            }
            7 => {
                if let Some(replica) = self.replicas.get_mut(&(at, broker)) {
                    replica.stuck = !replica.stuck;
                }
            }
            8 => self.reassign(at),
            9 => self.new_controller(),
            _ => self.happen(ControllerEvent::Reported(vec![self.tp(at)])),
        }
    }

    fn reassign(&mut self, at: At) {
        if self.meta(at).reassignment.is_some() {
            return;
        }
        let first = self.chance.broker();
        let target: Vec<_> = (0..3).map(|n| (first + n * 2 - 1) % 5 + 1).collect();
        let meta = self.meta_mut(at);
        let before = meta.replicas.iter().map(|r| r.broker).collect();
        for broker in &target {
            if meta.uuid_of(*broker).is_none() {
                let (broker, uuid) = (*broker, uuid(*broker));
                meta.replicas.push(ReplicaMeta { broker, uuid });
            }
        }
        let throttle = None;
        meta.reassignment = Some(Reassignment {
            target: target.clone(),
            before,
            throttle,
        });
        for broker in target {
            let known = self.replicas.entry((at, broker)).or_default();
            if !self.topics[at.0].partitions[at.1].is_in_sync(broker) {
                *known = Replica::default();
            }
        }
        self.see(at.0);
    }

    /// Advances time to the next event, at most by `time`.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut turns = 0;
        loop {
            let moves = self.moves.iter().map(|(due, _)| *due).min();
            let next = [self.state.due(), moves].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            turns += 1;
            assert!(turns < 10_000, "it never rests");
            self.now = self.now.max(next);
            self.end_moves();
            self.happen(ControllerEvent::Tick);
        }
        self.now = until;
    }
}

/// A phase with failures, then one without; then every partition that can have a sound leader has
/// one, and nothing more happens.
pub(crate) fn live_through(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..120 {
        world.trouble();
        let time = Duration::from_millis(world.chance.below(1500));
        world.pass(time);
        world.work();
    }
    world.calm = true;
    let could: Vec<_> = all()
        .into_iter()
        .filter(|at| {
            let stand_ins = world.stand_ins(*at);
            let mut fit = stand_ins.iter().map(|b| world.replicas[&(*at, *b)]);
            let may_follow = fit.any(|replica| replica.serves()) && !world.waits_for_dead(*at);
            world.usable(*at) || may_follow
        })
        .collect();
    world.acts = 0;
    let mut acts_at_half = 0;
    for round in 0..120 {
        for at in all() {
            if !world.usable(at) {
                world.happen(ControllerEvent::Reported(vec![world.tp(at)]));
            }
        }
        world.pass(if round < 20 { secs(5) } else { secs(20) });
        world.work();
        if round == 7 {
            for at in &could {
                let meta = world.meta(*at);
                assert!(world.usable(*at), "{seed}: {meta:?} after 40 s");
                let stand_ins = world.stand_ins(*at);
                let mut fit = stand_ins.iter().map(|b| world.replicas[&(*at, *b)]);
                let live = world.alive(meta.leader) || !fit.any(|replica| replica.serves());
                assert!(live, "{seed}: {meta:?} after 40 s");
            }
        }
        if round == 60 {
            acts_at_half = world.acts;
        }
    }
    assert_eq!(world.acts, acts_at_half, "{seed}: it goes on and on");
    assert!(world.acts < 120, "{seed}: {}", world.acts);
    for at in all() {
        let meta = world.meta(at);
        let fine = |b: BrokerId| world.alive(b) && world.replicas[&(at, b)].serves();
        if !world.usable(at) {
            continue;
        }
        let preferred = meta.preferred_leader();
        let led_well = meta.leader == preferred
            || meta.reassignment.is_some()
            || !fine(preferred)
            || world.brokers[&preferred].drained
            || !meta.is_in_sync(preferred);
        assert!(led_well, "{seed}: {meta:?}");
        if world.alive(meta.leader) {
            let in_sync: Vec<_> = meta.isr.iter().filter(|b| !fine(**b)).collect();
            assert!(in_sync.is_empty(), "{seed}: {in_sync:?} in {meta:?}");
        }
        if let Some(to) = &meta.reassignment {
            assert!(!to.target.iter().all(|b| fine(*b)), "{seed}: {meta:?}");
        }
    }
}

#[test]
fn whatever_happens_it_comes_to_a_good_end() {
    for seed in 1..=40 {
        live_through(seed);
    }
}
