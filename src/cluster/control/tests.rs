//! The rules, one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::changes::apply;
use super::state::{
    Change, ChangeKind, Effects, Election, Ended, Event, Job, Lock, Look, Looked, PageLook, Rules,
    Standing, State,
};
use super::step::step;
use crate::cluster::moves::Move;
use crate::store::topics::{PartitionMeta, Reassignment, ReplicaMeta, TopicMeta};
use crate::types::{BrokerId, TopicName, TopicPartition, Uuid};

fn uuid(broker: BrokerId) -> Uuid {
    Uuid([broker as u8 + 1; 16])
}

fn partition(replicas: &[BrokerId], leader: BrokerId, isr: &[BrokerId]) -> PartitionMeta {
    let replica = |b: &BrokerId| ReplicaMeta {
        broker: *b,
        uuid: uuid(*b),
    };
    PartitionMeta {
        partition: 0,
        leader,
        leader_epoch: 4,
        replicas: replicas.iter().map(replica).collect(),
        isr: isr.to_vec(),
        reassignment: None,
    }
}

fn page(broker: BrokerId, end: i64) -> PageLook {
    PageLook {
        uuid: uuid(broker),
        sequence: 7,
        this_boot: true,
        epoch: 4,
        sealed: false,
        moving: false,
        full: false,
        acked: end,
        last_epoch: 4,
        end,
    }
}

/// One topic, whose looks are answered at once.
struct Bench {
    state: State,
    now: Duration,
    brokers: BTreeMap<BrokerId, Standing>,
    topic: TopicMeta,
    rules: Rules,
    looks: BTreeMap<BrokerId, Look>,
    lock: Lock,
    looked: usize,
}

const UP: Standing = Standing {
    alive: true,
    drained: false,
};
const DOWN: Standing = Standing {
    alive: false,
    drained: false,
};
const DRAINED: Standing = Standing {
    alive: true,
    drained: true,
};

impl Bench {
    /// Brokers 1 to 4, all fine; in office.
    fn new(partition: PartitionMeta) -> Self {
        Bench::with(vec![partition])
    }

    fn with(mut partitions: Vec<PartitionMeta>) -> Self {
        for (at, partition) in partitions.iter_mut().enumerate() {
            partition.partition = at as i32;
        }
        let mut bench = Bench {
            state: State::default(),
            now: Duration::from_secs(1000),
            brokers: (1..=4).map(|b| (b, UP)).collect(),
            topic: TopicMeta {
                name: TopicName::new("t").unwrap(),
                topic_id: Uuid([9; 16]),
                version: 1,
                explicit: BTreeMap::new(),
                partitions,
                retired: Vec::new(),
            },
            rules: Rules {
                unclean: false,
                lag_max: Duration::from_secs(30),
            },
            looks: (1..=4).map(|b| (b, Look::Page(page(b, 10)))).collect(),
            lock: Lock::Free,
            looked: 0,
        };
        let nothing = bench.see_brokers();
        assert_eq!(nothing, Effects::default());
        bench
    }

    /// In office, with nothing to do.
    fn quiet(partition: PartitionMeta) -> Self {
        let mut bench = Bench::new(partition);
        assert_eq!(bench.see_topic(), Effects::default());
        bench
    }

    fn feed(&mut self, event: Event) -> Effects {
        let (state, mut all) = step(std::mem::take(&mut self.state), event, self.now);
        self.state = state;
        while !all.looks.is_empty() {
            let looks = std::mem::take(&mut all.looks);
            self.looked += looks.iter().map(|at| at.brokers.len()).sum::<usize>();
            let answers = looks.into_iter().map(|at| Looked {
                job: at.job,
                tp: at.tp,
                replicas: at
                    .brokers
                    .iter()
                    .map(|b| (*b, self.looks[b].clone()))
                    .collect(),
                lock: if at.probe { self.lock } else { Lock::Untried },
            });
            let event = Event::Looked(answers.collect());
            let (state, more) = step(std::mem::take(&mut self.state), event, self.now);
            self.state = state;
            all.looks.extend(more.looks);
            all.moves.extend(more.moves);
            all.changes.extend(more.changes);
            all.told.extend(more.told);
        }
        all
    }

    fn see_brokers(&mut self) -> Effects {
        self.feed(Event::Brokers(self.brokers.clone()))
    }

