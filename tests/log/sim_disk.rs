//! The simulated disk itself: it must lose what it says it loses, and nothing else.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::common::sim_disk::{SimDisk, every_choice};
use mq::disk::{Dir, Disk, File, LockKind, Open, Watcher, new_watcher};
use rustix::io::Errno;

fn root(sim: &SimDisk) -> Arc<dyn Dir> {
    sim.open_dir(Path::new("/")).unwrap()
}

/// A file whose name is durable and whose bytes are not.
fn named(dir: &dyn Dir, name: &str) -> Arc<dyn File> {
    let file = dir.open(name, Open::CreateNew).unwrap();
    dir.sync().unwrap();
    file
}

fn bytes(sim: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = root(sim).open(name, Open::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    Some(bytes)
}

fn names(sim: &SimDisk, dir: &str) -> Vec<String> {
    root(sim)
        .list(dir)
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

/// Every state that a power cut may leave, seen through `see`.
fn every_crash<T: Ord>(sim: &SimDisk, see: impl Fn(&SimDisk) -> T) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    every_choice(100_000, |choice| {
        seen.insert(see(&sim.if_crashed(choice)));
    });
    seen
}

#[test]
fn unsynced_bytes_may_vanish_in_any_part_and_order() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "f");
    file.write_at(&[1; 1024], 0).unwrap();
    let seen = every_crash(&sim, |left| bytes(left, "f").unwrap());
    let sectors = |a: u8, b: u8| [[a; 512], [b; 512]].concat();
    let mut want = BTreeSet::from([vec![]]);
    for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        want.insert(sectors(a, b));
    }
    assert_eq!(seen, want);
}

#[test]
fn synced_bytes_never_vanish() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "f");
    file.write_at(b"safe", 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"not", 512).unwrap();
    let seen = every_crash(&sim, |left| bytes(left, "f").unwrap());
    assert!(seen.iter().all(|bytes| bytes.starts_with(b"safe")));
    assert!(seen.contains(b"safe".as_slice()));
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_sector_is_in_any_state_it_had_and_never_torn() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "f");
    file.write_at(&[0; 8], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[1; 4], 0).unwrap();
    file.write_at(&[2; 4], 4).unwrap();
    let seen = every_crash(&sim, |left| bytes(left, "f").unwrap());
    let want = [[0; 8], [1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 2, 2, 2, 2]];
    assert_eq!(seen, want.map(|w| w.to_vec()).into());
}

#[test]
fn a_cut_may_be_lost_and_shows_no_old_bytes_once_it_is_not() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "f");
    file.write_at(&[7; 600], 0).unwrap();
    file.sync_data().unwrap();
    file.set_len(2).unwrap();
    file.set_len(600).unwrap();
    let seen = every_crash(&sim, |left| bytes(left, "f").unwrap());
    let mut cut = vec![7; 2];
    cut.resize(600, 0);
    assert_eq!(seen, BTreeSet::from([vec![7; 600], vec![7; 2], cut]));
}

#[test]
fn a_name_lasts_only_with_its_directory() {
    let sim = SimDisk::new();
    let dir = root(&sim);
    let file = dir.open("new", Open::Create).unwrap();
    file.write_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(bytes(&sim.crash_losing_all(), "new"), None);

    let sim = SimDisk::new();
    let dir = root(&sim);
    named(&*dir, "old").sync_data().unwrap();
    let file = named(&*dir, "temp");
    file.write_at(b"new", 0).unwrap();
    dir.rename("temp", "old").unwrap();
    let see = |left: &SimDisk| (names(left, "."), bytes(left, "old").unwrap());
    let both = vec!["old".to_owned(), "temp".to_owned()];
    let one = vec!["old".to_owned()];
    // Renamed before its bytes were synced: the name may be the first to last.
    let want = [
        (both.clone(), vec![]),
        (one.clone(), vec![]),
        (one.clone(), vec![0; 3]),
        (one.clone(), b"new".to_vec()),
    ];
    assert_eq!(every_crash(&sim, see), want.into());
}

#[test]
fn replacing_in_the_right_order_leaves_old_or_new() {
    let sim = SimDisk::new();
    let dir = root(&sim);
    let old = named(&*dir, "f");
    old.write_at(b"old", 0).unwrap();
    old.sync_data().unwrap();
    let temp = dir.open("temp", Open::CreateNew).unwrap();
    temp.write_at(b"new", 0).unwrap();
    temp.sync_data().unwrap();
    dir.rename("temp", "f").unwrap();
    let seen = every_crash(&sim, |left| bytes(left, "f").unwrap());
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
}

