//! Joining, sharing, handing over, committing, leaving.

use std::sync::Barrier;

use super::*;
use crate::group::Subscription;

#[test]
fn commits_are_found_by_the_successor_of_a_member_that_left_or_died() {
    let place = place();
    let mut first = place.join("g").expect("join");
    assert_eq!(owned(&first), ["t:0", "t:1", "t:2"], "alone: all, at once");
    assert_eq!(at(&first, &place, 0), None);
    let entries = vec![place.entry(0, 5), place.entry(1, 7)];
    first.commit(entries).expect("commit");
    first.commit(vec![place.entry(0, 6)]).expect("commit");
    first.commit(Vec::new()).expect("nothing to commit");
    let (id, epoch) = (first.id(), first.state().group_epoch);
    first.leave(vec![place.entry(1, 8)]).expect("leave");

    let mut second = place.join("g").expect("join");
    assert!(second.state().group_epoch > epoch && second.id() != id);
    let all = |member: &Membership| [0, 1, 2].map(|p| at(member, &place, p));
    assert_eq!(all(&second), [Some(6), Some(8), None]);
    assert_eq!(
        second.committed(&tp(0), Uuid([9; 16])),
        None,
        "a topic made again"
    );
    second.commit(vec![place.entry(2, 1)]).expect("commit");
    let epoch = second.state().group_epoch;
    drop(second);

    let third = place.join("g").expect("the dead are replaced");
    assert_eq!(third.state().members.len(), 1);
    assert!(third.state().group_epoch > epoch);
    assert_eq!(all(&third), [Some(6), Some(8), Some(1)]);
    assert!(third.notes().is_empty(), "{:?}", third.notes());
}

#[test]
fn a_partition_goes_over_with_its_last_commit() {
    let place = place();
    let mut first = place.join("g").expect("join");
    first.commit(vec![place.entry(2, 4)]).expect("commit");
    let mut second = place.join("g").expect("join");
    assert_eq!(second.state().name(), "Assigning");
    assert_eq!(owned(&second), [""; 0]);
    second.assign().expect("assign");
    assert_eq!(second.state().name(), "Reconciling");
    let before = second.state().clone();
    second.assign().expect("again");
    assert_eq!(second.state(), &before, "nothing to do");

    assert!(observe(&mut first).expect("refresh") && !observe(&mut first).expect("no news"));
    let surplus = surplus(&first);
    let moved = surplus.first().cloned().expect("one moves");
    assert_eq!(surplus.len(), 1);
    // It may commit what it still owns, and loses it in the critical section of the last commit.
    first
        .commit(vec![place.entry(moved.partition, 6)])
        .expect("commit");
    let stays = (0..3).find(|p| tp(*p) != moved).expect("two stay");
    let last = vec![place.entry(moved.partition, 9), place.entry(stays, 2)];
    first.release(surplus.clone(), last).expect("release");
    assert_eq!(first.state().name(), "Stable");
    first
        .release(surplus, Vec::new())
        .expect("once more: nothing to give");

    assert!(observe(&mut second).expect("refresh"));
    second.refresh_offsets().expect("offsets");
    assert_eq!(owned(&second), [moved.to_string()]);
    assert_eq!(at(&second, &place, moved.partition), Some(9));

    // From now on only its owner's commits of it count; those of others are left out.
    first
        .commit(vec![place.entry(moved.partition, 11)])
        .expect("left out");
    assert_eq!(place.committed("g", moved.partition), Some(9));
    let both = vec![place.entry(moved.partition, 12), place.entry(stays, 3)];
    first.commit(both).expect("half of it");
    assert_eq!(place.committed("g", moved.partition), Some(9));
    assert_eq!(place.committed("g", stays), Some(3));
    second
        .commit(vec![place.entry(moved.partition, 10)])
        .expect("commit");
    assert_eq!(place.committed("g", moved.partition), Some(10));
    let replaced = OffsetsEntry {
        topic_id: Uuid([9; 16]),
        ..place.entry(moved.partition, 1)
    };
    second
        .commit(vec![replaced])
        .expect("of a topic that is no more: left out");
    assert_eq!(place.committed("g", moved.partition), Some(10));

    first.leave(Vec::new()).expect("leave");
    assert!(observe(&mut second).expect("refresh"));
    assert_eq!(owned(&second).len(), 3, "all at once");
}

#[test]
fn each_reads_what_it_subscribed_to() {
    let place = place();
    create(&place.store, "u", 2);
    let both = JoinOptions {
        subscription: Subscription::to_names([topic(), named("u")]),
        ..options()
    };
    let mut first = place.join_with("g", &both).expect("join");
    assert_eq!(owned(&first).len(), 5);
    let mut second = place.join("g").expect("join");
    settle(&mut [&mut first, &mut second]);
    assert!(owned(&second).iter().all(|tp| tp.starts_with("t:")));
    assert_eq!((owned(&first).len(), owned(&second).len()), (3, 2));
    first.leave(Vec::new()).expect("leave");
    settle(&mut [&mut second]);
    assert_eq!(
        owned(&second),
        ["t:0", "t:1", "t:2"],
        "nobody wants the other topic"
    );
}