    fn see_topic(&mut self) -> Effects {
        self.feed(Event::Topic(self.topic.clone(), self.rules))
    }

    fn broker(&mut self, broker: BrokerId, standing: Standing) -> Effects {
        self.brokers.insert(broker, standing);
        self.see_brokers()
    }

    fn report(&mut self) -> Effects {
        let tp = TopicPartition::new(self.topic.name.clone(), 0);
        self.feed(Event::Reported(vec![tp]))
    }

    /// Time passes, and what is due is done as it becomes due.
    fn pass(&mut self, time: Duration) -> Effects {
        let until = self.now + time;
        let mut all = Effects::default();
        while let Some(due) = self.state.due().filter(|due| *due <= until) {
            assert!(
                due > self.now || all == Effects::default(),
                "due again at once at {:?}",
                self.now
            );
            self.now = self.now.max(due);
            let more = self.feed(Event::Tick);
            all.moves.extend(more.moves);
            all.changes.extend(more.changes);
            all.told.extend(more.told);
            if all != Effects::default() {
                return all;
            }
        }
        self.now = until;
        all
    }

    fn fail(&mut self, job: Job) -> Effects {
        self.end(job, false)
    }

    fn end(&mut self, job: Job, done: bool) -> Effects {
        let tp = TopicPartition::new(self.topic.name.clone(), 0);
        self.feed(Event::Ended(vec![Ended { job, tp, done }]))
    }

    /// The change is made, and its end told; what comes of that.
    fn make(&mut self, change: &Change) -> Effects {
        assert!(apply(&mut self.topic, change), "{change:?}");
        assert_eq!(self.see_topic(), Effects::default());
        self.end(change.job, true)
    }

    /// The move is made.
    fn carry(&mut self, job: Job, what: &Move) -> Effects {
        let partition = &mut self.topic.partitions[what.tp.partition as usize];
        assert_eq!(what.from, partition.leader);
        assert_eq!(what.epoch, partition.leader_epoch);
        assert!(partition.isr.contains(&what.to));
        partition.leader = what.to;
        partition.leader_epoch += 1;
        partition.isr.retain(|b| !what.drop_from_isr.contains(b));
        assert_eq!(self.see_topic(), Effects::default());
        let tp = what.tp.clone();
        let done = true;
        self.feed(Event::Ended(vec![Ended { job, tp, done }]))
    }
}

#[track_caller]
fn one_move(effects: &Effects) -> (Job, &Move) {
    assert_eq!(effects.moves.len(), 1, "{effects:?}");
    assert_eq!(effects.changes, [], "{effects:?}");
    (effects.moves[0].job, &effects.moves[0].what)
}

#[track_caller]
fn one_change(effects: &Effects) -> &Change {
    assert_eq!(effects.changes.len(), 1, "{effects:?}");
    assert_eq!(effects.moves, [], "{effects:?}");
    &effects.changes[0]
}