#[test]
fn a_directorys_steps_last_in_their_order() {
    let sim = SimDisk::new();
    let dir = root(&sim);
    for name in ["a", "b"] {
        dir.open(name, Open::Create).unwrap();
    }
    dir.remove("a").unwrap();
    let seen = every_crash(&sim, |left| names(left, ".").concat());
    assert_eq!(seen, ["", "a", "ab", "b"].map(str::to_owned).into());
    dir.sync().unwrap();
    assert_eq!(names(&sim.crash_losing_all(), "."), ["b"]);
}

#[test]
fn a_move_between_directories_is_one_step() {
    let sim = SimDisk::new();
    sim.create_dir_all(Path::new("/a")).unwrap();
    sim.create_dir_all(Path::new("/b")).unwrap();
    let dir = root(&sim);
    dir.open("a/f", Open::Create).unwrap();
    dir.open_dir("a").unwrap().sync().unwrap();
    dir.rename("a/f", "b/g").unwrap();
    dir.remove_dir("a").unwrap();
    let see = |left: &SimDisk| {
        let a = root(left).list("a").map(|entries| entries.len());
        (a.ok(), names(left, "b").len())
    };
    let want = BTreeSet::from([(Some(1), 0), (Some(0), 1), (None, 1)]);
    assert_eq!(every_crash(&sim, see), want);
    dir.open_dir("b").unwrap().sync().unwrap();
    assert_eq!(see(&sim.crash_losing_all()), (Some(0), 1));
    assert!(
        dir.sync().is_err(),
        "a power cut ends every holder of a handle"
    );
}

#[test]
fn the_sync_of_a_parent_saves_what_its_steps_need() {
    let sim = SimDisk::new();
    sim.create_dir_all(Path::new("/a")).unwrap();
    let dir = root(&sim);
    dir.open("a/f", Open::Create).unwrap();
    dir.open_dir("a").unwrap().sync().unwrap();
    dir.rename("a/f", "f").unwrap();
    dir.remove_dir("a").unwrap();
    dir.sync().unwrap();
    assert_eq!(names(&sim.crash_losing_all(), "."), ["f"]);
}

#[test]
fn a_failed_sync_is_final() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "f");
    file.write_at(b"lost", 0).unwrap();
    sim.fail_at(sim.ops() + 1, Errno::IO);
    let error = file.sync_data().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
    file.sync_data().unwrap();
    assert_eq!(bytes(&sim, "f").unwrap(), b"lost", "still in the cache");
    sim.drop_caches();
    assert_eq!(bytes(&sim, "f").unwrap(), [0; 4], "and nowhere else");
    assert_eq!(bytes(&sim.crash_losing_nothing(), "f").unwrap(), [0; 4]);
}

#[test]
fn a_planned_stop_ends_the_process_at_its_nth_operation() {
    let workload = |sim: &SimDisk| -> std::io::Result<()> {
        let dir = sim.open_dir(Path::new("/"))?;
        let file = dir.open("f", Open::CreateNew)?;
        file.write_at(b"one", 0)?;
        file.sync_data()?;
        dir.rename("f", "g")?;
        dir.sync()
    };
    let whole = SimDisk::new();
    workload(&whole).unwrap();
    assert_eq!(whole.ops(), 5);
    assert_eq!(whole.trace()[3], "rename /f to g");
    for n in 1..=5 {
        let sim = SimDisk::new();
        sim.stop_at(n);
        workload(&sim).unwrap_err();
        assert!(sim.is_dead());
        assert_eq!(sim.ops(), n);
        assert!(sim.open_dir(Path::new("/")).is_err());
        let next = sim.kill();
        assert_eq!(bytes(&next, "f").is_some(), (2..=4).contains(&n), "at {n}");
        assert_eq!(
            bytes(&next, "f").is_some_and(|b| b == b"one"),
            (3..=4).contains(&n)
        );
        assert_eq!(bytes(&next, "g").is_some(), n == 5);
        assert!(
            names(&sim.crash_losing_all(), ".").is_empty(),
            "no sync of the name before {n}"
        );
    }
}

