//! Sessions of group members in the library.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mq::client::unresolved_offset::UnresolvedRange;
use mq::client::{
    CommitWhen, Delivered, End, Generation, GroupOptions, GroupSession, Order, OutputProgress,
    ReadFrom,
};
use mq::group::Subscription;
use mq::types::TopicName;

use super::{Place, wait_until};

/// What a member handed out.
#[derive(Debug, Default)]
struct Output(Mutex<Vec<Delivered>>);

impl OutputProgress for Output {
    fn take(&self) -> Vec<Delivered> {
        std::mem::take(&mut self.0.lock().expect("unpoisoned"))
    }
    fn is_settled(&self, _: Generation) -> bool {
        true
    }
    fn is_all_settled(&self) -> bool {
        true
    }
    fn is_closed(&self) -> bool {
        false
    }
}

impl Place {
    fn options(topic: &TopicName, commit: CommitWhen) -> GroupOptions {
        GroupOptions {
            group: "g".to_owned(),
            subscription: Subscription::to_names([topic.clone()]),
            assignor: None,
            instance_id: None,
            session_timeout: Duration::from_secs(3600),
            commit,
            interval: Duration::from_secs(3600),
            range: UnresolvedRange::default(),
            to_end: false,
            began: None,
            fails_on_missed: false,
            read_from: ReadFrom::Leader,
            commits_when_done: true,
            settle: Some(Duration::from_secs(1)),
            lock_timeout: Duration::from_secs(10),
        }
    }

    fn join(&self, commit: CommitWhen) -> (GroupSession, Arc<Output>) {
        let options = Self::options(&self.topic, commit);
        let output = Arc::new(Output::default());
        let session = GroupSession::start(&self.store, options, output.clone(), Box::new(|| ()));
        (session.expect("joined"), output)
    }

    fn committed(&self) -> i64 {
        let group = mq::group::describe(&self.store, "g").expect("described");
        let committed = group.offsets.iter().map(|offset| offset.committed_offset);
        committed.map(|offset| offset.unwrap_or(0)).sum()
    }
}

/// The assignments that a member gets, so many.
fn assigned(session: &GroupSession, count: usize) -> Vec<Generation> {
    let mut got = Vec::new();
    wait_until("assigned", || {
        for order in session.take_orders() {
            match order {
                Order::Assign { generation, .. } => got.push(generation),
                Order::Revoke(generation, _) | Order::Lost(generation, _) => {
                    session.stopped(&[generation]);
                }
                Order::Failed(e) => panic!("{e}"),
                _ => {}
            }
        }
        got.len() >= count
    });
    got
}

#[test]
fn a_dropped_session_leaves_its_group() {
    let place = Place::with(3);
    let (session, _) = place.join(CommitWhen::AfterWrite);
    assigned(&session, 3);
    drop(session);
    let group = mq::group::describe(&place.store, "g").expect("described");
    assert_eq!(group.members.map(|members| members.len()), Some(0));
    let (second, _) = place.join(CommitWhen::AfterWrite);
    assigned(&second, 3);
}

#[test]
fn threads_commit_side_by_side() {
    let place = Place::with(2);
    place.fill(100);
    let (session, output) = place.join(CommitWhen::AfterWrite);
    let generations = assigned(&session, 2);
    std::thread::scope(|scope| {
        for generation in generations {
            let (session, output) = (&session, &output);
            scope.spawn(move || {
                for next in 1..=20 {
                    let delivered = Delivered {
                        generation,
                        next,
                        leader_epoch: 0,
                    };
                    output.0.lock().expect("unpoisoned").push(delivered);
                    session.commit().expect("committed");
                }
            });
        }
    });
    assert_eq!(place.committed(), 40);
}

