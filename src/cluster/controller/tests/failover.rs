//! Leaders that cannot go on.

use super::*;
use crate::cluster::controller::partition::Ask;
use crate::timing::{LOCK_STOPPED_AFTER, LOCK_WATCH_BREAK};

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
            bench.observations.insert(broker, ReplicaSnapshot::Gone);
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
fn moves_that_fail_leave_the_leader_to_its_directory_and_are_tried_again() {
    for full in [false, true] {
        let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
        bench
            .observations
            .insert(3, ReplicaSnapshot::Page(page(3, 11)));
        let mut effects = if full {
            let page = page(1, 10);
            bench
                .observations
                .insert(1, ReplicaSnapshot::Page(PageSnapshot { full, ..page }));
            bench.report()
        } else {
            bench.broker(1, DOWN)
        };
        for round in 0..3 {
            for to in [2, 3] {
                let (job, what) = one_move(&effects);
                assert_eq!((what.from, what.to), (1, to), "{round}");
                // Its seal is undone by a new epoch of the same leader.
                bench.topic.partitions[0].leader_epoch += 1;
                let epoch = bench.topic.partitions[0].leader_epoch;
                for (broker, observe) in &mut bench.observations {
                    if let ReplicaSnapshot::Page(page) = observe {
                        page.epoch = epoch;
                        page.full = full && *broker == 1;
                    }
                }
                assert_eq!(bench.see_topic(), Effects::default());
                effects = bench.fail(job);
            }
            assert_eq!(effects, Effects::default(), "{round}");
            let failed = bench.now;
            effects = bench.pass(secs(60));
            assert_eq!(bench.now - failed, secs(10), "{round}");
        }
        let (job, _) = one_move(&effects);
        let (job, _) = one_move(&bench.fail(job));
        assert_eq!(bench.fail(job), Effects::default());
        bench.broker(3, DOWN);
        let effects = bench.broker(3, UP);
        assert!(effects.changes.is_empty(), "{effects:?}");
    }
}

#[test]
fn only_a_dead_one_that_has_more_can_follow_a_leader_that_is_gone() {
    for (unclean, why) in [
        (false, ReplicaSnapshot::Gone),
        (false, ReplicaSnapshot::Offline),
        (true, ReplicaSnapshot::Gone),
    ] {
        let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
        bench.rules.unclean = unclean;
        bench.see_topic();
        bench
            .observations
            .insert(3, ReplicaSnapshot::Page(page(3, 12)));
        // It dies, and stays in sync: its removal from the ISR could not be written.
        let effects = bench.broker(3, DOWN);
        bench.fail(effects.changes[0].job);
        bench.observations.insert(1, why);
        let effects = bench.report();
        if unclean {
            let fence = election(&effects);
            assert_eq!((fence.to, fence.unclean), (2, true));
            continue;
        }
        assert_eq!(effects.notified.len(), 1, "{effects:?}");
        assert!(
            effects.notified[0].contains("start broker 3"),
            "{effects:?}"
        );
        assert!(effects.changes.is_empty() && effects.moves.is_empty());
        let fence = bench.broker(3, UP);
        assert_eq!(election(&fence).to, 3);
    }
}

#[test]
fn a_change_that_fails_is_tried_again_after_a_pause_that_grows() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let mut effects = bench.broker(3, DOWN);
    for pause in [1, 2, 4, 8, 8] {
        assert_eq!(taken_out(&effects), [3]);
        let job = effects.changes[0].job;
        assert_eq!(bench.fail(job), Effects::default());
        let failed = bench.now;
        effects = bench.pass(secs(60));
        assert_eq!(bench.now - failed, secs(pause));
    }
    bench.observations.insert(1, ReplicaSnapshot::Gone);
    assert_eq!(bench.report(), Effects::default());
    let fence = bench.fail(effects.changes[0].job);
    assert_eq!(election(&fence).to, 2);
}