#[track_caller]
fn election(effects: &Effects) -> &Election {
    match &one_change(effects).kind {
        ChangeKind::Elect(election) => election,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn taken_out(effects: &Effects) -> Vec<BrokerId> {
    match &one_change(effects).kind {
        ChangeKind::TakeOut(out) => out.iter().map(|(b, _)| *b).collect(),
        other => panic!("{other:?}"),
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_dead_leader_gives_way_to_the_first_that_can() {
    for (replicas, isr, gone, drained, to) in [
        (vec![1, 2, 3], vec![1, 2, 3], vec![], vec![], Some(2)),
        (vec![2, 1, 3], vec![1, 3, 2], vec![], vec![], Some(2)),
        (vec![1, 2, 3], vec![1, 3], vec![], vec![], Some(3)),
        (vec![1, 2, 3], vec![1, 2, 3], vec![2], vec![], Some(3)),
        (vec![1, 2, 3], vec![1, 2, 3], vec![], vec![2], Some(3)),
        (vec![1, 2], vec![1, 2], vec![], vec![2], Some(2)),
        (vec![1, 2, 3], vec![1], vec![], vec![], None),
    ] {
        let mut bench = Bench::new(partition(&replicas, 1, &isr));
        bench.brokers.insert(1, DOWN);
        for broker in drained {
            bench.brokers.insert(broker, DRAINED);
        }
        for broker in gone {
            bench.looks.insert(broker, Look::Gone);
        }
        bench.see_brokers();
        let effects = bench.see_topic();
        let case = format!("{replicas:?} {isr:?}: {effects:?}");
        match to {
            Some(to) => {
                let (_, what) = one_move(&effects);
                assert_eq!((what.from, what.epoch, what.to), (1, 4, to), "{case}");
                assert!(what.drop_from_isr.contains(&1), "{case}");
            }
            None => {
                assert_eq!(effects, Effects::default(), "{case}");
                assert_eq!(bench.pass(secs(3600)), Effects::default());
            }
        }
    }
}

#[test]
fn who_has_no_live_stand_in_serves_on_until_one_is_back() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    let effects = bench.broker(2, DOWN);
    assert_eq!(taken_out(&effects), [2]);
    let change = effects.changes[0].clone();
    assert_eq!(bench.make(&change), Effects::default());
    assert_eq!(bench.broker(1, DOWN), Effects::default());
    assert_eq!(bench.broker(2, UP), Effects::default());
    bench.topic.partitions[0].isr.push(2);
    assert_eq!(one_move(&bench.see_topic()).1.to, 2);
}

#[test]
fn both_dead_leaves_the_leader_alone_in_sync() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.brokers.insert(1, DOWN);
    let effects = bench.broker(2, DOWN);
    assert_eq!(taken_out(&effects), [2]);
    let change = effects.changes[0].clone();
    assert_eq!(bench.make(&change), Effects::default());
    assert_eq!(bench.topic.partitions[0].isr, [1]);
}

#[test]
fn moves_that_fail_end_in_the_bare_fence() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    bench.looks.insert(3, Look::Page(page(3, 11)));
    let effects = bench.broker(1, DOWN);
    let (job, what) = one_move(&effects);
    assert_eq!(what.to, 2);
    let effects = bench.fail(job);
    let (job, what) = one_move(&effects);
    assert_eq!(what.to, 3);
    let effects = bench.fail(job);
    let fence = election(&effects);
    assert_eq!((fence.to, fence.unclean), (3, false));
    let change = effects.changes[0].clone();
    assert_eq!(bench.make(&change), Effects::default());
    let now = &bench.topic.partitions[0];
    assert_eq!((now.leader, now.leader_epoch), (3, 5));
    assert_eq!(now.isr, [2, 3]);
}

#[test]
fn a_change_that_fails_is_tried_again_after_a_pause_that_grows() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let mut effects = bench.broker(3, DOWN);
    for pause in [1, 2, 4, 8] {
        assert_eq!(taken_out(&effects), [3]);
        let job = effects.changes[0].job;
        assert_eq!(bench.fail(job), Effects::default());
        let failed = bench.now;
        effects = bench.pass(secs(60));
        assert_eq!(bench.now - failed, secs(pause));
    }
}

#[test]
fn the_fence_takes_who_has_most() {
    let with = |broker, last_epoch, end| {
        Look::Page(PageLook {
            last_epoch,
            ..page(broker, end)
        })
    };
    for why in [
        Look::Offline,
        Look::Gone,
        Look::Page(page(9, 10)), // another directory in its place
    ] {
        for (second, third, to) in [
            (with(2, 4, 10), with(3, 4, 10), 2),
            (with(2, 4, 10), with(3, 4, 11), 3),
            (with(2, 3, 99), with(3, 4, 10), 3),
            (with(2, 4, 10), Look::Offline, 2),
            (Look::Unreadable, with(3, 0, 0), 3),
            (Look::Failed, with(3, 0, 0), 3),
        ] {
            // Broker 4 has most, but is not in sync.
            let mut bench = Bench::quiet(partition(&[1, 2, 3, 4], 1, &[1, 2, 3]));
            bench.looks.insert(1, why.clone());
            bench.looks.insert(2, second.clone());
            bench.looks.insert(3, third);
            bench.looks.insert(4, with(4, 4, 99));
            let effects = bench.report();
            let fence = election(&effects);
            assert_eq!((fence.to, fence.unclean), (to, false), "{why:?} {second:?}");
            assert!(fence.drop_from_isr.contains(&1));
        }
    }
}

