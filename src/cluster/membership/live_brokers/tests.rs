use super::*;
use crate::clock::SystemClock;
use crate::cluster::membership::broker_options::BrokerOptions;
use crate::cluster::membership::registration::{Registration, set_drained};
use crate::disk::{OsDisk, new_watcher};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn held(incarnation: u64, heartbeats: u64) -> BrokerListing {
    BrokerListing {
        registered: incarnation,
        lock: Lock::Held {
            incarnation,
            heartbeats,
        },
    }
}

/// Probes in a row; returns which were alive.
fn run(observations: &[(u64, BrokerListing)]) -> Vec<bool> {
    let mut watched = WatchedBroker::default();
    let mut lived = Vec::new();
    for (at, observe) in observations {
        let (next, alive) = classify(watched, *observe, ms(*at));
        watched = next;
        lived.push(alive);
    }
    lived
}

#[test]
fn who_beats_lives_and_who_stands_still_is_hung_until_he_beats() {
    let observations: Vec<_> = (0..9).map(|n| (n * 500, held(1, n))).collect();
    assert_eq!(run(&observations), [true; 9]);
    let observations: Vec<_> = (0..9).map(|n| (n * 500, held(1, n.max(6)))).collect();
    let lived = [true, true, true, true, false, false, false, true, true];
    assert_eq!(run(&observations), lived);
}

#[test]
fn a_watcher_that_slept_starts_anew_but_the_hung_stay_hung() {
    let still = held(1, 7);
    let observations = [(0, still), (1000, still), (9000, still), (10_000, still)];
    assert_eq!(run(&observations), [true; 4]);
    let observations = [
        (0, still),
        (1000, still),
        (2000, still),
        (9000, still),
        (9500, held(1, 8)),
    ];
    assert_eq!(run(&observations), [true, true, false, false, true]);
}

#[test]
fn the_dead_do_not_rise_and_the_next_is_another() {
    let lock = |registered, lock| BrokerListing { registered, lock };
    let observations = [
        (0, held(4, 1)),
        (10, lock(4, Lock::Free)),
        // The next has the lock, with the line of the one before still in it.
        (20, held(4, 1)),
        (30, lock(4, Lock::Starting)),
        (40, lock(5, Lock::Starting)),
        (50, held(5, 0)),
        // A line that is not the registered incarnation's.
        (60, lock(6, held(5, 1).lock)),
        (70, held(6, 0)),
    ];
    let lived = [true, false, false, false, false, true, false, true];
    assert_eq!(run(&observations), lived);
}

#[test]
fn a_wake_is_settled_for_a_while() {
    let mut settle = Settle::default();
    assert_eq!(settle.due(ms(0)), None);
    settle.wake(ms(100));
    assert_eq!(settle.due(ms(100)), Some(ms(101)));
    assert_eq!(settle.due(ms(119)), Some(ms(120)));
    assert_eq!(settle.due(ms(120)), Some(ms(125)));
    settle.wake(ms(130));
    assert_eq!(settle.due(ms(149)), Some(ms(150)));
    assert_eq!(settle.due(ms(330)), None);
    assert_eq!(settle.due(ms(331)), None);
}

#[test]
fn brokers_come_live_and_go() {
    let temp = tempfile::tempdir().expect("tempdir");
    let clock = Arc::new(SystemClock::default());
    let path = temp.path().join("store");
    let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).expect("store");
    let store = Arc::new(store);
    let now = || store.clock().monotonic();
    let timeout = Duration::from_secs(5);
    let mut watcher = new_watcher(&OsDisk);
    let mut members = BrokerMembership::new(&store, None);
    members.watch(&mut *watcher).expect("watch");
    let seen = members.observe(now()).expect("look");
    assert!(!seen[&0].alive && seen.len() == 1);
    members.watch(&mut *watcher).expect("watch");

    let start = |id| {
        let options = BrokerOptions {
            log_dir: None,
            rack: Some("r".to_owned()),
        };
        Registration::start(&store, id, &options, timeout).expect("start")
    };
    let liveness = crate::store::Liveness::new(&store);
    assert!(!liveness.is_alive(7) && !liveness.controller_lives());
    let (first, seventh) = (start(0), start(7));
    let wake = watcher.wait(timeout, None).expect("wait");
    assert!(members.is_about(&wake), "{wake:?}");
    let seen = members.observe(now()).expect("look");
    assert_eq!(seen.keys().collect::<Vec<_>>(), [&0, &7]);
    for member in seen.values() {
        assert_eq!((member.alive, member.incarnation), (true, 1));
        assert_eq!((member.rack.as_deref(), member.drained), (Some("r"), false));
    }
    assert_eq!(seen[&7].log_dir, path.join("brokers/7/logs"));
    assert!(liveness.is_alive(0) && liveness.is_alive(7));
    assert!(set_drained(&store, 7, true, timeout).expect("drain"));
    assert!(!set_drained(&store, 7, true, timeout).expect("drain"));
    assert!(members.observe(now()).expect("look")[&7].drained);

    members.watch(&mut *watcher).expect("watch");
    let _ = watcher.wait(Duration::ZERO, None).expect("wait");
    seventh.end(timeout).expect("end");
    let mut settle = Settle::default();
    loop {
        let wake = watcher.wait(timeout, None).expect("wait");
        if members.is_about(&wake) {
            break;
        }
        assert_ne!(wake, Wake::Nothing, "its lock was closed");
    }
    settle.wake(now());
    while members.observe(now()).expect("look")[&7].alive {
        assert!(settle.due(now()).is_some(), "the lock is free by now");
    }
    assert!(!liveness.is_alive(7) && liveness.is_alive(0));
    assert!(members.take_troubles().is_empty());
    let seventh = start(7);
    assert_eq!(
        seventh.notes(),
        ["broker 7 is no longer drained: it may lead again"]
    );
    let again = &members.observe(now()).expect("look")[&7];
    assert_eq!(
        (again.alive, again.incarnation, again.drained),
        (true, 2, false)
    );
    drop((first, seventh));
}
