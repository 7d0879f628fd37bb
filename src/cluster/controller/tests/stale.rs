//! Outdated knowledge of a leader, of its epoch or of a change.

use super::*;

/// Fails the change `times` in a row, each time it is retried; returns the length of the last
/// pause.
fn fails_again(bench: &mut Bench, mut effects: Effects, times: usize) -> Duration {
    let mut pause = Duration::ZERO;
    for _ in 0..times {
        let job = one_change(&effects).job;
        assert_eq!(bench.fail(job), Effects::default());
        let failed = bench.now;
        effects = bench.pass(secs(60));
        pause = bench.now - failed;
    }
    pause
}

#[test]
fn a_leader_that_was_found_useless_lets_nobody_leave_though_its_election_failed() {
    let dead_lock = |bench: &mut Bench| bench.lock = Lock::Held(0);
    let gone = |bench: &mut Bench| _ = bench.observations.insert(1, ReplicaSnapshot::Gone);
    for (case, ineligible) in [dead_lock as fn(&mut Bench), gone].into_iter().enumerate() {
        let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
        ineligible(&mut bench);
        let mut effects = bench.report();
        if case == 0 {
            effects = bench.pass(secs(3));
        }
        assert_eq!(election(&effects).to, 2);
        let job = one_change(&effects).job;
        assert_eq!(bench.fail(job), Effects::default());
        // The only other in-sync replica dies before the retry.
        let effects = bench.broker(2, DOWN);
        assert_eq!(effects.changes, [], "{case}");
        assert_eq!(effects.notified.len(), 1, "{case}: {effects:?}");
        assert!(
            effects.notified[0].contains("start broker 2"),
            "{effects:?}"
        );
        let mut effects = bench.broker(2, UP);
        if case == 0 {
            effects = bench.pass(secs(3));
        }
        assert_eq!(election(&effects).to, 2);
    }
}

#[test]
fn a_mover_in_a_new_epoch_is_given_all_its_time() {
    let moving = |broker, epoch| {
        ReplicaSnapshot::Page(PageSnapshot {
            moving: Some(0),
            epoch,
            ..page(broker, 10)
        })
    };
    let mut bench = Bench::quiet(partition(&[1, 2], 1, &[1, 2]));
    bench.observations.insert(1, moving(1, 4));
    assert_eq!(bench.report(), Effects::default());
    assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
    // It is complete, and the next begins: a counter has the same value as the former one.
    bench.topic.partitions[0] = PartitionMeta {
        leader_epoch: 5,
        ..partition(&[1, 2], 2, &[1, 2])
    };
    bench.observations.insert(2, moving(2, 5));
    assert_eq!(bench.see_topic(), Effects::default());
    assert_eq!(bench.report(), Effects::default());
    assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
    assert_eq!(election(&bench.pass(Duration::from_millis(200))).to, 2);
}

#[test]
fn who_joins_anew_is_given_all_its_time() {
    let next_epoch = |bench: &mut Bench| {
        bench.topic.partitions[0].leader_epoch = 5;
    };
    let same_epoch = |_: &mut Bench| {};
    for change in [next_epoch as fn(&mut Bench), same_epoch] {
        let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2]));
        let joins = |bench: &mut Bench| {
            let joining = vec![Joining {
                replica: uuid(3),
                version: bench.topic.version,
            }];
            let epoch = bench.topic.partitions[0].leader_epoch;
            let joined_by = PageSnapshot {
                epoch,
                joining,
                ..page(1, 10)
            };
            bench
                .observations
                .insert(1, ReplicaSnapshot::Page(joined_by));
        };
        joins(&mut bench);
        assert_eq!(bench.report(), Effects::default());
        assert_eq!(bench.pass(Duration::from_millis(1500)), Effects::default());
        // Another version of the file: entries for the last one no longer count.
        change(&mut bench);
        bench.topic.version += 1;
        joins(&mut bench);
        assert_eq!(bench.see_topic(), Effects::default());
        assert_eq!(bench.report(), Effects::default());
        assert_eq!(bench.pass(Duration::from_millis(1900)), Effects::default());
        let effects = bench.pass(Duration::from_millis(200));
        assert_eq!(one_change(&effects).kind, ChangeKind::Renew);
    }
}

#[test]
fn a_report_does_not_take_the_pause_from_a_reassignment_that_cannot_be_finished() {
    let mut finished = partition(&[1, 2], 1, &[1, 2]);
    finished.reassignment = Some(Reassignment {
        target: vec![1, 2],
        before: vec![1, 2],
        throttle: None,
    });
    let mut bench = Bench::new(finished);
    let effects = bench.see_topic();
    let finish = |effects: &Effects| match one_change(effects) {
        Change {
            job,
            kind: ChangeKind::Finish(_),
            ..
        } => *job,
        other => panic!("{other:?}"),
    };
    assert_eq!(bench.report(), Effects::default());
    // The leader is probed, once, and found sound.
    let effects = bench.fail(finish(&effects));
    assert_eq!(bench.observed, 1);
    assert_eq!(bench.fail(finish(&effects)), Effects::default());
    let failed = bench.now;
    finish(&bench.pass(secs(60)));
    assert_eq!(bench.now - failed, secs(2));
}

#[test]
fn failures_count_as_a_row_only_until_nothing_is_left_to_change() {
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let effects = bench.broker(3, DOWN);
    assert_eq!(fails_again(&mut bench, effects, 4), secs(8));
    // The last one is under way, and fails; its cause is gone.
    let job = WorkId(bench.state.jobs);
    assert_eq!(bench.fail(job), Effects::default());
    assert_eq!(bench.broker(3, UP), Effects::default());
    assert_eq!(bench.pass(secs(3600)), Effects::default());
    let effects = bench.broker(3, DOWN);
    assert_eq!(fails_again(&mut bench, effects, 1), secs(1));
}

#[test]
fn a_leader_that_is_of_no_use_is_not_looked_at_in_a_loop_to_move_it_back() {
    // Both leaderships should be transferred back; no broker can lead the first partition.
    let mut bench = Bench::with(vec![
        partition(&[1, 2], 2, &[2, 1]),
        partition(&[3, 4], 4, &[4, 3]),
    ]);
    // Not at a time when followers are probed anyway.
    bench.now += secs(1);
    assert_eq!(bench.see_topic(), Effects::default());
    for broker in [1, 2] {
        bench.observations.insert(broker, ReplicaSnapshot::Offline);
    }
    assert_eq!(bench.report().notified.len(), 1);
    let effects = bench.pass(secs(5));
    let (_, what) = one_move(&effects);
    assert_eq!((what.tp.partition, what.to), (1, 3));
}
