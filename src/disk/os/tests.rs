#![allow(
    clippy::disallowed_methods,
    reason = "tests set up what only a stranger would"
)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use super::handle::open_by_steps;
use super::*;
use crate::disk::LockKind;

fn scratch() -> (tempfile::TempDir, Arc<dyn Dir>) {
    let temp = tempfile::tempdir().unwrap();
    let dir = OsDisk.open_dir(temp.path()).unwrap();
    (temp, dir)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: io::Result<T>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
    assert_eq!(error.to_string(), text);
}

const LINK: &str = "a symbolic link stands in the way";
const EVERY: [Open; 5] = [
    Open::Read,
    Open::Write,
    Open::Create,
    Open::CreateNew,
    Open::Append,
];

#[test]
fn links_are_refused_wherever_they_stand() {
    let (temp, dir) = scratch();
    dir.create_dir("real").unwrap();
    dir.create_dir("real/deep").unwrap();
    dir.open("real/file", Open::Create).unwrap();
    symlink("real", temp.path().join("link")).unwrap();
    symlink("file", temp.path().join("real/alias")).unwrap();
    symlink("nowhere", temp.path().join("dangling")).unwrap();
    for how in [Open::Read, Open::Write, Open::Create, Open::Append] {
        for name in ["link/file", "real/alias", "dangling"] {
            refused(dir.open(name, how), LINK);
        }
    }
    refused(dir.open("link/new", Open::CreateNew), LINK);
    assert_eq!(
        dir.open("dangling", Open::CreateNew).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    refused(dir.open_dir("link"), LINK);
    refused(dir.open_dir("link/deep"), LINK);
    refused(dir.list("link"), LINK);
    refused(dir.create_dir("link/x"), LINK);
    refused(dir.id("link/file"), LINK);
    refused(dir.rename("real/file", "link/moved"), LINK);
    refused(dir.rename_new("link/file", "moved"), LINK);
    refused(dir.remove("link/file"), LINK);
    refused(dir.remove_dir("link/deep"), LINK);
    for tail in ["link", "link/", "link/."] {
        refused(OsDisk.open_dir(&temp.path().join(tail)), LINK);
    }
    OsDisk.open_dir(&temp.path().join("link/deep")).unwrap();
}

#[test]
fn single_steps_refuse_links_too() {
    let (temp, dir) = scratch();
    dir.create_dir("real").unwrap();
    dir.open("real/file", Open::Create).unwrap();
    symlink("real", temp.path().join("link")).unwrap();
    symlink("file", temp.path().join("real/alias")).unwrap();
    let held = rustix::fs::openat(CWD, temp.path(), DIR_FLAGS, Mode::empty()).unwrap();
    let open = |name, flags| open_by_steps(held.as_fd(), name, flags, Mode::empty());
    open("real/file", OFlags::RDONLY).unwrap();
    open("real", DIR_FLAGS).unwrap();
    open("real", PARENT_FLAGS).unwrap();
    open(".", DIR_FLAGS).unwrap();
    for flags in [DIR_FLAGS, PARENT_FLAGS, OFlags::RDONLY] {
        assert_eq!(open("link", flags).unwrap_err(), Errno::LOOP);
        assert_eq!(open("link/file", flags).unwrap_err(), Errno::LOOP);
    }
    assert_eq!(open("real/alias", OFlags::RDWR).unwrap_err(), Errno::LOOP);
}

#[test]
fn only_regular_files_with_one_link_are_opened() {
    let (temp, dir) = scratch();
    rustix::fs::mknodat(
        CWD,
        temp.path().join("fifo"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    dir.create_dir("sub").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(temp.path().join("socket")).unwrap();
    for how in EVERY {
        if how == Open::CreateNew {
            continue;
        }
        for name in ["fifo", "sub", "socket"] {
            refused(dir.open(name, how), "not a regular file");
        }
    }
    dir.open("one", Open::Create).unwrap();
    std::fs::hard_link(temp.path().join("one"), temp.path().join("two")).unwrap();
    refused(
        dir.open("one", Open::Read),
        "a file with more than one link",
    );
    dir.remove("two").unwrap();
    dir.open("one", Open::Read).unwrap();
}

#[test]
fn names_lead_nowhere_else() {
    let (_temp, dir) = scratch();
    dir.create_dir("sub").unwrap();
    for name in [
        "", "..", "/etc", "sub/../x", "sub//x", "sub/", "./x", "sub/.",
    ] {
        for how in EVERY {
            assert_eq!(
                dir.open(name, how).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
        assert!(dir.create_dir(name).is_err());
        assert!(dir.open_dir(name).is_err());
        assert!(dir.rename("sub", name).is_err());
    }
}

#[test]
fn bytes_go_where_they_are_sent() {
    let (temp, dir) = scratch();
    let file = dir.open("f", Open::CreateNew).unwrap();
    assert_eq!(
        dir.open("f", Open::CreateNew).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    assert!(file.is_empty().unwrap());
    file.write_at(b"world", 6).unwrap();
    file.write_at(b"hello ", 0).unwrap();
    let mut buf = [0; 32];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 11);
    assert_eq!(&buf[..11], b"hello world");
    assert_eq!(file.read_at(&mut buf[..2], 10).unwrap(), 1);
    assert_eq!(file.read_at(&mut buf, 11).unwrap(), 0);
    file.set_len(5).unwrap();
    file.sync_data().unwrap();
    let log = dir.open("f", Open::Append).unwrap();
    log.append(b"!").unwrap();
    assert_eq!(file.len().unwrap(), 6);
    assert!(
        dir.open("f", Open::Read)
            .unwrap()
            .write_at(b"x", 0)
            .is_err()
    );
    assert_eq!(dir.id("f").unwrap(), file.id().unwrap());
    let mode = |name| {
        temp.path()
            .join(name)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("f"), 0o600);
    OsDisk.create_dir_all(&temp.path().join("a/b/c")).unwrap();
    OsDisk.create_dir_all(&temp.path().join("a/b/c")).unwrap();
    assert_eq!((mode("a"), mode("a/b/c")), (0o700, 0o700));
    dir.sync().unwrap();
    assert!(dir.free_bytes().unwrap() > 0);
}

#[test]
fn a_file_in_the_way_of_a_directory_is_an_error() {
    let (temp, dir) = scratch();
    dir.open("f", Open::Create).unwrap();
    assert!(OsDisk.create_dir_all(&temp.path().join("f/x")).is_err());
    assert!(OsDisk.create_dir_all(&temp.path().join("f")).is_err());
}

#[test]
fn names_change_hands() {
    let (_temp, dir) = scratch();
    dir.create_dir("sub").unwrap();
    let first = dir.open("sub/a", Open::Create).unwrap();
    dir.open("b", Open::Create).unwrap();
    assert_eq!(
        dir.rename_new("sub/a", "b").unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    dir.rename("sub/a", "b").unwrap();
    assert_eq!(dir.id("b").unwrap(), first.id().unwrap());
    dir.rename_new("b", "sub/c").unwrap();
    let mut names: Vec<_> = dir
        .list("sub")
        .unwrap()
        .into_iter()
        .map(|e| (e.name, e.kind))
        .collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(names, [("c".to_owned(), EntryKind::File)]);
    assert_eq!(
        dir.list(".").unwrap(),
        [Entry {
            name: "sub".into(),
            kind: EntryKind::Dir
        }]
    );
    assert!(dir.remove_dir("sub").is_err());
    // A held directory stays the same wherever it is moved.
    let sub = dir.open_dir("sub").unwrap();
    dir.rename("sub", "aside").unwrap();
    assert_eq!(
        dir.open_dir("sub").unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    sub.remove("c").unwrap();
    dir.remove_dir("aside").unwrap();
    assert!(sub.open("late", Open::Create).is_err());
    assert!(sub.list(".").unwrap().is_empty());
    assert!(dir.list(".").unwrap().is_empty());
}

#[test]
fn a_lock_excludes_other_opens_and_not_its_clones() {
    let (_temp, dir) = scratch();
    let open = || dir.open("lock", Open::Create).unwrap();
    let (one, two) = (open(), open());
    assert!(one.try_lock(LockKind::Exclusive).unwrap());
    assert!(Arc::clone(&one).try_lock(LockKind::Exclusive).unwrap());
    assert!(!two.try_lock(LockKind::Exclusive).unwrap());
    assert!(!two.try_lock(LockKind::Shared).unwrap());
    one.unlock().unwrap();
    assert!(two.try_lock(LockKind::Shared).unwrap());
    assert!(one.try_lock(LockKind::Shared).unwrap());
    assert!(!open().try_lock(LockKind::Exclusive).unwrap());
    drop((one, two));
    assert!(open().try_lock(LockKind::Exclusive).unwrap());
}

#[test]
fn the_machine_is_known() {
    let (temp, _dir) = scratch();
    assert_eq!(OsDisk.boot_id().unwrap(), OsDisk.boot_id().unwrap());
    let missing = temp.path().join("not/yet");
    assert_eq!(
        OsDisk.file_system(&missing).unwrap(),
        OsDisk.file_system(temp.path()).unwrap()
    );
    OsDisk.file_system(Path::new("no such thing")).unwrap();
}
