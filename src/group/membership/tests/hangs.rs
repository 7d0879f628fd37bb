//! Members that die or hang, and how other members detect it.

use super::*;
use crate::group::fixture::HandClock;

const SESSION: Duration = Duration::from_secs(9);

fn short() -> JoinOptions {
    JoinOptions {
        session_timeout: SESSION,
        ..options()
    }
}

/// Probes `times` with a third of a session between; writes a heartbeat each time, if there is one.
fn watch(
    member: &mut Membership,
    clock: &HandClock,
    times: u32,
    heartbeat: Option<&MemberHeartbeat>,
) -> Vec<Uuid> {
    let mut found = member.suspects().expect("look");
    for _ in 0..times {
        clock.turn(SESSION / SESSION_WATCH_BREAK);
        if let Some(heartbeat) = heartbeat {
            heartbeat.heartbeat().expect("beat");
        }
        found = member.suspects().expect("look");
    }
    found.iter().map(|suspect| suspect.id).collect()
}

#[test]
fn the_dead_are_found_at_once_and_removed() {
    let place = place();
    let mut first = place.join("g").expect("join");
    let mut second = place.join("g").expect("join");
    settle(&mut [&mut first, &mut second]);
    assert_eq!(second.suspects().expect("look"), []);
    let (id, epoch) = (first.id(), second.state().group_epoch);
    drop(first);
    let suspects = second.suspects().expect("look");
    assert_eq!(
        suspects
            .iter()
            .map(|suspect| suspect.id)
            .collect::<Vec<_>>(),
        [id]
    );
    second.evict(&suspects).expect("evict");
    assert_eq!(owned(&second).len(), 3);
    assert!(second.state().group_epoch > epoch);
    assert!(
        second.dir().id(&layout::member_file(&id)).is_err(),
        "its file is gone"
    );
    let before = second.state().clone();
    second.evict(&suspects).expect("again");
    assert_eq!(second.state(), &before);
}

#[test]
fn a_heart_that_stands_still_for_a_session_is_hung() {
    let place = place();
    let clock = Arc::new(HandClock::default());
    let store = place.with_clock(Arc::clone(&clock) as Arc<dyn crate::clock::Clock>);
    let mut hung = place.join_with("g", &short()).expect("join");
    let beating = place.join_with("g", &short()).expect("join");
    let mut watcher = Membership::join(&store, "g", &short()).expect("join");
    observe(&mut hung).expect("refresh");
    assert_eq!(watcher.watch_interval(), SESSION / 6);
    let heartbeat = beating.heartbeat();
    assert_eq!(watch(&mut watcher, &clock, 2, Some(&heartbeat)), []);
    assert_eq!(
        watch(&mut watcher, &clock, 1, Some(&heartbeat)),
        [hung.id()]
    );

    // A heartbeat in the last moment saves it.
    let suspects = watcher.suspects().expect("look");
    hung.heartbeat().heartbeat().expect("beat");
    watcher.evict(&suspects).expect("evict");
    assert!(watcher.state().members.contains_key(&hung.id()));
    assert_eq!(watch(&mut watcher, &clock, 2, Some(&heartbeat)), []);
    watch(&mut watcher, &clock, 1, Some(&heartbeat));
    let suspects = watcher.suspects().expect("look");
    watcher.evict(&suspects).expect("evict");
    assert!(!watcher.state().members.contains_key(&hung.id()));
    assert!(watcher.state().members.contains_key(&beating.id()));

    // It resumes: each of its requests is refused, and changes nothing.
    let before = watcher.state().clone();
    let entries = || vec![place.entry(0, 9)];
    for outcome in [
        hung.commit(entries()),
        hung.commit_starts(entries()),
        hung.release([tp(0)].into(), entries()),
    ] {
        let error = outcome.expect_err("fenced");
        assert_eq!(error.kind(), Kind::Fenced);
        assert!(error.to_string().contains("UNKNOWN_MEMBER_ID"), "{error}");
        assert!(
            error.to_string().contains(&hung.id().to_string()),
            "{error}"
        );
    }
    assert!(hung.me().is_none());
    assert_eq!(
        hung.leave(entries()).expect_err("fenced").kind(),
        Kind::Fenced
    );
    assert_eq!(place.committed("g", 0), None);
    observe(&mut watcher).expect("refresh");
    assert_eq!(watcher.state(), &before);
}

#[test]
fn who_was_removed_may_leave_with_nothing_to_say() {
    let place = place();
    let clock = Arc::new(HandClock::default());
    let store = place.with_clock(Arc::clone(&clock) as Arc<dyn crate::clock::Clock>);
    let hung = place.join_with("g", &short()).expect("join");
    let mut watcher = Membership::join(&store, "g", &short()).expect("join");
    watch(&mut watcher, &clock, 3, None);
    let suspects = watcher.suspects().expect("look");
    watcher.evict(&suspects).expect("evict");
    assert_eq!(owned(&watcher).len(), 3);
    hung.leave(Vec::new()).expect("leave");
}

#[test]
fn a_watcher_that_slept_starts_anew() {
    let place = place();
    let clock = Arc::new(HandClock::default());
    let store = place.with_clock(Arc::clone(&clock) as Arc<dyn crate::clock::Clock>);
    let other = place.join_with("g", &short()).expect("join");
    let mut watcher = Membership::join(&store, "g", &short()).expect("join");
    assert_eq!(watch(&mut watcher, &clock, 2, None), []);
    // Both were stopped: the other's heartbeat did not move meanwhile, which proves nothing.
    clock.turn(SESSION * 10);
    assert_eq!(watch(&mut watcher, &clock, 2, None), []);
    assert_eq!(watch(&mut watcher, &clock, 1, None), [other.id()]);
}
