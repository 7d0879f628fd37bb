//! Followers, and leaders that could be elsewhere.

use super::*;

#[test]
fn a_healthy_leader_is_looked_at_and_left_alone() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let before = bench.observed;
    assert_eq!(bench.report(), Effects::default());
    assert_eq!(bench.observed, before + 1);
    assert_eq!(bench.pass(secs(150)), Effects::default());
    assert_eq!(bench.observed, before + 1 + 10 * 3);
}

#[test]
fn one_replica_alone_is_nobodys_business() {
    let mut bench = Bench::quiet(partition(&[1], 1, &[1]));
    assert_eq!(bench.broker(1, DOWN), Effects::default());
    assert_eq!(bench.report(), Effects::default());
    assert_eq!((bench.observed, bench.state.due()), (0, None));
}

#[test]
fn followers_that_are_dead_or_of_no_use_leave() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    assert_eq!(taken_out(&bench.broker(3, DOWN)), [3]);
    for of_no_use in [
        ReplicaSnapshot::Gone,
        ReplicaSnapshot::Offline,
        ReplicaSnapshot::Page(page(9, 10)),
    ] {
        let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
        bench.observations.insert(2, of_no_use);
        assert_eq!(taken_out(&bench.pass(secs(15))), [2]);
    }
}

#[test]
fn a_follower_that_is_behind_too_long_leaves() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let begun = bench.now;
    let mut out = None;
    for at in 1..=100 {
        // Broker 2 is always a second behind; broker 3 makes no progress.
        let end = 10 + at * 10;
        bench
            .observations
            .insert(1, ReplicaSnapshot::Page(page(1, end)));
        bench
            .observations
            .insert(2, ReplicaSnapshot::Page(page(2, end - 10)));
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
    let not_ready = PageSnapshot {
        epoch: 3,
        ..page(1, 20)
    };
    bench
        .observations
        .insert(1, ReplicaSnapshot::Page(not_ready));
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
    // The leadership is not transferred back to it, either.
    assert_eq!(bench.pass(secs(100)), Effects::default());
    // If all brokers are drained, leaderships stay.
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
    let sealed = PageSnapshot {
        sealed: true,
        ..page(2, 10)
    };
    bench.observations.insert(2, ReplicaSnapshot::Page(sealed));
    let effects = bench.fail(job);
    assert_eq!(election(&effects).to, 2);
    let change = effects.changes[0].clone();
    assert_eq!(bench.make(&change), Effects::default());
    bench.observations.insert(
        2,
        ReplicaSnapshot::Page(PageSnapshot {
            epoch: 5,
            ..page(2, 10)
        }),
    );
    let follows = PageSnapshot {
        epoch: 5,
        ..page(1, 10)
    };
    bench.observations.insert(1, ReplicaSnapshot::Page(follows));
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
    // Not at a time when followers are probed anyway.
    bench.now += secs(1);
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
        effects = bench.feed(ControllerEvent::Ended(ended.collect()));
    }
    assert_eq!(effects, Effects::default());
    // Each leader at first, each replica for its followers, and each before its transfer.
    assert_eq!(bench.observed, 200 * (1 + 2 + 2));
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
        job: WorkId(1),
        tp: TopicPartition::new(TopicName::new("t").unwrap(), 0),
        topic_id: Uuid([9; 16]),
        leader,
        epoch,
        kind: ChangeKind::Elect(LeaderElection {
            to,
            uuid: uuid(to),
            drop_from_isr: vec![1],
            unclean: false,
            why: "",
            forced: None,
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
    other_directory.kind = ChangeKind::Elect(LeaderElection {
        to: 2,
        uuid: uuid(7),
        drop_from_isr: vec![],
        unclean: true,
        why: "",
        forced: None,
    });
    late.push(other_directory);
    for out in [vec![(1, uuid(1))], vec![(2, uuid(7))], vec![(3, uuid(3))]] {
        let mut change = elect(4, 1, 2);
        change.kind = ChangeKind::TakeOut(out);
        late.push(change);
    }
    for change in late {
        let mut now = meta.clone();
        assert!(!apply(&Nobody, &mut now, &change), "{change:?}");
        assert_eq!(now, meta, "{change:?}");
    }
    let mut now = meta.clone();
    assert!(apply(&Nobody, &mut now, &elect(4, 1, 2)));
    assert_eq!(now.partitions[0].isr, [2]);
}

#[test]
fn in_a_new_epoch_followers_have_all_their_time_again() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    for broker in [1, 2] {
        bench
            .observations
            .insert(broker, ReplicaSnapshot::Page(page(broker, 20)));
    }
    assert_eq!(bench.pass(secs(36)), Effects::default());
    let begun = bench.now;
    bench.topic.partitions[0].leader_epoch = 5;
    assert_eq!(bench.see_topic(), Effects::default());
    for (broker, end) in [(1, 20), (2, 20), (3, 10)] {
        let follows = PageSnapshot {
            epoch: 5,
            ..page(broker, end)
        };
        bench
            .observations
            .insert(broker, ReplicaSnapshot::Page(follows));
    }
    assert_eq!(taken_out(&bench.pass(secs(100))), [3]);
    assert!(bench.now - begun >= secs(30));
}

