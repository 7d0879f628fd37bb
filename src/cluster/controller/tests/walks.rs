//! Compares the phase transitions seen in simulations with the table of allowed ones.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::simulation::live_through;
use super::*;
use crate::cluster::controller::partition::{MAY_FOLLOW, Stage};

type Step = (Stage, Stage);

thread_local! {
    /// Of the test that runs in this thread.
    static WALKED: RefCell<BTreeSet<Step>> = const { RefCell::new(BTreeSet::new()) };
}

/// Records a transition.
pub fn walked(from: Stage, to: Stage) {
    WALKED.with_borrow_mut(|walked| walked.insert((from, to)));
}

/// A reassignment to 1 and 2 while 2 is not in sync.
fn reassigned() -> Bench {
    let mut p = partition(&[1, 2, 3], 1, &[1, 3]);
    p.reassignment = Some(Reassignment {
        target: vec![1, 2],
        before: vec![1, 3],
        throttle: None,
    });
    Bench::quiet(p)
}

/// Makes the change, by which time 2 is in sync, too; no work may follow from it.
fn ends_with(mut bench: Bench, effects: &Effects) {
    bench.topic.partitions[0].isr.push(2);
    let change = one_change(effects).clone();
    let effects = bench.make(&change);
    assert!(matches!(one_change(&effects).kind, ChangeKind::Finish(_)));
}

#[test]
fn what_may_follow_does_and_nothing_else() {
    for seed in 1..=15 {
        live_through(seed);
    }
    // Transitions too rare in the simulation: a change that calls for another, an election that
    // does,
    let mut bench = reassigned();
    let effects = bench.broker(3, DOWN);
    ends_with(bench, &effects);
    let mut bench = reassigned();
    let sealed = PageSnapshot {
        sealed: true,
        ..page(1, 10)
    };
    bench.observations.insert(1, ReplicaSnapshot::Page(sealed));
    let effects = bench.report();
    ends_with(bench, &effects);
    // and a pause of an epoch that is over.
    let mut bench = Bench::quiet(partition(&[1, 2, 3], 1, &[1, 2, 3]));
    let effects = bench.broker(3, DOWN);
    bench.fail(one_change(&effects).job);
    bench.topic.partitions[0].leader_epoch = 5;
    bench.see_topic();

    let may = MAY_FOLLOW.into_iter();
    let may: BTreeSet<Step> = may
        .flat_map(|(from, to)| to.iter().map(move |to| (from, *to)))
        .collect();
    let walked = WALKED.take();
    let outside: Vec<_> = walked.difference(&may).collect();
    let never: Vec<_> = may.difference(&walked).collect();
    assert!(
        outside.is_empty() && never.is_empty(),
        "{outside:?} {never:?}"
    );
}
