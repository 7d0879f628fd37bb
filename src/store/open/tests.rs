#![expect(
    clippy::disallowed_methods,
    reason = "tests damage files behind the disk's back"
)]

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::clock::SystemClock;
use crate::disk::OsDisk;
use crate::types::EMBEDDED_BROKER;

fn open(path: &Path) -> Result<StoreDir> {
    StoreDir::open(Arc::new(OsDisk), Arc::new(SystemClock::default()), path)
}

fn make(path: &Path) -> Result<StoreDir> {
    StoreDir::open_or_create(Arc::new(OsDisk), Arc::new(SystemClock::default()), path)
}

fn unusable(path: &Path, says: &str) {
    for result in [open(path), make(path)] {
        let error = result.expect_err(says);
        assert_eq!(error.kind(), Kind::UnusableStore, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.cure_text().is_some(), "{error}");
    }
}

#[test]
fn a_store_is_made_whole_and_found_again() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("a/b/store");
    let error = open(&path).expect_err("nothing there");
    assert_eq!(error.kind(), Kind::NoStore);
    assert!(error.to_string().contains("a/b/store"));
    assert!(!temp.path().join("a").exists(), "a look makes nothing");

    let made = make(&path).expect("made");
    let found = open(&path).expect("found");
    assert_eq!(made.cluster_id(), found.cluster_id());
    assert_eq!(make(&path).expect("found").cluster_id(), found.cluster_id());
    assert!(found.warnings().is_empty());
    let logs = found.logs_dir(EMBEDDED_BROKER).expect("logs");
    let meta = std::fs::read_to_string(logs.path().join(layout::META_PROPERTIES)).expect("meta");
    assert!(
        meta.contains(&format!("cluster.id={}\n", found.cluster_id())),
        "{meta}"
    );
    assert_eq!(
        found.broker_dir(1).expect_err("no broker 1").kind(),
        Kind::BrokerState
    );
    assert_eq!(
        found.group_dir("g").expect_err("no group").kind(),
        Kind::UnknownGroup
    );
    found.topics_dir().expect("topics");
    found.sync_topics().expect("synced");
    let beside: Vec<_> = std::fs::read_dir(temp.path().join("a/b"))
        .expect("list")
        .collect();
    assert_eq!(beside.len(), 1, "nothing is left beside it");
    let mode = |path: &Path| path.metadata().expect("stat").permissions().mode() & 0o777;
    assert_eq!(
        (mode(&path), mode(&path.join(layout::STORE_FILE))),
        (0o700, 0o600)
    );
}

#[test]
fn an_empty_directory_becomes_a_store_and_links_above_are_followed() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("empty");
    std::fs::create_dir(&path).expect("dir");
    assert_eq!(open(&path).expect_err("empty").kind(), Kind::NoStore);
    make(&path).expect("made");
    symlink(temp.path(), temp.path().join("link")).expect("link");
    make(&temp.path().join("link/other")).expect("made");
    make(&temp.path().join("link/other")).expect("found");
    open(&temp.path().join("other")).expect("there");
}

#[test]
fn of_many_makers_one_wins_and_all_use_his() {
    for empty_first in [false, true] {
        let temp = tempfile::tempdir().expect("temp");
        let path = temp.path().join("store");
        if empty_first {
            std::fs::create_dir(&path).expect("dir");
        }
        let ids: Vec<Uuid> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| make(&path))).collect();
            makers
                .into_iter()
                .map(|maker| maker.join().expect("join").expect("make").cluster_id())
                .collect()
        });
        assert!(ids.iter().all(|id| Some(id) == ids.first()), "{ids:?}");
        assert_eq!(std::fs::read_dir(temp.path()).expect("list").count(), 1);
    }
}

#[test]
fn what_cannot_be_a_store_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().expect("temp");
    let file = temp.path().join("file");
    std::fs::write(&file, "x").expect("file");
    unusable(&file, "not a directory");
    let foreign = temp.path().join("foreign");
    std::fs::create_dir(&foreign).expect("dir");
    std::fs::write(foreign.join("letter.txt"), "x").expect("file");
    unusable(&foreign, "no store.json");
    assert_eq!(std::fs::read_dir(&foreign).expect("list").count(), 1);

    let store = temp.path().join("store");
    make(&store).expect("made");
    let link = temp.path().join("link");
    symlink(&store, &link).expect("link");
    unusable(&link, "symbolic link");
    let json = store.join(layout::STORE_FILE);
    std::fs::rename(&json, store.join("kept")).expect("rename");
    symlink("kept", &json).expect("link");
    unusable(&store, "symbolic link");
    std::fs::remove_file(&json).expect("remove");

    #[derive(serde::Serialize)]
    struct Newer {
        format_version: u32,
        news: &'static str,
    }
    let newer = json_file::encode(&Newer {
        format_version: 2,
        news: "x",
    });
    std::fs::write(&json, &newer).expect("write");
    unusable(&store, "format version 2");
    std::fs::write(&json, newer.get(1..).expect("bytes")).expect("write");
    assert_eq!(open(&store).expect_err("cut").kind(), Kind::Damaged);
    assert_eq!(
        make(&store).expect_err("never made anew").kind(),
        Kind::Damaged
    );
}

#[test]
fn a_store_that_all_may_write_is_warned_of() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("store");
    make(&path).expect("made");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("chmod");
    let store = open(&path).expect("opened");
    assert_eq!(store.warnings().len(), 1);
}

/// A disk that says of everything that it is far away.
#[derive(Debug)]
struct FarDisk;

impl Disk for FarDisk {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        OsDisk.open_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir_all(path)
    }
    fn file_system(&self, _: &Path) -> io::Result<FileSystem> {
        Ok(FileSystem::Network("nfs"))
    }
    fn boot_id(&self) -> io::Result<[u8; 16]> {
        OsDisk.boot_id()
    }
    fn watcher(&self) -> io::Result<Box<dyn crate::disk::Watcher>> {
        OsDisk.watcher()
    }
}

#[test]
fn a_network_file_system_is_refused_before_anything_is_made() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("far/store");
    let error =
        StoreDir::open_or_create(Arc::new(FarDisk), Arc::new(SystemClock::default()), &path)
            .expect_err("refused");
    assert_eq!(error.kind(), Kind::UnusableStore);
    assert!(error.to_string().contains("nfs"));
    assert!(!temp.path().join("far").exists());
}