#[test]
fn a_drained_leader_that_nobody_can_follow_is_not_looked_at_in_a_loop() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.observations.insert(1, ReplicaSnapshot::Offline);
    bench.observations.insert(2, ReplicaSnapshot::Failed);
    assert_eq!(bench.broker(1, DRAINED).notified.len(), 1);
    assert_eq!(bench.pass(secs(600)), Effects::default());
}

#[test]
fn who_is_about_to_join_is_not_waited_for_for_ever() {
    let about_to_join = |version| {
        let joining = vec![Joining {
            replica: uuid(3),
            version,
        }];
        ReplicaSnapshot::Page(PageSnapshot {
            joining,
            ..page(1, 10)
        })
    };
    let renewal = |effects: &Effects| match effects.changes.as_slice() {
        [change] if change.kind == ChangeKind::Renew => change.clone(),
        other => panic!("{other:?}"),
    };
    // Its broker dies before the join.
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2]));
    bench
        .observations
        .insert(1, about_to_join(bench.topic.version));
    let change = renewal(&bench.broker(3, DOWN));
    assert_eq!(bench.make(&change), Effects::default());
    assert_eq!(bench.report(), Effects::default());

    // It started and died between two probes.
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2]));
    assert_eq!(bench.broker(3, DOWN), Effects::default());
    bench
        .observations
        .insert(1, about_to_join(bench.topic.version));
    let died_again = BrokerLiveness {
        incarnation: 2,
        ..DOWN
    };
    renewal(&bench.broker(3, died_again));

    // It counted as dead, joined, was taken out, and died in its next attempt.
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2]));
    assert_eq!(bench.broker(3, DOWN), Effects::default());
    bench.topic.version += 1;
    bench.topic.partitions[0].isr.push(3);
    let effects = bench.see_topic();
    assert_eq!(taken_out(&effects), [3]);
    assert_eq!(bench.make(one_change(&effects)), Effects::default());
    bench
        .observations
        .insert(1, about_to_join(bench.topic.version));
    assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
    renewal(&bench.pass(Duration::from_millis(200)));

    // It is alive, and slow.
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2]));
    bench
        .observations
        .insert(1, about_to_join(bench.topic.version));
    assert_eq!(bench.report(), Effects::default());
    assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
    let change = renewal(&bench.pass(Duration::from_millis(200)));
    assert_eq!(bench.make(&change), Effects::default());

    // An entry for another version does not count.
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2]));
    bench
        .observations
        .insert(1, about_to_join(bench.topic.version - 1));
    assert_eq!(bench.broker(3, DOWN), Effects::default());
}

#[test]
fn what_others_did_is_notified() {
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    assert_eq!(bench.change_notes, [""; 0]);
    let to = |target: &[BrokerId]| {
        Some(Reassignment {
            target: target.to_vec(),
            before: vec![1, 2],
            throttle: None,
        })
    };
    // Begun, and cancelled.
    bench.topic.partitions[0].reassignment = to(&[3, 2]);
    bench.see_topic();
    bench.see_topic();
    assert_eq!(
        std::mem::take(&mut bench.change_notes),
        ["being reassigned: t:0"]
    );
    bench.topic.partitions[0].reassignment = None;
    bench.see_topic();
    let notified = std::mem::take(&mut bench.change_notes);
    assert_eq!(notified, ["reassignment cancelled: t:0"]);
    // Begun and ended.
    bench.topic.partitions[0].reassignment = to(&[1]);
    bench.see_topic();
    bench.topic.partitions[0] = partition(&[1], 1, &[1]);
    bench.see_topic();
    let notified = std::mem::take(&mut bench.change_notes);
    assert_eq!(notified, ["being reassigned: t:0", "reassigned: t:0"]);
    // Led by another broker, not by a change of this controller.
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    let led_by_two = PartitionMeta {
        leader_epoch: 5,
        ..partition(&[1, 2], 2, &[1, 2])
    };
    bench.topic.partitions[0] = led_by_two;
    bench.see_topic();
    assert_eq!(
        bench.change_notes,
        ["broker 2 was given t:0, which broker 1 led"]
    );
    // The same after a change of its own that transferred no leadership.
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let effects = bench.broker(3, DOWN);
    assert_eq!(taken_out(&effects), [3]);
    let change = effects.changes[0].clone();
    bench.make(&change);
    bench.topic.partitions[0] = PartitionMeta {
        leader_epoch: 5,
        ..partition(&[1, 2, 3], 2, &[1, 2])
    };
    bench.see_topic();
    assert_eq!(
        bench.change_notes,
        ["broker 2 was given t:0, which broker 1 led"]
    );
    // Its own change is reported when it is made.
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    let effects = bench.broker(1, DOWN);
    let (job, what) = one_move(&effects);
    let (job, what) = (job, what.clone());
    bench.carry(job, &what);
    assert_eq!(bench.topic.partitions[0].leader, 2);
    assert_eq!(bench.change_notes, [""; 0]);
}