#[test]
fn the_fence_takes_who_has_most() {
    let with = |broker, last_epoch, end| {
        ReplicaSnapshot::Page(PageSnapshot {
            last_epoch,
            ..page(broker, end)
        })
    };
    for why in [
        ReplicaSnapshot::Offline,
        ReplicaSnapshot::Gone,
        ReplicaSnapshot::Page(page(9, 10)), // another directory in its place
    ] {
        for (second, third, to) in [
            (with(2, 4, 10), with(3, 4, 10), 2),
            (with(2, 4, 10), with(3, 4, 11), 3),
            (with(2, 3, 99), with(3, 4, 10), 3),
            (with(2, 4, 10), ReplicaSnapshot::Offline, 2),
            (ReplicaSnapshot::Unreadable, with(3, 0, 0), 3),
            (ReplicaSnapshot::Failed, with(3, 0, 0), 3),
        ] {
            // Broker 4 has most, but is not in sync.
            let mut bench = Bench::quiet(partition(&[1, 2, 3, 4], 1, &[1, 2, 3]));
            bench.observations.insert(1, why.clone());
            bench.observations.insert(2, second.clone());
            bench.observations.insert(3, third);
            bench.observations.insert(4, with(4, 4, 99));
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
    bench.observations.insert(1, ReplicaSnapshot::Offline);
    bench
        .observations
        .insert(3, ReplicaSnapshot::Page(page(3, 11)));
    let effects = bench.report();
    assert_eq!(effects.notified.len(), 1, "{effects:?}");
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
    bench.observations.insert(1, ReplicaSnapshot::Offline);
    bench.observations.insert(2, ReplicaSnapshot::Failed);
    assert_eq!(bench.report().notified.len(), 1);
    assert_eq!(bench.broker(2, DOWN), Effects::default());
    bench
        .observations
        .insert(2, ReplicaSnapshot::Page(page(2, 10)));
    assert_eq!(bench.pass(secs(600)), Effects::default());
    assert_eq!(election(&bench.broker(2, UP)).to, 2);
}

#[test]
fn who_ends_while_the_leaders_disk_is_away_stays_in_sync() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.observations.insert(1, ReplicaSnapshot::Failed);
    assert_eq!(bench.report(), Effects::default());
    assert_eq!(bench.broker(2, DOWN), Effects::default());
    assert_eq!(bench.pass(secs(20)), Effects::default());
    // It is not mounted again, but the other one is: it has all of the log.
    bench.observations.insert(1, ReplicaSnapshot::Gone);
    bench.report();
    assert_eq!(bench.pass(secs(20)), Effects::default());
    assert_eq!(bench.topic.partitions[0].isr, [1, 2]);
    let effects = bench.broker(2, UP);
    assert_eq!(election(&effects).to, 2, "{effects:?}");
}

#[test]
fn an_append_lock_is_watched_for_two_seconds() {
    for (alive, moves) in [(UP, false), (DOWN, false), (UP, true), (DOWN, true)] {
        let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
        bench.lock = Lock::Held(5);
        let mut effects = bench.broker(1, alive);
        assert_eq!(effects, Effects::default());
        if alive == UP {
            assert_eq!(bench.report(), Effects::default());
        }
        let begun = bench.now;
        if moves {
            assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
            let on = PageSnapshot {
                sequence: 8,
                ..page(1, 10)
            };
            bench.observations.insert(1, ReplicaSnapshot::Page(on));
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
            let after = bench.now - begun;
            assert!(
                after >= secs(2) && after < Duration::from_millis(2060),
                "{after:?}"
            );
        }
    }
}

#[test]
fn a_holder_that_beats_is_left_to_its_work_however_long_it_takes() {
    for alive in [UP, DOWN] {
        let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
        bench.lock = Lock::Held(1);
        assert_eq!(bench.broker(1, alive), Effects::default());
        assert_eq!(bench.report(), Effects::default());
        for heartbeat in 2..30 {
            assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
            bench.lock = Lock::Held(heartbeat);
        }
        // Its heartbeat stops, and it counts as stopped 2 s later.
        assert_eq!(bench.pass(Duration::from_millis(1990)), Effects::default());
        let fence = bench.pass(secs(1));
        assert_eq!(election(&fence).to, 2);
    }
}

#[test]
fn a_seal_whose_mover_beats_is_left_to_it() {
    let moving = |heartbeat| {
        ReplicaSnapshot::Page(PageSnapshot {
            moving: Some(heartbeat),
            ..page(1, 10)
        })
    };
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.observations.insert(1, moving(1));
    assert_eq!(bench.report(), Effects::default());
    for heartbeat in 2..30 {
        assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
        bench.observations.insert(1, moving(heartbeat));
    }
    assert_eq!(bench.pass(Duration::from_millis(1990)), Effects::default());
    let undone = bench.pass(secs(1));
    assert_eq!(election(&undone).to, 1);
}

#[test]
fn who_slept_counts_little_of_that_time() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.lock = Lock::Held(0);
    assert_eq!(bench.report(), Effects::default());
    bench.now += secs(5);
    assert_eq!(bench.feed(ControllerEvent::Tick), Effects::default());
    let rest = LOCK_STOPPED_AFTER - LOCK_WATCH_BREAK;
    let nearly = rest - Duration::from_millis(10);
    assert_eq!(bench.pass(nearly), Effects::default());
    assert_eq!(election(&bench.pass(secs(1))).to, 2);
}