#[test]
fn nobody_out_of_sync_is_elected_unless_the_topic_allows_it() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1]));
    bench.looks.insert(1, Look::Offline);
    bench.looks.insert(3, Look::Page(page(3, 11)));
    let effects = bench.report();
    assert_eq!(effects.told.len(), 1, "{effects:?}");
    assert!(effects.moves.is_empty() && effects.changes.is_empty());
    assert_eq!(bench.report(), Effects::default());
    assert_eq!(bench.pass(secs(600)), Effects::default());
    bench.rules.unclean = true;
    let effects = bench.see_topic();
    let fence = election(&effects);
    assert_eq!((fence.to, fence.unclean), (3, true));
    let change = effects.changes[0].clone();
    bench.make(&change);
    assert_eq!(bench.topic.partitions[0].isr, [3]);
}

#[test]
fn a_directory_that_serves_is_never_left_for_one_out_of_sync() {
    let mut bench = Bench::new(partition(&[1, 2], 1, &[1]));
    bench.rules.unclean = true;
    bench.brokers.insert(1, DOWN);
    bench.see_brokers();
    assert_eq!(bench.see_topic(), Effects::default());
}

#[test]
fn where_nobody_can_lead_those_in_sync_are_waited_for() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.looks.insert(1, Look::Offline);
    bench.looks.insert(2, Look::Failed);
    assert_eq!(bench.report().told.len(), 1);
    assert_eq!(bench.broker(2, DOWN), Effects::default());
    bench.looks.insert(2, Look::Page(page(2, 10)));
    assert_eq!(bench.pass(secs(600)), Effects::default());
    assert_eq!(election(&bench.broker(2, UP)).to, 2);
}

#[test]
fn an_append_lock_is_watched_for_two_seconds() {
    for (alive, moves) in [(UP, false), (DOWN, false), (UP, true), (DOWN, true)] {
        let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
        bench.lock = Lock::Held;
        let mut effects = bench.broker(1, alive);
        assert_eq!(effects, Effects::default());
        if alive == UP {
            assert_eq!(bench.report(), Effects::default());
        }
        let begun = bench.now;
        if moves {
            assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
            let on = PageLook {
                sequence: 8,
                ..page(1, 10)
            };
            bench.looks.insert(1, Look::Page(on));
            effects = bench.pass(secs(10));
            if alive == UP {
                assert_eq!(effects, Effects::default());
            } else {
                assert_eq!(one_move(&effects).1.to, 2);
            }
        } else {
            effects = bench.pass(secs(10));
            let fence = election(&effects);
            assert_eq!((fence.to, fence.drop_from_isr[0]), (2, 1));
            assert_eq!(bench.now - begun, secs(2));
        }
    }
}

#[test]
fn who_slept_watches_a_lock_anew() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.lock = Lock::Held;
    assert_eq!(bench.report(), Effects::default());
    bench.now += secs(5);
    assert_eq!(bench.feed(Event::Tick), Effects::default());
    assert_eq!(bench.pass(Duration::from_millis(1990)), Effects::default());
    assert_eq!(election(&bench.pass(secs(1))).to, 2);
}

#[test]
fn a_seal_without_a_move_is_lifted_by_a_new_epoch() {
    let sealed = PageLook {
        sealed: true,
        ..page(1, 10)
    };
    // What the next controller finds, and what a report leads to.
    for reported in [false, true] {
        let mut bench = Bench::new(partition(&[1, 2], 1, &[1, 2]));
        let mut effects = Effects::default();
        if reported {
            effects = bench.see_topic();
        }
        assert_eq!(effects, Effects::default());
        bench.looks.insert(1, Look::Page(sealed));
        effects = if reported {
            bench.report()
        } else {
            bench.see_topic()
        };
        let fence = election(&effects);
        assert_eq!((fence.to, fence.drop_from_isr.len()), (1, 0));
        let change = effects.changes[0].clone();
        // The page is sealed until somebody promotes it; that is no reason for another epoch.
        assert_eq!(bench.make(&change), Effects::default());
        assert_eq!(bench.report(), Effects::default());
        assert_eq!(bench.pass(secs(600)), Effects::default());
    }
}

#[test]
fn a_sealed_leader_that_lost_records_gives_way_and_is_in_sync_no_more() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    let sealed = PageLook {
        sealed: true,
        ..page(1, 9)
    };
    bench.looks.insert(1, Look::Page(sealed));
    let effects = bench.report();
    let fence = election(&effects);
    assert_eq!((fence.to, fence.drop_from_isr.as_slice()), (2, &[1][..]));
}

