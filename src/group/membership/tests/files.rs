//! The files of the group's directory: damaged, of another boot, grown, with any name.

use super::*;
use crate::group::offsets_line::LineKind;
use crate::store::json_file;
use crate::types::Offset;

#[test]
fn an_unreadable_group_file_is_made_anew_only_if_nobody_lives_in_it() {
    let place = place();
    let mut first = place.join("g").expect("join");
    first.commit(vec![place.entry(0, 5)]).expect("commit");
    let dir = place.store.group_dir("g").expect("dir");
    let cut = || {
        let file = dir.open(layout::GROUP_FILE, Open::Write).expect("open");
        file.set_len(10).expect("cut");
    };
    cut();
    // A member with a current open file relies on what it read: no other file was put in place.
    first.commit(vec![place.entry(0, 6)]).expect("commit");
    let error = place.join("g").expect_err("damaged");
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains("group.json"), "{error}");
    let epoch = first.state().group_epoch;
    drop(first);
    let second = place.join("g").expect("made again");
    assert!(
        second.state().group_epoch > epoch,
        "above any that was given out"
    );
    assert_eq!(second.notes().len(), 1, "{:?}", second.notes());
    assert!(
        second.notes()[0].contains("rebuilt from"),
        "{:?}",
        second.notes()
    );
    assert_eq!((at(&second, &place, 0), owned(&second).len()), (Some(6), 3));
    assert!(json_file::read_bytes(&*dir, layout::GROUP_FILE).is_ok());

    // Another file in its place is read, and live members refuse it.
    dir.remove(layout::GROUP_FILE).expect("remove");
    let mut second = second;
    for outcome in [
        observe(&mut second).map(drop),
        second.commit(vec![place.entry(0, 7)]),
    ] {
        assert_eq!(outcome.expect_err("gone").kind(), Kind::Damaged);
    }
    assert_eq!(place.committed("g", 0), Some(6));
}

#[test]
fn members_of_another_boot_are_dead() {
    let place = place();
    let member = place.join("g").expect("join");
    let dir = place.store.group_dir("g").expect("dir");
    let read = |boot| GroupFile::read(&dir, boot).expect("read");
    assert_eq!(read(place.store.boot_id()).members.len(), 1);
    let other = read([1; 16]);
    assert!(other.members.is_empty());
    assert_eq!(other.group_epoch, member.state().group_epoch);
    let state = other.state(&*dir).expect("means something");
    assert_eq!((state.name(), state.topics.len()), ("Empty", 1));
    assert_eq!(
        state.former,
        [crate::group::fixture::options().subscription]
    );
}

#[test]
fn a_log_ahead_of_its_lock_moves_the_lock_on() {
    let place = place();
    let mut member = place.join("g").expect("join");
    member.commit(vec![place.entry(0, 5)]).expect("commit");
    let mut line = member.offsets().mark(41, 0);
    line.kind = LineKind::Commit;
    line.entries = vec![place.entry(0, 8)];
    let dir = place.store.group_dir("g").expect("dir");
    let log = dir.open(layout::OFFSETS_LOG, Open::Append).expect("open");
    log.append(&line.encode()).expect("append");
    line.n = 3;
    line.entries = vec![place.entry(0, 2)];
    log.append(&line.encode()).expect("append");
    assert_eq!(place.committed("g", 0), Some(8));
    member.commit(vec![place.entry(1, 1)]).expect("commit");
    let lock = dir.id(&layout::lock_file(42));
    assert!(lock.is_ok(), "the lock went beyond the line's N");
    assert_eq!(
        (place.committed("g", 0), place.committed("g", 1)),
        (Some(8), Some(1))
    );
}