#[test]
fn a_seal_without_a_move_is_lifted_by_a_new_epoch() {
    let sealed = PageSnapshot {
        sealed: true,
        ..page(1, 10)
    };
    for reported in [false, true] {
        let mut bench = Bench::new(partition(&[1, 2], 1, &[1, 2]));
        let mut effects = Effects::default();
        if reported {
            effects = bench.see_topic();
        }
        assert_eq!(effects, Effects::default());
        bench
            .observations
            .insert(1, ReplicaSnapshot::Page(sealed.clone()));
        effects = if reported {
            bench.report()
        } else {
            bench.see_topic()
        };
        let fence = election(&effects);
        assert_eq!((fence.to, fence.drop_from_isr.len()), (1, 0));
        let change = effects.changes[0].clone();
        // The state page is sealed until its promotion; that is no reason for another epoch.
        assert_eq!(bench.make(&change), Effects::default());
        assert_eq!(bench.report(), Effects::default());
        assert_eq!(bench.pass(secs(600)), Effects::default());
    }
}

#[test]
fn a_sealed_leader_that_lost_records_gives_way_and_is_in_sync_no_more() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    let sealed = PageSnapshot {
        sealed: true,
        ..page(1, 9)
    };
    bench.observations.insert(1, ReplicaSnapshot::Page(sealed));
    let effects = bench.report();
    let fence = election(&effects);
    assert_eq!((fence.to, fence.drop_from_isr.as_slice()), (2, &[1][..]));
}

#[test]
fn who_alone_has_what_a_sealed_leader_lost_is_waited_for() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    let sealed = PageSnapshot {
        sealed: true,
        ..page(1, 9)
    };
    bench.observations.insert(1, ReplicaSnapshot::Page(sealed));
    // It dies, and stays in sync: its removal from the ISR could not be written.
    let effects = bench.broker(2, DOWN);
    bench.fail(effects.changes[0].job);
    let effects = bench.broker(1, DOWN);
    assert_eq!(effects.notified.len(), 1, "{effects:?}");
    assert!(effects.changes.is_empty() && effects.moves.is_empty());
    let effects = bench.broker(2, UP);
    assert!(effects.notified.is_empty());
    let (_, planned) = one_move(&effects);
    assert_eq!(planned.to, 2);
}

#[test]
fn a_move_that_failed_is_undone_though_the_broker_is_back() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    let effects = bench.broker(1, DOWN);
    let (job, _) = one_move(&effects);
    assert_eq!(bench.broker(1, UP), Effects::default());
    let sealed = PageSnapshot {
        sealed: true,
        ..page(1, 10)
    };
    bench.observations.insert(1, ReplicaSnapshot::Page(sealed));
    let effects = bench.fail(job);
    let fence = election(&effects);
    assert_eq!((fence.to, fence.drop_from_isr.len()), (1, 0));
}

#[test]
fn a_lock_that_is_kept_is_no_reason_for_an_unclean_election() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1]));
    bench.rules.unclean = true;
    assert_eq!(bench.see_topic(), Effects::default());
    bench.lock = Lock::Held(0);
    assert_eq!(bench.report(), Effects::default());
    let effects = bench.pass(secs(10));
    assert_eq!(effects.notified.len(), 1, "{effects:?}");
    assert!(effects.changes.is_empty() && effects.moves.is_empty());
}