#[test]
fn writes_may_be_short() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "f");
    sim.fail_short_at(sim.ops() + 1, Errno::NOSPC, 2);
    assert_eq!(
        file.write_at(b"abcd", 0).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    assert_eq!(bytes(&sim, "f").unwrap(), b"ab");
    file.write_at(b"abcd", 0).unwrap();
    sim.stop_within(sim.ops() + 1, 1);
    file.write_at(b"xyz", 0).unwrap_err();
    assert_eq!(bytes(&sim.kill(), "f").unwrap(), b"xbcd");
}

#[test]
fn locks_exclude_and_death_frees_them() {
    let sim = SimDisk::new();
    let other = sim.process();
    let open = |sim: &SimDisk| root(sim).open("lock", Open::Create).unwrap();
    let (one, same, two) = (open(&sim), open(&sim), open(&other));
    assert!(one.try_lock(LockKind::Exclusive).unwrap());
    assert!(Arc::clone(&one).try_lock(LockKind::Exclusive).unwrap());
    assert!(
        !same.try_lock(LockKind::Shared).unwrap(),
        "another open of one process"
    );
    assert!(!two.try_lock(LockKind::Exclusive).unwrap());
    let next = sim.kill();
    assert!(two.try_lock(LockKind::Shared).unwrap());
    assert!(
        open(&next).try_lock(LockKind::Shared).unwrap(),
        "dropped at once"
    );
    assert!(
        two.try_lock(LockKind::Exclusive).unwrap(),
        "so it is free to convert"
    );
    two.unlock().unwrap();
    let three = open(&next);
    assert!(three.try_lock(LockKind::Exclusive).unwrap());
    assert!(!two.try_lock(LockKind::Shared).unwrap());
    let left = sim.crash_losing_nothing();
    assert!(open(&left).try_lock(LockKind::Exclusive).unwrap());
}

#[test]
fn a_conversion_that_fails_loses_the_lock() {
    let sim = SimDisk::new();
    let open = || root(&sim).open("lock", Open::Create).unwrap();
    let (one, two) = (open(), open());
    assert!(one.try_lock(LockKind::Shared).unwrap());
    assert!(two.try_lock(LockKind::Shared).unwrap());
    assert!(!one.try_lock(LockKind::Exclusive).unwrap());
    assert!(two.try_lock(LockKind::Exclusive).unwrap());
}

#[test]
fn the_dead_touch_nothing() {
    for end in [SimDisk::kill, SimDisk::crash_losing_nothing] {
        let sim = SimDisk::new();
        let dir = root(&sim);
        let file = named(&*dir, "f");
        let next = end(&sim);
        assert!(file.write_at(b"late", 0).is_err());
        assert!(file.read_at(&mut [0], 0).is_err());
        assert!(file.try_lock(LockKind::Shared).is_err());
        assert!(dir.open("g", Open::Create).is_err());
        assert!(dir.id("f").is_err());
        assert!(sim.open_dir(Path::new("/")).is_err());
        assert_eq!(bytes(&next, "f").unwrap(), b"");
    }
}

#[test]
fn a_boot_id_lasts_a_boot() {
    let sim = SimDisk::new();
    let boot = sim.boot_id().unwrap();
    let next = sim.kill();
    assert_eq!(next.boot_id().unwrap(), boot);
    assert_eq!(next.process().boot_id().unwrap(), boot);
    assert_ne!(next.crash_seeded(1).boot_id().unwrap(), boot);
}

#[test]
fn a_boot_may_begin_with_all_that_is_not_synced() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "a");
    file.write_at(b"kept", 0).unwrap();
    assert!(file.try_lock(LockKind::Exclusive).unwrap());
    let next = sim.in_next_boot();
    assert_ne!(next.boot_id().ok(), sim.boot_id().ok());
    assert!(sim.is_dead() && file.len().is_err());
    assert_eq!(bytes(&next, "a"), Some(b"kept".to_vec()));
    let file = root(&next).open("a", Open::Write).unwrap();
    assert!(file.try_lock(LockKind::Exclusive).unwrap(), "its lock went");
    assert_eq!(bytes(&next.crash_losing_all(), "a"), Some(Vec::new()));
}

#[test]
fn another_process_may_come_between_two_operations() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "a");
    let other = sim.process();
    sim.before(sim.ops() + 2, move || {
        let file = root(&other).open("a", Open::Write).unwrap();
        assert_eq!(file.len().unwrap(), 1, "the first is done, the next is not");
        file.write_at(b"o", 1).unwrap();
    });
    for at in 0..3 {
        file.write_at(b"m", at).unwrap();
        assert_eq!(file.len().unwrap(), at + 1);
    }
    assert_eq!(bytes(&sim, "a"), Some(b"mmm".to_vec()));
}

