//! Static members, and the group's assignor.

use super::*;
use crate::group::Assignor;
use crate::group::fixture::HandClock;

fn instance(name: &str) -> JoinOptions {
    JoinOptions {
        instance_id: Some(name.to_owned()),
        session_timeout: Duration::from_secs(9),
        ..options()
    }
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let place = place();
    let mut first = place.join_with("g", &instance("a")).expect("join");
    let mut other = place.join("g").expect("join");
    settle(&mut [&mut first, &mut other]);
    let had = owned(&first);
    let others = owned(&other);
    for dies in [false, true] {
        first.commit(vec![place.entry(0, 3)]).expect("commit");
        let id = first.id();
        if dies {
            drop(first);
        } else {
            first.leave(Vec::new()).expect("leave");
        }
        assert_eq!(other.suspects().expect("look"), [], "its place is kept");
        first = place.join_with("g", &instance("a")).expect("it comes back");
        assert_ne!(first.id(), id);
        assert_eq!(
            (owned(&first), first.state().name()),
            (had.clone(), "Stable")
        );
        observe(&mut other).expect("refresh");
        assert_eq!(owned(&other), others);
        assert!(
            other.dir().id(&layout::member_file(&id)).is_err(),
            "its file is gone"
        );
    }
}

#[test]
fn a_static_member_that_stays_away_is_removed_after_its_session() {
    let place = place();
    let clock = Arc::new(HandClock::default());
    let store = place.with_clock(Arc::clone(&clock) as Arc<dyn crate::clock::Clock>);
    let first = place.join_with("g", &instance("a")).expect("join");
    let mut other = Membership::join(&store, "g", &options()).expect("join");
    let id = first.id();
    first.leave(Vec::new()).expect("leave");
    // A joining member leaves the dead static member its place, too.
    let third = place.join("g").expect("join");
    assert!(third.state().members.contains_key(&id));
    third.leave(Vec::new()).expect("leave");
    observe(&mut other).expect("refresh");
    for _ in 0..3 {
        assert_eq!(other.suspects().expect("look"), []);
        clock.turn(Duration::from_secs(3));
    }
    let suspects = other.suspects().expect("look");
    assert_eq!(suspects.len(), 1);
    other.evict(&suspects).expect("evict");
    assert!(!other.state().members.contains_key(&id));
    assert_eq!(owned(&other).len(), 3);
}

#[test]
fn an_instance_id_has_one_living_holder() {
    let place = place();
    let first = place.join_with("g", &instance("a\n")).expect("join");
    let before = first.state().clone();
    let error = place.join_with("g", &instance("a\n")).expect_err("taken");
    assert_eq!(error.kind(), Kind::Busy);
    let text = error.to_string();
    let holder = format!("process {} on ", std::process::id());
    assert!(text.contains("UNRELEASED_INSTANCE_ID: 'a\\n'"), "{text}");
    assert!(text.contains(&holder), "{text}");
    let files = first.dir().list(layout::MEMBERS_DIR).expect("list");
    assert_eq!(files.len(), 1, "who was refused left nothing");
    let mut first = first;
    observe(&mut first).expect("refresh");
    assert_eq!(first.state(), &before);
    place.join_with("g", &instance("b")).expect("another name");
}

#[test]
fn another_assignor_is_refused_while_there_are_members() {
    let place = place();
    let of = |assignor| JoinOptions {
        assignor: Some(assignor),
        ..options()
    };
    let member = place.join_with("g", &of(Assignor::Range)).expect("join");
    let error = place
        .join_with("g", &of(Assignor::Uniform))
        .expect_err("another");
    assert_eq!(error.kind(), Kind::Usage);
    let text = error.to_string();
    assert!(text.contains("INCONSISTENT_GROUP_PROTOCOL"), "{text}");
    assert!(text.contains("'range'"), "{text}");
    assert_eq!(
        member.dir().list(layout::MEMBERS_DIR).expect("list").len(),
        1
    );
    let as_it_is = place.join("g").expect("as the group does it");
    assert_eq!(as_it_is.state().assignor, Assignor::Range);
    as_it_is.leave(Vec::new()).expect("leave");
    member.leave(Vec::new()).expect("leave");
    let kept = place.join("g").expect("join");
    assert_eq!(
        kept.state().assignor,
        Assignor::Range,
        "a setting outlives the members"
    );
    drop(kept);
    let changed = place
        .join_with("g", &of(Assignor::Uniform))
        .expect("the dead do not hinder");
    assert_eq!(changed.state().assignor, Assignor::Uniform);
}