#[test]
fn a_healthy_leader_is_looked_at_and_left_alone() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let before = bench.looked;
    assert_eq!(bench.report(), Effects::default());
    assert_eq!(bench.looked, before + 1);
    assert_eq!(bench.pass(secs(150)), Effects::default());
    assert_eq!(bench.looked, before + 1 + 10 * 3);
}

#[test]
fn one_replica_alone_is_nobodys_business() {
    let mut bench = Bench::quiet(partition(&[1], 1, &[1]));
    assert_eq!(bench.broker(1, DOWN), Effects::default());
    assert_eq!(bench.report(), Effects::default());
    assert_eq!((bench.looked, bench.state.due()), (0, None));
}

#[test]
fn followers_that_are_dead_or_of_no_use_leave() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    assert_eq!(taken_out(&bench.broker(3, DOWN)), [3]);
    for of_no_use in [Look::Gone, Look::Offline, Look::Page(page(9, 10))] {
        let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
        bench.looks.insert(2, of_no_use);
        assert_eq!(taken_out(&bench.pass(secs(15))), [2]);
    }
}

#[test]
fn a_follower_that_is_behind_too_long_leaves() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let begun = bench.now;
    let mut out = None;
    for at in 1..=100 {
        // Broker 2 is always a second behind; broker 3 stands still.
        let end = 10 + at * 10;
        bench.looks.insert(1, Look::Page(page(1, end)));
        bench.looks.insert(2, Look::Page(page(2, end - 10)));
        let effects = bench.pass(secs(1));
        if effects != Effects::default() {
            assert_eq!(taken_out(&effects), [3]);
            out = Some(bench.now - begun);
            break;
        }
    }
    let out = out.expect("out");
    assert!((secs(30)..=secs(60)).contains(&out), "{out:?}");
}

#[test]
fn nobody_is_behind_a_leader_that_is_not_ready() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    let not_ready = PageLook {
        epoch: 3,
        ..page(1, 20)
    };
    bench.looks.insert(1, Look::Page(not_ready));
    assert_eq!(bench.pass(secs(300)), Effects::default());
}

#[test]
fn a_drained_leader_gives_way() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let effects = bench.broker(1, DRAINED);
    let (job, what) = one_move(&effects);
    assert_eq!((what.to, what.drop_from_isr.len()), (2, 0));
    let what = what.clone();
    assert_eq!(bench.carry(job, &what), Effects::default());
    // And is not led back to.
    assert_eq!(bench.pass(secs(100)), Effects::default());
    // Where all are drained, everything stays.
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.brokers.insert(2, DRAINED);
    assert_eq!(bench.broker(1, DRAINED), Effects::default());
}

#[test]
fn the_preferred_leader_leads_again_once_all_is_stable() {
    let mut bench = Bench::quiet(partition(&[1, 2], 2, &[2, 1]));
    let begun = bench.now;
    let effects = bench.pass(secs(10));
    assert_eq!(one_move(&effects).1.to, 1);
    assert_eq!(bench.now - begun, secs(5));
    for (isr, first, reassigned) in [
        (vec![2], UP, false),
        (vec![2, 1], DRAINED, false),
        (vec![2, 1], UP, true),
    ] {
        let mut p = partition(&[1, 2], 2, &isr);
        p.reassignment = reassigned.then(|| Reassignment {
            target: vec![1, 2, 3],
            before: vec![1, 2],
            throttle: None,
        });
        let mut bench = Bench::quiet(p);
        bench.broker(1, first);
        assert_eq!(bench.pass(secs(600)), Effects::default());
    }
}

#[test]
fn a_move_back_that_fails_is_undone_and_not_repeated_soon() {
    let mut bench = Bench::quiet(partition(&[1, 2], 2, &[2, 1]));
    let (job, _) = one_move(&bench.pass(secs(5)));
    let sealed = PageLook {
        sealed: true,
        ..page(2, 10)
    };
    bench.looks.insert(2, Look::Page(sealed));
    let effects = bench.fail(job);
    assert_eq!(election(&effects).to, 2);
    let change = effects.changes[0].clone();
    assert_eq!(bench.make(&change), Effects::default());
    bench.looks.insert(
        2,
        Look::Page(PageLook {
            epoch: 5,
            ..page(2, 10)
        }),
    );
    let follows = PageLook {
        epoch: 5,
        ..page(1, 10)
    };
    bench.looks.insert(1, Look::Page(follows));
    let mut pauses = Vec::new();
    let mut last = bench.now;
    for _ in 0..8 {
        let effects = bench.pass(secs(3600));
        pauses.push((bench.now - last).as_secs());
        last = bench.now;
        let (job, _) = one_move(&effects);
        assert_eq!(bench.fail(job), Effects::default());
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600]);
}