#[test]
fn names_behave_as_on_a_real_disk() {
    let sim = SimDisk::new();
    sim.create_dir_all(Path::new("/s/lock.0/ID")).unwrap();
    let dir = sim.open_dir(Path::new("/s")).unwrap();
    let file = dir.open("lock.0/ID/x", Open::CreateNew).unwrap();
    assert_eq!(dir.id("lock.0/ID/x").unwrap(), file.id().unwrap());
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    let open = |name, how| dir.open(name, how).map(drop);
    assert_eq!(
        kind(open("lock.0/ID/x", Open::CreateNew)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(kind(open("none", Open::Read)), ErrorKind::NotFound);
    assert_eq!(kind(open("none/x", Open::Create)), ErrorKind::NotFound);
    assert_eq!(kind(open("lock.0", Open::Write)), ErrorKind::Other);
    assert_eq!(kind(open("../x", Open::Create)), ErrorKind::InvalidInput);
    assert_eq!(kind(dir.remove_dir("lock.0")), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(dir.remove("lock.0")), ErrorKind::IsADirectory);
    assert_eq!(
        kind(dir.rename("lock.0", "lock.0/ID/y")),
        ErrorKind::InvalidInput
    );
    dir.open("there", Open::Create).unwrap();
    assert_eq!(
        kind(dir.rename_new("lock.0/ID/x", "there")),
        ErrorKind::AlreadyExists
    );
    dir.rename("lock.0/ID/x", "there").unwrap();
    assert_eq!(dir.id("there").unwrap(), file.id().unwrap());
    // The holder of a directory that was moved is still in it; in a removed one nothing is made.
    let id = dir.open_dir("lock.0/ID").unwrap();
    dir.rename_new("lock.0", "lock.1").unwrap();
    id.open("y", Open::Create).unwrap();
    dir.rename("lock.1/ID/y", "y").unwrap();
    dir.remove_dir("lock.1/ID").unwrap();
    assert_eq!(
        kind(id.open("z", Open::Create).map(drop)),
        ErrorKind::NotFound
    );
    assert_eq!(kind(id.create_dir("z")), ErrorKind::NotFound);
    assert!(id.list(".").unwrap().is_empty());
}

#[test]
fn files_do_what_they_were_opened_for() {
    let sim = SimDisk::new();
    let dir = root(&sim);
    let log = dir.open("log", Open::Append).unwrap();
    log.append(b"one").unwrap();
    dir.open("log", Open::Append)
        .unwrap()
        .append(b"two")
        .unwrap();
    log.append(b"!").unwrap();
    assert_eq!(bytes(&sim, "log").unwrap(), b"onetwo!");
    assert!(log.write_at(b"x", 0).is_err());
    assert!(dir.open("log", Open::Write).unwrap().append(b"x").is_err());
    let read = dir.open("log", Open::Read).unwrap();
    assert!(read.write_at(b"x", 0).is_err());
    assert!(read.append(b"x").is_err());
    assert!(read.set_len(0).is_err());
    let mut buf = [0; 4];
    assert_eq!(read.read_at(&mut buf, 5).unwrap(), 2);
    assert_eq!(read.read_at(&mut buf, 99).unwrap(), 0);
    sim.damage("/log", 1, b"N").unwrap();
    assert_eq!(bytes(&sim, "log").unwrap(), b"oNetwo!");
}

#[test]
fn there_is_no_watcher_but_the_one_that_polls() {
    let sim = SimDisk::new();
    assert_eq!(sim.watcher().unwrap_err().kind(), ErrorKind::Unsupported);
    let mut watcher: Box<dyn Watcher> = new_watcher(&sim);
    watcher.add_dir(&*root(&sim), ".").unwrap();
    assert_eq!(
        format!("{watcher:?}").split(' ').next(),
        Some("PollWatcher")
    );
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    let sim = SimDisk::new();
    let file = named(&*root(&sim), "f");
    file.write_at(&[1; 8192], 0).unwrap();
    let at = |seed| bytes(&sim.crash_seeded(seed), "f").unwrap();
    assert!((0..20).all(|seed| at(seed) == at(seed)));
    assert!((0..20).any(|seed| at(seed) != at(0)));
}