#[test]
fn an_explicit_commit_commits_whatever_else_does() {
    for when in [CommitWhen::OnExit, CommitWhen::Never] {
        let place = Place::with(1);
        place.fill(100);
        let (session, output) = place.join(when);
        let generation = assigned(&session, 1)[0];
        let delivered = |next| Delivered {
            generation,
            next,
            leader_epoch: 0,
        };
        output.0.lock().expect("unpoisoned").push(delivered(25));
        session.commit_after_write().expect("not asked for");
        assert_eq!(place.committed(), 0, "{when:?}");
        session.commit().expect("committed");
        assert_eq!(place.committed(), 25, "{when:?}");
        output.0.lock().expect("unpoisoned").push(delivered(50));
        session.end(End::Succeeded, || false).expect("ended");
        let due = if when == CommitWhen::OnExit { 50 } else { 25 };
        assert_eq!(place.committed(), due, "{when:?}");
    }
}

/// An output that keeps the session's thread waiting while it is asked how far it was taken.
#[derive(Debug, Default)]
struct Stuck(Mutex<()>);

impl OutputProgress for Stuck {
    fn take(&self) -> Vec<Delivered> {
        drop(self.0.lock());
        Vec::new()
    }
    fn is_settled(&self, _: Generation) -> bool {
        true
    }
    fn is_all_settled(&self) -> bool {
        true
    }
    fn is_closed(&self) -> bool {
        false
    }
}

#[test]
fn what_nobody_answers_for_is_not_confirmed() {
    let place = Place::with(1);
    let output = Arc::new(Stuck::default());
    let options = Place::options(&place.topic, CommitWhen::AfterWrite);
    let session = GroupSession::start(&place.store, options, output.clone(), Box::new(|| ()));
    let session = session.expect("joined");
    assigned(&session, 1);
    let tp = place.tp(0);
    wait_until("confirmed", || {
        session.confirm([&tp].into_iter()).expect("it lives")
    });
    let stuck = output.0.lock().expect("unpoisoned");
    // Another `group.json`, of which nothing can be reported.
    let file = place.store.path().join("groups/g/group.json");
    let text = std::fs::read(&file).expect("read");
    std::fs::write(file.with_extension("new"), b"{").expect("written");
    std::fs::rename(file.with_extension("new"), &file).expect("replaced");
    assert!(!session.confirm([&tp].into_iter()).expect("it lives"));
    std::fs::write(file.with_extension("new"), text).expect("written");
    std::fs::rename(file.with_extension("new"), &file).expect("replaced");
    drop(stuck);
    wait_until("confirmed", || {
        session.confirm([&tp].into_iter()).expect("it lives")
    });
}

#[test]
fn a_commit_reports_partitions_that_were_given_up() {
    // How far the first delivers before it gives a partition up, and after that.
    for (before, after) in [(5, None), (0, Some(7))] {
        let place = Place::with(2);
        place.fill(100);
        let (first, output) = place.join(CommitWhen::Never);
        let own = assigned(&first, 2);
        let deliver = |next| {
            let delivered = own.iter().map(|generation| Delivered {
                generation: *generation,
                next,
                leader_epoch: 0,
            });
            output.0.lock().expect("unpoisoned").extend(delivered);
        };
        deliver(before);
        let (_second, _) = std::thread::scope(|scope| {
            let joins = scope.spawn(|| {
                let (second, output) = place.join(CommitWhen::Never);
                assigned(&second, 1);
                (second, output)
            });
            wait_until("given up", || {
                for order in first.take_orders() {
                    if let Order::Revoke(generation, _) = order {
                        first.stopped(&[generation]);
                    }
                }
                joins.is_finished()
            });
            joins.join().expect("joined")
        });
        if let Some(next) = after {
            first.commit().expect("nothing is delivered");
            deliver(next);
        }
        let reported = first.commit().expect_err("one partition is another's");
        assert_eq!(reported.kind(), mq::error::Kind::Rebalanced, "{reported}");
        let due = after.unwrap_or(before);
        assert_eq!(place.committed(), due, "the rest is committed");
        first.commit().expect("reported once");
    }
}