#[test]
fn nobody_dead_leaves_before_the_leader_is_known_to_have_lost_nothing() {
    // After a power cut: the daemon of 3 is not back, and 1 has not recovered its log yet.
    let mut bench = Bench::new(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    for broker in 1..=3 {
        let of_before = PageSnapshot {
            this_boot: false,
            ..page(broker, 5)
        };
        bench
            .observations
            .insert(broker, ReplicaSnapshot::Page(of_before));
    }
    assert_eq!(bench.broker(3, DOWN), Effects::default());
    assert_eq!(bench.see_topic(), Effects::default());
    assert_eq!(bench.pass(secs(3)), Effects::default());
    // It lost the same records as 2: the partition waits for 3.
    let sealed = PageSnapshot {
        sealed: true,
        ..page(1, 4)
    };
    bench
        .observations
        .insert(1, ReplicaSnapshot::Page(sealed.clone()));
    bench
        .observations
        .insert(2, ReplicaSnapshot::Page(page(2, 4)));
    let effects = bench.pass(secs(3));
    assert_eq!(effects.notified.len(), 1, "{effects:?}");
    assert!(effects.changes.is_empty() && effects.moves.is_empty());
    assert_eq!(bench.pass(secs(60)), Effects::default());
    let effects = bench.broker(1, DOWN);
    assert!(effects.changes.is_empty() && effects.moves.is_empty());
    bench.broker(1, UP);
    bench
        .observations
        .insert(3, ReplicaSnapshot::Page(page(3, 5)));
    let effects = bench.broker(3, UP);
    let fence = election(&effects);
    assert_eq!((fence.to, fence.drop_from_isr.as_slice()), (3, &[1][..]));
}

#[test]
fn the_dead_leave_a_leader_that_lost_nothing() {
    let mut bench = Bench::new(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let of_before = PageSnapshot {
        this_boot: false,
        ..page(1, 5)
    };
    bench
        .observations
        .insert(1, ReplicaSnapshot::Page(of_before));
    bench.broker(3, DOWN);
    assert_eq!(bench.see_topic(), Effects::default());
    bench
        .observations
        .insert(1, ReplicaSnapshot::Page(page(1, 5)));
    assert_eq!(taken_out(&bench.pass(secs(3))), [3]);
}

#[test]
fn a_full_disk_gives_way_to_one_with_room() {
    let full = |broker| {
        let full = true;
        let end = 10;
        ReplicaSnapshot::Page(PageSnapshot {
            full,
            ..page(broker, end)
        })
    };
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    bench.observations.insert(1, full(1));
    bench.observations.insert(2, full(2));
    let effects = bench.report();
    let (job, planned) = one_move(&effects);
    assert_eq!(
        (planned.to, planned.drop_from_isr.as_slice()),
        (3, &[1][..])
    );
    let planned = planned.clone();
    bench.carry(job, &planned);
    bench.topic.partitions[0].isr.push(1);
    bench.see_topic();
    assert_eq!(bench.pass(secs(20)), Effects::default());
    bench
        .observations
        .insert(1, ReplicaSnapshot::Page(page(1, 10)));
    let effects = bench.pass(secs(60));
    let (_, back) = one_move(&effects);
    assert_eq!(back.to, 1);
}

#[test]
fn where_all_disks_are_full_the_leader_stays() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    for broker in 1..=2 {
        let full = true;
        let page = page(broker, 10);
        bench
            .observations
            .insert(broker, ReplicaSnapshot::Page(PageSnapshot { full, ..page }));
    }
    assert_eq!(bench.report(), Effects::default());
    let effects = bench.broker(1, DOWN);
    let (_, planned) = one_move(&effects);
    assert_eq!(planned.to, 2);
}

#[test]
fn what_a_dead_one_in_sync_has_and_nobody_can_read_is_waited_for_by_one_that_lost_records() {
    for unread in [
        ReplicaSnapshot::Gone,
        ReplicaSnapshot::BadDisk,
        ReplicaSnapshot::Unreadable,
        ReplicaSnapshot::Failed,
    ] {
        for forced in [false, true] {
            for lost in [false, true] {
                let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
                let page = |broker| PageSnapshot {
                    whole: !lost,
                    sealed: lost && broker == 1,
                    ..page(broker, 9)
                };
                for broker in [1, 2] {
                    bench
                        .observations
                        .insert(broker, ReplicaSnapshot::Page(page(broker)));
                }
                if forced {
                    bench.observations.insert(1, ReplicaSnapshot::Gone);
                }
                bench.observations.insert(3, unread.clone());
                // Both come in one turn, so that it is not taken out before.
                bench.brokers.insert(3, DOWN);
                bench.state.topics.values_mut().for_each(|topic| {
                    topic
                        .partitions
                        .iter_mut()
                        .for_each(|p| p.ask(Ask::REPORTED));
                });
                let effects = bench.see_brokers();
                let case = format!("{unread:?} {forced} {lost}: {effects:?}");
                match (lost, forced) {
                    (true, _) => {
                        assert_eq!(effects.notified.len(), 1, "{case}");
                        assert!(effects.notified[0].contains("broker 3"), "{case}");
                        assert!(effects.changes.is_empty(), "{case}");
                        assert!(effects.moves.is_empty(), "{case}");
                        bench
                            .observations
                            .insert(3, ReplicaSnapshot::Page(super::page(3, 12)));
                        assert_eq!(election(&bench.broker(3, UP)).to, 3, "{case}");
                    }
                    (false, true) => assert_eq!(election(&effects).to, 2, "{case}"),
                    (false, false) => assert_eq!(taken_out(&effects), [3], "{case}"),
                }
            }
        }
    }
}