#[test]
fn patterns_find_topics_that_come_go_and_grow() {
    let place = place();
    for (naming, pattern) in [(Naming::Globs, "log.*"), (Naming::Regexes, r"log\..+")] {
        let group = format!("{naming:?}");
        let joined = JoinOptions {
            subscription: Subscription {
                naming,
                topics: vec![pattern.to_owned()],
            },
            ..options()
        };
        let mut member = place.join_with(&group, &joined).expect("join");
        let mut other = place.join(&group).expect("join");
        settle(&mut [&mut member, &mut other]);
        assert_eq!(owned(&member), [""; 0], "{pattern}: none yet");
        create(&place.store, "log.a", 1);
        create(&place.store, "logs", 1);
        let epoch = member.state().group_epoch;
        other.update_topics().expect("anybody may");
        observe(&mut member).expect("refresh");
        assert_eq!(owned(&member), ["log.a:0"], "{pattern}");
        assert!(member.state().group_epoch > epoch);
        member.refresh_others().expect("all of it");
        let before = member.state().clone();
        member.update_topics().expect("no news");
        assert_eq!(member.state(), &before);

        let more = [vec![0], vec![0]];
        let (known, _) =
            crate::store::topics::topic_file::read(&place.store, &named("log.a")).expect("a topic");
        crate::lifecycle::add_partitions(&place.store, &known, &more, LONG).expect("alter");
        let id = create(&place.store, "log.b", 2);
        member.update_topics().expect("update");
        assert_eq!(owned(&member).len(), 5, "{pattern}");
        assert_eq!(member.state().topics[&named("log.b")].topic_id, id);

        crate::lifecycle::delete_topic(&place.store, &named("log.a"), LONG).expect("delete");
        crate::lifecycle::delete_topic(&place.store, &named("log.b"), LONG).expect("delete");
        let replaced = create(&place.store, "log.b", 1);
        member.update_topics().expect("update");
        assert_eq!(owned(&member), ["log.b:0"], "{pattern}");
        assert_eq!(member.state().topics[&named("log.b")].topic_id, replaced);
        for name in ["log.b", "logs"] {
            crate::lifecycle::delete_topic(&place.store, &named(name), LONG).expect("delete");
        }
    }
    let bad = JoinOptions {
        subscription: Subscription {
            naming: Naming::Regexes,
            topics: vec!["(".to_owned()],
        },
        ..options()
    };
    let error = place.join_with("bad", &bad).expect_err("no pattern");
    assert_eq!(error.kind(), Kind::Usage);
}

#[test]
fn a_start_is_committed_once() {
    let place = place();
    let mut first = place.join("g").expect("join");
    let mut second = place.join("g").expect("join");
    observe(&mut first).expect("refresh");
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        for (member, offset) in [(&mut first, 100), (&mut second, 200)] {
            let (barrier, place) = (&barrier, &place);
            scope.spawn(move || {
                for p in 0..3 {
                    barrier.wait();
                    member
                        .commit_starts(vec![place.entry(p, offset)])
                        .expect("starts");
                }
            });
        }
    });
    let won: Vec<_> = (0..3).map(|p| place.committed("g", p)).collect();
    assert!(
        won.iter().all(|at| matches!(at, Some(100 | 200))),
        "{won:?}"
    );
    for member in [&mut first, &mut second] {
        let all = (0..3).map(|p| place.entry(p, 300)).collect();
        member.commit_starts(all).expect("they have starts");
    }
    let now: Vec<_> = (0..3).map(|p| place.committed("g", p)).collect();
    assert_eq!(now, won, "nothing is changed");
    let owner = |p| {
        if first.state().owner(&tp(p)) == Some(first.id()) {
            1
        } else {
            2
        }
    };
    assert_eq!(
        (0..3).map(owner).sum::<i32>(),
        3,
        "no owner is asked for: {won:?}"
    );
}

/// Many members join, hand over, commit and end at once: each partition's offsets only rise, as
/// each owner continues where the one before ended.
#[test]
fn many_at_once_hand_over_without_a_gap() {
    let place = place();
    let threads = 6;
    let barrier = Barrier::new(threads);
    let turns: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..threads)
            .map(|n| {
                let (place, barrier) = (&place, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    (0..4).map(|round| work(place, n + round)).sum::<usize>()
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("a member"))
            .sum()
    });
    let total: i64 = (0..3).filter_map(|p| place.committed("g", p)).sum();
    assert_eq!(
        total, turns as i64,
        "each turn read one record, and none twice"
    );
    println!("many at once: {turns} turns of {} members", threads * 4);
}

/// A member's life: reads one record of each of its partitions in each turn. Returns how many.
fn work(place: &Fixture, n: usize) -> usize {
    let mut member = place.join("g").expect("join");
    let mut read = 0;
    for _ in 0..25 {
        observe(&mut member).expect("refresh");
        member.assign().expect("assign");
        member.refresh_offsets().expect("offsets");
        let me = member.me().expect("nobody removes the living").clone();
        let mine = me.owned.iter();
        let entries: Vec<OffsetsEntry> = mine
            .map(|tp| {
                place.entry(
                    tp.partition,
                    at(&member, place, tp.partition).unwrap_or(0) + 1,
                )
            })
            .collect();
        read += entries.len();
        let surplus = surplus(&member);
        if surplus.is_empty() {
            member.commit(entries).expect("commit");
        } else {
            member.release(surplus, entries).expect("release");
        }
    }
    if n.is_multiple_of(2) {
        member.leave(Vec::new()).expect("leave");
    }
    read
}
