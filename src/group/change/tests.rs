use super::*;
use crate::group::describe;
use crate::group::fixture::{LONG, place, produce, topic};

fn to(partition: i32, offset: i64) -> CommitEntry {
    CommitEntry {
        tp: TopicPartition::new(topic(), partition),
        offset,
    }
}

#[test]
fn a_reset_makes_the_group_and_stays_within_the_log() {
    let place = place();
    produce(&place, &[1000, 2000, 3000]);
    let dry = reset(&place.store, "g", &[to(0, 2)], true, LONG, &mut Vec::new()).expect("dry");
    assert_eq!((dry[0].from, dry[0].to), (None, Some(2)));
    assert!(
        crate::group::list(&place.store).expect("list").is_empty(),
        "a dry run makes nothing"
    );
    for bad in [-1, 4] {
        let plan = [to(0, 1), to(0, bad)];
        let error =
            reset(&place.store, "g", &plan, false, LONG, &mut Vec::new()).expect_err("outside");
        assert_eq!(error.kind(), Kind::OffsetOutOfRange);
        assert!(error.to_string().contains("0 to 3"), "{error}");
    }
    let error = commit(&place.store, "g", &[to(3, 0)], LONG, &mut Vec::new())
        .expect_err("no such partition");
    assert_eq!(error.kind(), Kind::UnknownTopic);
    assert!(
        crate::group::list(&place.store).expect("list").is_empty(),
        "nothing was made"
    );
    reset(
        &place.store,
        "g",
        &[to(0, 2), to(1, 0)],
        false,
        LONG,
        &mut Vec::new(),
    )
    .expect("reset");
    let again = reset(&place.store, "g", &[to(0, 3)], false, LONG, &mut Vec::new()).expect("reset");
    assert_eq!((again[0].from, again[0].to), (Some(2), Some(3)));
    assert_eq!(
        (place.committed("g", 0), place.committed("g", 1)),
        (Some(3), Some(0))
    );
}

