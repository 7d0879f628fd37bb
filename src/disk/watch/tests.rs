use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::disk::{Open, OsDisk};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(20);

fn scratch() -> (tempfile::TempDir, Arc<dyn Dir>) {
    let temp = tempfile::tempdir().unwrap();
    let dir = OsDisk.open_dir(temp.path()).unwrap();
    (temp, dir)
}

#[test]
fn a_poller_cannot_tell_but_wakes() {
    let (_temp, dir) = scratch();
    let mut watcher = PollWatcher::new(Duration::from_millis(2));
    assert!(watcher.add_file(&*dir, "missing").is_err());
    watcher.add_dir(&*dir, ".").unwrap();
    assert_eq!(watcher.wait(LONG, None).unwrap(), Wake::Anything);
    let (read, write) = std::io::pipe().unwrap();
    rustix::io::write(&write, b"!").unwrap();
    let mut slow = PollWatcher::new(LONG);
    let before = Instant::now();
    assert_eq!(slow.wait(LONG, Some(read.as_fd())).unwrap(), Wake::Nothing);
    assert!(before.elapsed() < LONG);
}

#[test]
fn whoever_has_no_watcher_polls() {
    let mut watcher = new_watcher(&OsDisk);
    let (_temp, dir) = scratch();
    watcher.add_dir(&*dir, ".").unwrap();
    dir.open("f", Open::Create).unwrap();
    assert_ne!(watcher.wait(LONG, None).unwrap(), Wake::Nothing);
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::*;

    fn watcher() -> Box<dyn Watcher> {
        kernel_watcher().unwrap()
    }

    #[test]
    fn a_write_wakes_the_watch_of_its_file_alone() {
        let (_temp, dir) = scratch();
        let one = dir.open("one", Open::Create).unwrap();
        let two = dir.open("two", Open::Create).unwrap();
        let mut watcher = watcher();
        let first = watcher.add_file(&*dir, "one").unwrap();
        let second = watcher.add_file(&*dir, "two").unwrap();
        assert_eq!(watcher.wait(SHORT, None).unwrap(), Wake::Nothing);
        two.write_at(b"x", 0).unwrap();
        two.write_at(b"y", 0).unwrap();
        assert_eq!(
            watcher.wait(LONG, None).unwrap(),
            Wake::Changed(vec![second])
        );
        assert_eq!(watcher.wait(SHORT, None).unwrap(), Wake::Nothing);
        two.write_at(b"x", 0).unwrap();
        one.write_at(b"x", 0).unwrap();
        two.write_at(b"x", 0).unwrap();
        assert_eq!(
            watcher.wait(LONG, None).unwrap(),
            Wake::Changed(vec![first, second])
        );
    }

    #[test]
    fn a_write_wakes_who_sleeps() {
        let (_temp, dir) = scratch();
        let file = dir.open("f", Open::Create).unwrap();
        let mut watcher = watcher();
        let id = watcher.add_file(&*dir, "f").unwrap();
        let writer = std::thread::spawn(move || {
            assert_eq!(wait_for(None, None, SHORT).unwrap(), Polled::Late);
            file.write_at(b"x", 0).unwrap();
        });
        assert_eq!(watcher.wait(LONG, None).unwrap(), Wake::Changed(vec![id]));
        writer.join().unwrap();
    }

    #[test]
    fn a_rename_into_a_directory_wakes_its_watch() {
        let (_temp, dir) = scratch();
        dir.create_dir("sub").unwrap();
        dir.open("f", Open::Create).unwrap();
        let mut watcher = watcher();
        let id = watcher.add_dir(&*dir, "sub").unwrap();
        dir.rename("f", "sub/f").unwrap();
        assert_eq!(watcher.wait(LONG, None).unwrap(), Wake::Changed(vec![id]));
        dir.remove("sub/f").unwrap();
        assert_eq!(watcher.wait(LONG, None).unwrap(), Wake::Changed(vec![id]));
    }

    #[test]
    fn two_watches_of_one_file_end_one_by_one() {
        let (_temp, dir) = scratch();
        let file = dir.open("f", Open::Create).unwrap();
        let mut watcher = watcher();
        let first = watcher.add_file(&*dir, "f").unwrap();
        let second = watcher.add_file(&*dir, "f").unwrap();
        file.write_at(b"x", 0).unwrap();
        assert_eq!(
            watcher.wait(LONG, None).unwrap(),
            Wake::Changed(vec![first, second])
        );
        watcher.remove(first);
        file.write_at(b"x", 0).unwrap();
        assert_eq!(
            watcher.wait(LONG, None).unwrap(),
            Wake::Changed(vec![second])
        );
        watcher.remove(second);
        watcher.remove(second);
        file.write_at(b"x", 0).unwrap();
        assert_eq!(watcher.wait(SHORT, None).unwrap(), Wake::Nothing);
    }

    #[test]
    fn what_is_gone_or_elsewhere_is_told() {
        let (_temp, dir) = scratch();
        dir.create_dir("sub").unwrap();
        dir.open("sub/f", Open::Create).unwrap();
        let mut watcher = watcher();
        watcher.add_file(&*dir, "sub/f").unwrap();
        dir.remove("sub/f").unwrap();
        assert_ne!(watcher.wait(LONG, None).unwrap(), Wake::Nothing);
        // The path of a directory that was moved leads to another directory now.
        let sub = dir.open_dir("sub").unwrap();
        dir.rename("sub", "aside").unwrap();
        dir.create_dir("sub").unwrap();
        assert_eq!(
            watcher.add_dir(&*sub, ".").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn the_wake_descriptor_ends_the_wait() {
        let (_temp, dir) = scratch();
        let mut watcher = watcher();
        watcher.add_dir(&*dir, ".").unwrap();
        let (read, write) = std::io::pipe().unwrap();
        rustix::io::write(&write, b"!").unwrap();
        assert_eq!(
            watcher.wait(LONG, Some(read.as_fd())).unwrap(),
            Wake::Nothing
        );
    }
}
