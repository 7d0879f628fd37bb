use super::*;
use crate::group::fixture::{LONG, place, produce};
use crate::group::offsets_line::{Line, LineKind};
use crate::group::{describe, history, list};
use crate::store::layout;

fn state(newest: Timestamp) -> OffsetsState {
    let mut state = OffsetsState::default();
    state.take(&Line {
        n: 0,
        time_ms: newest,
        kind: LineKind::Commit,
        member: Some("m".to_owned()),
        epoch: 1,
        entries: Vec::new(),
    });
    state
}

#[test]
fn a_day_or_four_times_in_what_is_kept() {
    let now = 1_000 * DAY_MS;
    for (kept, age, overdue, due) in [
        (RETENTION_MINUTES_DEFAULT, 0, false, false),
        (RETENTION_MINUTES_DEFAULT, DAY_MS - 1, false, false),
        (RETENTION_MINUTES_DEFAULT, DAY_MS, false, true),
        (RETENTION_MINUTES_DEFAULT, 7 * DAY_MS, false, true),
        (RETENTION_MINUTES_DEFAULT, 7 * DAY_MS + 1, true, true),
        (4, MINUTE_MS - 1, false, false),
        (4, MINUTE_MS, false, true),
        (4, 4 * MINUTE_MS + 1, true, true),
        // The clock went backwards.
        (4, -DAY_MS, false, false),
    ] {
        let state = state(now - age);
        let reported = (
            is_overdue(&state, kept, now),
            is_live_due(&state, kept, now),
        );
        assert_eq!(reported, (overdue, due), "{kept} {age}");
    }
    let nothing = OffsetsState::default();
    assert!(!is_overdue(&nothing, 1, now), "nothing can expire");
    assert!(is_live_due(&nothing, 1, now));
}

/// Makes the group's newest line that old, in ms.
fn age(place: &crate::group::fixture::Fixture, group: &str, age: i64) {
    let path = place
        .store
        .path()
        .join("groups")
        .join(group)
        .join(layout::OFFSETS_LOG);
    let text = std::fs::read_to_string(&path).expect("read");
    let aged: Vec<u8> = text
        .lines()
        .filter(|line| !line.is_empty())
        .flat_map(|line| {
            let mut line = Line::decode(line.as_bytes()).expect("whole");
            line.time_ms -= age;
            line.encode()
        })
        .collect();
    std::fs::write(path, aged).expect("write");
}

#[test]
fn offsets_expire_where_nobody_lives_and_only_there() {
    let place = place();
    produce(&place, &[1000, 2000, 3000]);
    let mut member = place.join("g").expect("join");
    member.commit(vec![place.entry(0, 2)]).expect("commit");
    age(&place, "g", 8 * DAY_MS);
    assert_eq!(list(&place.store).expect("list"), ["g"], "a member lives");
    assert!(describe(&place.store, "g").is_ok());
    drop(member);
    let mut member = place.join("h").expect("join");
    member.commit(vec![place.entry(0, 1)]).expect("commit");
    drop(member);
    assert_eq!(list(&place.store).expect("list"), ["h"]);
    let e = describe(&place.store, "g").expect_err("expired");
    assert_eq!(e.kind(), Kind::UnknownGroup);
    assert!(e.to_string().contains("10080 minutes"), "{e}");
    let set = [("offsets.retention.minutes".to_owned(), "1".to_owned())].into();
    crate::group::alter_configs(&place.store, "h", &set, &[], LONG).expect("altered");
    age(&place, "h", 2 * MINUTE_MS);
    let e = describe(&place.store, "h").expect_err("expired");
    assert!(e.to_string().ends_with("for 1 minute"), "{e}");
    assert_eq!(place.committed("g", 0), None);
    // The next member to join starts from an empty state.
    let mut member = place.join("g").expect("join");
    assert!(member.offsets().entries().next().is_none());
    let notes = member.notes().join("; ");
    assert!(notes.contains("partitions: 1, topics: 1"), "told: {notes}");
    member.commit(vec![place.entry(1, 0)]).expect("commit");
    drop(member);
    assert_eq!(place.committed("g", 0), None, "it does not come back");
    assert_eq!(place.committed("g", 1), Some(0));
    let kinds: Vec<_> = history(&place.store, "g")
        .expect("history")
        .0
        .iter()
        .map(|line| line.kind)
        .collect();
    assert!(kinds.contains(&LineKind::Expire), "{kinds:?}");
}

#[test]
fn a_member_says_once_in_a_while_that_the_group_is_in_use() {
    let place = place();
    produce(&place, &[1000]);
    let mut member = place.join("g").expect("join");
    member.commit(vec![place.entry(0, 1)]).expect("commit");
    member.say_alive().expect("said");
    let lines = || {
        let lines = history(&place.store, "g").expect("history").0;
        lines
            .iter()
            .filter(|line| line.kind == LineKind::Live)
            .count()
    };
    assert_eq!(lines(), 0);
    drop(member);
    age(&place, "g", 2 * DAY_MS);
    let mut member = place.join("g").expect("join");
    for _ in 0..3 {
        member.say_alive().expect("said");
    }
    assert_eq!(lines(), 1);
    let id = member.id().to_string();
    let last = history(&place.store, "g").expect("history").0.pop();
    assert_eq!(last.and_then(|line| line.member), Some(id));
}

#[test]
fn the_setting_is_read_where_there_is_one() {
    let mut file = GroupFile::new([7; 16], 3);
    assert_eq!(file.retention_minutes(), RETENTION_MINUTES_DEFAULT);
    let text = String::from_utf8(file.encode()).expect("text");
    assert!(!text.contains("retention"), "{text}");
    file.offsets_retention_minutes = Some(5);
    let text = String::from_utf8(file.encode()).expect("text");
    assert!(text.contains("\"offsets.retention.minutes\": 5"), "{text}");
}
