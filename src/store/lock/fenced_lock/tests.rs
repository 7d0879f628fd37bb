use std::path::Path;

use super::*;
use crate::clock::SystemClock;
use crate::disk::{Disk, Entry, OsDisk};

const LONG: Duration = Duration::from_secs(30);

struct Fixture {
    _temp: tempfile::TempDir,
    dir: Arc<dyn Dir>,
    lock: FencedLock,
}

fn place() -> Fixture {
    let temp = tempfile::tempdir().expect("temp");
    let dir = OsDisk.open_dir(temp.path()).expect("open");
    create_lock(&*dir).expect("lock");
    let lock = FencedLock::of_group(Arc::clone(&dir), Arc::new(SystemClock::default()));
    Fixture {
        _temp: temp,
        dir,
        lock,
    }
}

fn text(dir: &dyn Dir, name: &str) -> String {
    std::fs::read_to_string(join(dir, name)).expect("read")
}

/// Reads a number, adds one, replaces it: two holders at a time would lose an increment.
fn count(guard: &FencedGuard) -> Result<()> {
    let before = std::fs::read_to_string(join(&**guard.dir(), "count")).unwrap_or("0".to_owned());
    let next = before.parse::<u32>().expect("number") + 1;
    guard.replace_unsynced("count", next.to_string().as_bytes())
}

fn lock_entries(dir: &dyn Dir, n: u64) -> Vec<String> {
    let entries = dir.list(&layout::lock_dir(n)).expect("list").into_iter();
    let mut names: Vec<String> = entries.map(|entry| entry.name).collect();
    names.sort_unstable();
    names
}

/// The contents of the directory that the last holder left.
fn spare_entries(dir: &dyn Dir, n: u64) -> Vec<Entry> {
    let spare = format!("{}/{}", layout::lock_dir(n), layout::SPARE_DIR);
    dir.list(&spare).expect("list")
}

#[test]
fn threads_exclude_each_other() {
    let place = place();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let lock = place.lock.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    count(&lock.acquire("count", LONG).expect("acquire")).expect("count");
                }
            });
        }
    });
    assert_eq!(text(&*place.dir, "count"), "200");
    assert_eq!(
        lock_entries(&*place.dir, 0),
        ["0", "spare"],
        "nothing is left of any holder"
    );
    assert_eq!(spare_entries(&*place.dir, 0), []);
}

#[test]
fn changes_reach_their_place_and_only_there() {
    let place = place();
    std::fs::create_dir(place.dir.path().join("sub")).expect("sub");
    let staged = place.lock.stage(b"staged").expect("stage");
    let unused = place.lock.stage(b"unused").expect("stage");
    let unused_name = unused.name().to_owned();
    let mut guard = place.lock.acquire("test", LONG).expect("acquire");
    guard.replace("sub/a", b"one").expect("new");
    guard.replace("sub/a", b"two").expect("replaced");
    guard.publish(staged, "sub/b").expect("published");
    assert_eq!(
        (text(&*place.dir, "sub/a"), text(&*place.dir, "sub/b")),
        ("two".into(), "staged".into())
    );
    guard.remove("sub/a").expect("removed");
    assert!(!place.dir.path().join("sub/a").exists());
    assert_eq!(guard.remove("sub/a").expect_err("gone").kind(), Kind::Io);
    let aside = guard.rename_in("sub/b").expect("moved in");
    assert_eq!(text(&*place.dir, &aside), "staged");
    drop(unused);
    assert!(!place.dir.path().join(unused_name).exists());

    // On to a larger N, with the lock kept.
    guard.rename_beyond(0).expect("beyond 0");
    assert_eq!(guard.n(), 1);
    guard.rename_beyond(0).expect("is beyond");
    assert_eq!(guard.n(), 1);
    guard.rename_beyond(40).expect("beyond 40");
    assert_eq!(guard.n(), 41);
    let busy = place
        .lock
        .acquire("other", Duration::from_millis(50))
        .expect_err("held");
    assert_eq!(busy.kind(), Kind::Busy);
    guard.replace("sub/c", b"three").expect("still the holder");
    drop(guard);
    assert_eq!(lock_entries(&*place.dir, 41), ["41", "spare"]);
    assert_eq!(place.lock.acquire("next", LONG).expect("free").n(), 41);
}

#[test]
fn a_holder_works_in_the_directory_that_the_last_one_left() {
    let place = place();
    let id = |name: &str| place.dir.id(name).expect("an id");
    drop({
        let guard = place.lock.acquire("first", LONG).expect("acquire");
        guard.replace("a", b"one").expect("replaced");
        guard
    });
    let spare = id("lock.0/spare");
    let guard = place.lock.acquire("second", LONG).expect("acquire");
    let name = guard.write_own(b"two", true).expect("written");
    let (own, _) = name.rsplit_once('/').expect("in a directory");
    assert_eq!(id(own), spare);
    // What it leaves behind is removed.
    drop(guard);
    assert_eq!(id("lock.0/spare"), spare);
    assert_eq!(spare_entries(&*place.dir, 0), []);
    // The next holder that needs the spare removes what a power cut left in it.
    std::fs::write(place.dir.path().join("lock.0/spare/0"), "old").expect("written");
    let guard = place.lock.acquire("third", LONG).expect("acquire");
    guard.replace("a", b"three").expect("replaced");
    drop(guard);
    assert_eq!(text(&*place.dir, "a"), "three");
    assert_eq!(spare_entries(&*place.dir, 0), []);
}