#[test]
fn leaders_are_moved_back_a_few_at_a_time() {
    let mut bench = Bench::with(vec![partition(&[1, 2], 2, &[2, 1]); 200]);
    assert_eq!(bench.see_topic(), Effects::default());
    let mut effects = bench.pass(secs(5));
    let mut left = 200;
    while left > 0 {
        assert_eq!(effects.moves.len(), left.min(64));
        left -= effects.moves.len();
        for planned in &effects.moves {
            let p = &mut bench.topic.partitions[planned.what.tp.partition as usize];
            (p.leader, p.leader_epoch) = (1, 5);
        }
        assert_eq!(bench.see_topic(), Effects::default());
        let ended = effects.moves.iter().map(|planned| Ended {
            job: planned.job,
            tp: planned.what.tp.clone(),
            done: true,
        });
        effects = bench.feed(Event::Ended(ended.collect()));
    }
    assert_eq!(effects, Effects::default());
    assert!(bench.looked < 200 * 5, "{}", bench.looked);
}

#[test]
fn a_reassignment_ends_once_every_target_is_in_sync() {
    let mut p = partition(&[1, 2, 3, 4], 1, &[1, 2, 3]);
    p.reassignment = Some(Reassignment {
        target: vec![3, 4],
        before: vec![1, 2],
        throttle: None,
    });
    let mut bench = Bench::quiet(p);
    assert_eq!(bench.pass(secs(100)), Effects::default());
    bench.topic.partitions[0].isr.push(4);
    let effects = bench.see_topic();
    let (job, what) = one_move(&effects);
    assert_eq!(what.to, 3);
    let what = what.clone();
    let effects = bench.carry(job, &what);
    let change = one_change(&effects).clone();
    assert!(matches!(change.kind, ChangeKind::Finish(_)));
    assert_eq!(bench.make(&change), Effects::default());
    let now = &bench.topic.partitions[0];
    let replicas: Vec<_> = now.replicas.iter().map(|r| r.broker).collect();
    assert_eq!((replicas, now.isr.clone()), (vec![3, 4], vec![3, 4]));
    assert_eq!(now.reassignment, None);
    let retired: Vec<_> = bench
        .topic
        .retired
        .iter()
        .map(|r| (r.broker, r.uuid))
        .collect();
    assert_eq!(retired, [(1, uuid(1)), (2, uuid(2))]);
}

#[test]
fn a_late_change_changes_nothing() {
    let elect = |epoch, leader, to| Change {
        job: Job(1),
        tp: TopicPartition::new(TopicName::new("t").unwrap(), 0),
        topic_id: Uuid([9; 16]),
        leader,
        epoch,
        kind: ChangeKind::Elect(Election {
            to,
            uuid: uuid(to),
            drop_from_isr: vec![1],
            unclean: false,
            why: "",
        }),
    };
    let meta = Bench::new(partition(&[1, 2, 3], 1, &[1, 2])).topic;
    let mut late = vec![
        elect(3, 1, 2),
        elect(5, 1, 2),
        elect(4, 2, 2),
        elect(4, 1, 3), // not in sync
    ];
    let mut other_topic = elect(4, 1, 2);
    other_topic.topic_id = Uuid([8; 16]);
    late.push(other_topic);
    let mut other_directory = elect(4, 1, 2);
    other_directory.kind = ChangeKind::Elect(Election {
        to: 2,
        uuid: uuid(7),
        drop_from_isr: vec![],
        unclean: true,
        why: "",
    });
    late.push(other_directory);
    for out in [vec![(1, uuid(1))], vec![(2, uuid(7))], vec![(3, uuid(3))]] {
        let mut change = elect(4, 1, 2);
        change.kind = ChangeKind::TakeOut(out);
        late.push(change);
    }
    for change in late {
        let mut now = meta.clone();
        assert!(!apply(&mut now, &change), "{change:?}");
        assert_eq!(now, meta, "{change:?}");
    }
    let mut now = meta.clone();
    assert!(apply(&mut now, &elect(4, 1, 2)));
    assert_eq!(now.partitions[0].isr, [2]);
}
