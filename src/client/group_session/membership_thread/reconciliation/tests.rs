//! A partition that another member is to read is given up once its reader has stopped, and not
//! before: the turns of two members in one thread.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Condvar, Mutex};

use super::*;
use crate::client::ReadFrom;
use crate::client::group_session::options::GroupOptions;
use crate::client::group_session::orders::{Delivered, Generation, OutputProgress};
use crate::client::group_session::session_state::SessionState;
use crate::client::group_session::watching::Changed;
use crate::client::unresolved_offset::UnresolvedRange;
use crate::group::Subscription;
use crate::group::fixture::{HandClock, LONG, place, topic};
use crate::store::StoreDir;

/// An output that takes everything at once.
#[derive(Debug)]
struct Taken;

impl OutputProgress for Taken {
    fn take(&self) -> Vec<Delivered> {
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

/// A membership whose turns the test makes, and what its caller shares with it.
struct Member {
    thread: MembershipThread,
    shared: Arc<SessionState>,
}

impl Member {
    fn join(store: &Arc<StoreDir>) -> Member {
        let (poke, poked) = UnixStream::pair().expect("sockets");
        poke.set_nonblocking(true).expect("nonblocking");
        poked.set_nonblocking(true).expect("nonblocking");
        let shared = Arc::new(SessionState {
            orders: Mutex::default(),
            has_orders: AtomicBool::new(false),
            busy_tick_us: AtomicU32::new(0),
            reported: Mutex::default(),
            replied: Condvar::new(),
            wake_caller: Box::new(|| {}),
            poke,
            seen: Mutex::default(),
        });
        let options = GroupOptions {
            group: "g".to_owned(),
            subscription: Subscription::to_names([topic()]),
            assignor: None,
            instance_id: None,
            session_timeout: LONG,
            commit: CommitWhen::AfterWrite,
            interval: LONG,
            range: UnresolvedRange::default(),
            to_end: false,
            began: None,
            fails_on_missed: false,
            read_from: ReadFrom::Leader,
            commits_when_done: false,
            settle: None,
            lock_timeout: LONG,
        };
        let output = Arc::new(Taken);
        let thread = MembershipThread::join(store, options, output, Arc::clone(&shared), poked);
        let thread = thread.expect("join");
        Member { thread, shared }
    }

    fn turn(&mut self) {
        let done = self.thread.turn(Changed::all()).expect("a turn");
        assert!(!done, "nothing ended it");
    }

    fn orders(&self) -> VecDeque<Order> {
        self.shared.has_orders.store(false, Ordering::Release);
        std::mem::take(&mut *lock(&self.shared.orders))
    }

    fn owned(&self) -> BTreeSet<TopicPartition> {
        self.thread.member.me().expect("in the group").owned.clone()
    }
}

/// Two members, of which the first was just ordered to stop reading one partition: that assignment,
/// and one that it keeps.
fn with_a_revoked_partition(
    check: impl FnOnce(&HandClock, &mut Member, &mut Member, (Generation, TopicPartition), Generation),
) {
    let place = place();
    let clock = Arc::new(HandClock::default());
    let store = place.with_clock(Arc::clone(&clock) as Arc<dyn crate::clock::Clock>);
    let mut first = Member::join(&store);
    first.turn();
    let assigned: Vec<Generation> = first
        .orders()
        .into_iter()
        .filter_map(|order| match order {
            Order::Assign { generation, .. } => Some(generation),
            _ => None,
        })
        .collect();
    assert_eq!(assigned.len(), 3, "alone, it reads all");
    let mut second = Member::join(&store);
    let mut revoked = None;
    for _ in 0..1000 {
        clock.turn(Duration::from_millis(10));
        second.turn();
        first.turn();
        revoked = first.orders().into_iter().find_map(|order| match order {
            Order::Revoke(generation, tp) => Some((generation, tp)),
            _ => None,
        });
        if revoked.is_some() {
            break;
        }
    }
    let revoked = revoked.expect("one of three partitions moves");
    let kept = assigned.into_iter().find(|one| *one != revoked.0);
    check(
        &clock,
        &mut first,
        &mut second,
        revoked,
        kept.expect("two stay"),
    );
}

/// Turns of both members, over a time in which whatever is ready is given up.
fn turns(clock: &HandClock, first: &mut Member, second: &mut Member) {
    for _ in 0..5 {
        clock.turn(TOGETHER);
        first.turn();
        second.turn();
    }
}

#[test]
fn a_partition_is_given_up_once_its_reader_has_stopped() {
    with_a_revoked_partition(|clock, first, second, (generation, tp), kept| {
        turns(clock, first, second);
        assert!(first.owned().contains(&tp), "given up while it is read");
        assert!(first.thread.held.contains_key(&tp));
        assert!(second.owned().is_empty());
        // That another assignment has stopped says nothing of this one.
        lock(&first.shared.reported).stopped.push(kept);
        turns(clock, first, second);
        assert!(first.owned().contains(&tp), "given up while it is read");
        lock(&first.shared.reported).stopped.push(generation);
        turns(clock, first, second);
        assert!(!first.owned().contains(&tp));
        assert!(!first.thread.held.contains_key(&tp));
        assert_eq!(second.owned(), BTreeSet::from([tp]));
    });
}

#[test]
fn a_partition_is_given_up_without_an_answer_while_the_caller_works_on_another() {
    with_a_revoked_partition(|clock, first, second, (generation, tp), kept| {
        lock(&first.shared.reported).works_on = Some(generation);
        turns(clock, first, second);
        assert!(first.owned().contains(&tp), "given up while it is read");
        lock(&first.shared.reported).works_on = Some(kept);
        turns(clock, first, second);
        assert_eq!(second.owned(), BTreeSet::from([tp]));
    });
}