#[test]
fn a_slow_holder_is_waited_for_and_named() {
    let place = place();
    let guard = place.lock.acquire("long work", LONG).expect("acquire");
    let error = place
        .lock
        .acquire("impatient", LOCK_STOPPED_AFTER + Duration::from_millis(700))
        .expect_err("the heartbeat keeps it");
    assert_eq!(error.kind(), Kind::Busy);
    let text = error.to_string();
    let pid = std::process::id().to_string();
    assert!(text.contains(&pid) && text.contains("long work"), "{text}");
    assert!(error.cure_text().is_some());
    guard.step().expect("never broken");
    assert_eq!(guard.n(), 0);
}

#[test]
fn a_holder_that_stands_still_is_broken_and_late_is_nothing() {
    let place = place();
    let old = place.lock.acquire("stopped", LONG).expect("acquire");
    old.replace("state", b"old").expect("in time");
    let in_flight = old.write_own(b"late", true).expect("in time");
    let staged = place.lock.stage(b"late").expect("stage");
    let (own_name, _) = in_flight.rsplit_once('/').expect("in a directory");
    let own_dir = place.dir.open_dir(own_name).expect("open");
    old.stand_still();

    let takers = 4;
    std::thread::scope(|scope| {
        for _ in 0..takers {
            let lock = place.lock.clone();
            scope.spawn(move || {
                let guard = lock.acquire("taker", LONG).expect("broken");
                assert_eq!(guard.n(), 1, "broken once");
                count(&guard).expect("count");
            });
        }
    });
    assert_eq!(text(&*place.dir, "count"), takers.to_string());
    assert_eq!(
        lock_entries(&*place.dir, 1),
        ["1", "spare"],
        "the old holder's files are gone"
    );
    assert_eq!(spare_entries(&*place.dir, 1), []);

    // A rename in the kernel has the directory already: there is nothing to take from it, and
    // nothing can be put into it.
    assert!(own_dir.list(".").expect("list").is_empty());
    assert!(own_dir.open("late", Open::CreateNew).is_err());
    // Later steps.
    let fenced = |result: Result<()>| result.expect_err("late").kind() == Kind::Fenced;
    assert!(fenced(old.step()));
    assert!(fenced(old.replace("state", b"late")));
    assert!(fenced(old.replace_unsynced("state", b"late")));
    assert!(fenced(old.publish(staged, "state")));
    assert!(fenced(old.remove("state")));
    let new = place.lock.acquire("new", LONG).expect("free");
    drop(old);
    new.step().expect("the late release takes nothing away");
    assert_eq!(text(&*place.dir, "state"), "old");
}

#[test]
fn a_lock_file_held_by_hand_is_broken_too() {
    let place = place();
    let by_hand = place.dir.open("lock.0/0", Open::Write).expect("open");
    assert!(by_hand.try_lock(LockKind::Exclusive).expect("lock"));
    by_hand
        .write_at(&line(7, "x", "1 host by hand"), 0)
        .expect("write");
    let started = std::time::Instant::now();
    assert_eq!(place.lock.acquire("taker", LONG).expect("broken").n(), 1);
    assert!(
        started.elapsed() >= LOCK_STOPPED_AFTER,
        "not a moment before"
    );
}

#[test]
fn what_the_dead_left_is_removed() {
    let place = place();
    let root: &Path = place.dir.path();
    std::fs::create_dir_all(root.join("lock.0/dead/sub")).expect("dir");
    for file in ["lock.0/dead/0", "lock.0/dead/sub/x", "lock.0/3"] {
        std::fs::File::create(root.join(file)).expect("file");
    }
    let abandoned = layout::staged_file(&Uuid([5; 16]));
    std::fs::File::create(root.join(&abandoned)).expect("file");
    let alive = place.lock.stage(b"alive").expect("stage");
    let guard = place.lock.acquire("cleaner", LONG).expect("acquire");
    assert_eq!(lock_entries(&*place.dir, 0), ["0"]);
    assert!(!root.join(&abandoned).exists());
    guard
        .publish(alive, "alive")
        .expect("not taken for abandoned");
}

#[test]
fn a_deleted_lock_file_never_makes_two_holders() {
    let place = place();
    let old = place.lock.acquire("old", LONG).expect("acquire");
    old.replace("state", b"old").expect("in time");
    std::fs::remove_file(place.dir.path().join("lock.0/0")).expect("attack");
    let new = place.lock.acquire("new", LONG).expect("created again");
    assert_eq!(
        old.replace("state", b"late").expect_err("late").kind(),
        Kind::Fenced
    );
    new.replace("state", b"new").expect("the holder");
    drop(old);
    new.step().expect("still the holder");
    assert_eq!(text(&*place.dir, "state"), "new");
}

#[test]
fn a_directory_without_a_lock_is_damaged_and_none_is_made() {
    let temp = tempfile::tempdir().expect("temp");
    let dir = OsDisk.open_dir(temp.path()).expect("open");
    let lock = FencedLock::of_group(Arc::clone(&dir), Arc::new(SystemClock::default()));
    assert_eq!(
        lock.acquire("x", LONG).expect_err("none").kind(),
        Kind::Damaged
    );
    assert!(dir.list(".").expect("list").is_empty());
}