#[test]
fn a_grown_log_is_written_anew_under_its_users() {
    let place = place();
    let mut member = place.join("g").expect("join");
    let mut idle = place.join("g").expect("join");
    member
        .commit(vec![place.entry(0, 1), place.entry(1, 2)])
        .expect("commit");
    // Many commits' worth of lines, without their syncs.
    let dir = place.store.group_dir("g").expect("dir");
    let log = dir.open(layout::OFFSETS_LOG, Open::Append).expect("open");
    let mut line = member.offsets().mark(0, 0);
    line.kind = LineKind::Commit;
    line.member = Some(member.id().to_string());
    line.epoch = member.state().group_epoch;
    let mut bytes = Vec::new();
    for offset in 0..12_000 {
        line.entries = vec![place.entry(1, offset)];
        bytes.extend(line.encode());
    }
    log.append(&bytes).expect("append");
    assert!(log.len().expect("len") > 1 << 20);
    let before = log.id().expect("id");
    member.commit(vec![place.entry(2, 3)]).expect("commit");
    assert_ne!(dir.id(layout::OFFSETS_LOG).expect("id"), before);
    let log = dir.open(layout::OFFSETS_LOG, Open::Read).expect("open");
    let len = log.len().expect("len");
    assert!(len < 4096, "{len}");
    let all = || [0, 1, 2].map(|p| place.committed("g", p));
    assert_eq!(all(), [Some(1), Some(11_999), Some(3)]);
    member
        .commit(vec![place.entry(0, 4)])
        .expect("commit into the new file");
    assert_eq!(all(), [Some(4), Some(11_999), Some(3)]);
    idle.refresh_offsets().expect("offsets");
    assert_eq!(
        [0, 1, 2].map(|p| at(&idle, &place, p)),
        all(),
        "who looks on sees the new file"
    );
}

#[test]
fn any_name_is_a_group_and_a_deleted_one_comes_back_empty() {
    let place = place();
    let names = ["a/b", "..", "ä ö\n", "%41", "-", "group", "🦀"];
    for name in names {
        let mut member = place.join(name).expect(name);
        member.commit(vec![place.entry(0, 3)]).expect(name);
        let error =
            delete(&place.store, name, false, LONG, &mut Vec::new()).expect_err("a member lives");
        assert_eq!(error.kind(), Kind::NonEmptyGroup);
        assert!(
            error.to_string().contains(&member.id().to_string()),
            "{error}"
        );
        member.leave(Vec::new()).expect(name);
    }
    let listed = || crate::group::list(&place.store).expect("list");
    let mut sorted = names.map(str::to_owned);
    sorted.sort_unstable();
    assert_eq!(listed(), sorted);
    delete(&place.store, "group", true, LONG, &mut Vec::new()).expect("dry");
    assert_eq!(place.committed("group", 0), Some(3));
    delete(&place.store, "group", false, LONG, &mut Vec::new()).expect("delete");
    assert_eq!(place.committed("group", 0), None);
    let error = delete(&place.store, "group", false, LONG, &mut Vec::new()).expect_err("gone");
    assert_eq!(error.kind(), Kind::UnknownGroup);
    let error = describe::describe(&place.store, "groop").expect_err("unknown");
    assert!(error.to_string().contains("GROUP_ID_NOT_FOUND"), "{error}");
    assert!(!listed().contains(&"group".to_owned()));
    let member = place.join("group").expect("join");
    assert!(!member.offsets().knows_topic(&topic()), "-o counts again");
    assert!(listed().contains(&"group".to_owned()));
    let error = place.join("").expect_err("no name");
    assert_eq!(error.kind(), Kind::Usage);
}

#[test]
fn a_reset_stands_between_two_members() {
    let place = place();
    let mut member = place.join("g").expect("join");
    member.commit(vec![place.entry(0, 7)]).expect("commit");
    let plan = [CommitEntry {
        tp: tp(0),
        offset: 0,
    }];
    let error = reset(&place.store, "g", &plan, false, LONG, &mut Vec::new()).expect_err("lives");
    assert_eq!(error.kind(), Kind::NonEmptyGroup);
    member.leave(Vec::new()).expect("leave");
    reset(&place.store, "g", &plan, false, LONG, &mut Vec::new()).expect("reset");
    let next = place.join("g").expect("join");
    assert_eq!(at(&next, &place, 0), Some(0));
    let offsets = committed_offsets(&place.store, "g").expect("offsets");
    assert!(offsets.knows_topic(&topic()));
}

#[test]
fn where_members_end_is_told_to_the_others() {
    let place = place();
    let ends = |ends: [Offset; 3]| JoinOptions {
        ends: Some(BTreeMap::from([(topic(), ends.to_vec())])),
        ..options()
    };
    let mut first = place.join_with("g", &ends([3, 4, 5])).expect("join");
    let second = place.join_with("g", &ends([9, 0, 0])).expect("join");
    observe(&mut first).expect("refresh");
    first.refresh_others().expect("all of it");
    for member in [&first, &second] {
        let all = [0, 1, 2, 3].map(|p| member.state().end_of(&tp(p)));
        assert_eq!(all, [Some(9), Some(4), Some(5), None]);
    }
    assert_ne!(first.rank(), second.rank());
}