#[test]
fn nothing_is_moved_while_a_member_lives() {
    let place = place();
    produce(&place, &[1000]);
    let mut member = place.join("g").expect("join");
    member.commit(vec![place.entry(0, 1)]).expect("commit");
    for dry_run in [true, false] {
        let error = reset(
            &place.store,
            "g",
            &[to(0, 0)],
            dry_run,
            LONG,
            &mut Vec::new(),
        )
        .expect_err("lives");
        assert_eq!(error.kind(), Kind::NonEmptyGroup);
        assert!(
            error
                .to_string()
                .contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        let error = delete(&place.store, "g", dry_run, LONG, &mut Vec::new()).expect_err("lives");
        assert_eq!(error.kind(), Kind::NonEmptyGroup);
    }
    assert_eq!(place.committed("g", 0), Some(1));
    drop(member);
    reset(&place.store, "g", &[to(0, 0)], false, LONG, &mut Vec::new())
        .expect("the dead do not hinder");
    assert_eq!(place.committed("g", 0), Some(0));
    delete(&place.store, "g", false, LONG, &mut Vec::new()).expect("delete");
    for dry_run in [true, false] {
        let error = delete(&place.store, "g", dry_run, LONG, &mut Vec::new()).expect_err("gone");
        assert_eq!(error.kind(), Kind::UnknownGroup);
    }
}

fn pids(seen: &describe::GroupDescription) -> Vec<u32> {
    seen.members.iter().flatten().map(|m| m.pid).collect()
}

#[test]
fn a_description_tells_lag_and_who_reads() {
    let place = place();
    let now = place.store.clock().now_ms();
    produce(&place, &[now - 90_000, now - 60_000, now - 30_000]);
    let mut member = place.join("g").expect("join");
    member.commit(vec![place.entry(0, 1)]).expect("commit");
    let seen = describe::describe(&place.store, "g").expect("describe");
    assert_eq!(
        (seen.state, seen.group_epoch),
        (Some("Stable"), Some(member.state().group_epoch))
    );
    assert_eq!(pids(&seen), [std::process::id()]);
    let row = &seen.offsets[0];
    assert_eq!(
        (row.committed_offset, row.log_start_offset),
        (Some(1), Some(0))
    );
    assert_eq!((row.high_watermark, row.lag), (Some(3), Some(2)));
    let age = row.lag_seconds.expect("known");
    assert!((60..90).contains(&age), "{age}");
    assert_eq!(row.member_id, Some(member.id()));
    let unread = &seen.offsets[1];
    assert_eq!(
        (unread.partition, unread.committed_offset, unread.lag),
        (1, None, None)
    );
    let id = member.id();
    member.commit(vec![place.entry(0, 3)]).expect("commit");
    member.leave(Vec::new()).expect("leave");
    let seen = describe::describe(&place.store, "g").expect("describe");
    assert_eq!(
        (seen.state, pids(&seen).len(), seen.offsets.len()),
        (Some("Empty"), 0, 1)
    );
    assert_eq!(
        (seen.offsets[0].lag, seen.offsets[0].lag_seconds),
        (Some(0), Some(0))
    );
    let json = serde_json::to_value(&seen).expect("json");
    assert_eq!(json["offsets"][0]["member_id"], serde_json::Value::Null);
    assert!(json.get("notes").is_none());
    assert!(!json.to_string().contains(&id.to_string()));
}

/// Several members in one group, each alive by a lock of its own.
#[test]
fn a_description_tells_which_of_many_members_reads_what() {
    use crate::group::group_file::GroupFile;
    use crate::group::member_file::MemberFile;
    use crate::group::{MemberState, Subscription};
    let place = place();
    produce(&place, &[1000, 2000, 3000]);
    reset(
        &place.store,
        "g",
        &[to(0, 1), to(1, 0), to(2, 0)],
        false,
        LONG,
        &mut Vec::new(),
    )
    .expect("reset");
    let mut group = Group::open(&place.store, "g", LONG).expect("open");
    let dir = std::sync::Arc::clone(group.dir());
    let files: Vec<MemberFile> = (0..3)
        .map(|_| MemberFile::create(&*dir, &**place.store.clock()).expect("file"))
        .collect();
    let mut held = group.hold("test").expect("hold");
    let contents = held.group_file().expect("file");
    let mut state = contents.state(&*dir).expect("state");
    for (at, file) in files.iter().enumerate() {
        let owned = std::collections::BTreeSet::from([TopicPartition::new(topic(), at as i32)]);
        let member = MemberState {
            epoch: 5,
            instance_id: (at == 2).then(|| "static".to_owned()),
            subscription: Subscription::to_names([topic()]),
            topics: std::collections::BTreeSet::new(),
            target: owned.clone(),
            owned,
            ends: None,
            session_timeout_ms: 45_000,
            pid: 100 + at as u32,
            host: format!("host{at}"),
        };
        state.members.insert(file.id(), member);
    }
    let contents = GroupFile::of_state(place.store.boot_id(), &state);
    held.put_group_file(&contents).expect("put");
    drop(held);
    let ids: Vec<_> = files.iter().map(MemberFile::id).collect();
    let seen = describe::describe(&place.store, "g").expect("describe");
    let mut pids = pids(&seen);
    pids.sort_unstable();
    assert_eq!(pids, [100, 101, 102]);
    let rows: Vec<_> = seen
        .offsets
        .iter()
        .map(|row| (row.partition, row.member_id, row.lag))
        .collect();
    let expected = [
        (0, Some(ids[0]), Some(2)),
        (1, Some(ids[1]), Some(0)),
        (2, Some(ids[2]), Some(0)),
    ];
    assert_eq!(rows, expected);
    let summary = describe::summarize(&place.store, "g").expect("sum");
    assert_eq!((summary.members, summary.partitions), (Some(3), 3));
    // One dies: its partition has no reader, and the rest still prevent a change.
    let mut files = files;
    files.remove(1);
    let seen = describe::describe(&place.store, "g").expect("describe");
    assert_eq!(seen.members.as_ref().map(Vec::len), Some(2));
    assert_eq!(seen.offsets[1].member_id, None);
    let error =
        reset(&place.store, "g", &[to(0, 0)], true, LONG, &mut Vec::new()).expect_err("live");
    assert_eq!(error.to_string().matches("process").count(), 2, "{error}");
}
