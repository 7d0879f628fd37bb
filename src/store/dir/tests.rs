#![expect(
    clippy::disallowed_methods,
    reason = "tests damage files behind the disk's back"
)]

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use super::*;
use crate::clock::SystemClock;
use crate::disk::{FileSystem, OsDisk};
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
    assert!(!temp.path().join("a").exists(), "opening creates nothing");

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
    let through = make(&link).expect("a link to the store itself is followed");
    assert_eq!(
        through.cluster_id(),
        open(&store).expect("opened").cluster_id()
    );
    let empty = temp.path().join("empty");
    std::fs::create_dir(&empty).expect("dir");
    let to_empty = temp.path().join("to-empty");
    symlink(&empty, &to_empty).expect("link");
    make(&to_empty).expect("made where the link leads");
    assert!(empty.join("store.json").exists());
    let dangling = temp.path().join("dangling");
    symlink(temp.path().join("nowhere"), &dangling).expect("link");
    assert_eq!(open(&dangling).expect_err("no store").kind(), Kind::NoStore);
    let json = store.join(layout::STORE_FILE);
    std::fs::rename(&json, store.join("kept")).expect("rename");
    symlink("kept", &json).expect("link");
    unusable(&store, "symbolic link");
    std::fs::remove_file(&json).expect("remove");

    #[derive(serde::Serialize)]
    struct Newer {
        format_version: u32,
        changes: &'static str,
    }
    let newer = json_file::encode(&Newer {
        format_version: 3,
        changes: "x",
    });
    std::fs::write(&json, &newer).expect("write");
    unusable(&store, "format version 3");
    std::fs::write(&json, newer.get(1..).expect("bytes")).expect("write");
    assert_eq!(open(&store).expect_err("cut").kind(), Kind::Damaged);
    assert_eq!(
        make(&store).expect_err("never created again").kind(),
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

/// A disk that reports every file as on a network file system.
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

/// A disk that notes which directories are opened.
#[derive(Debug, Default)]
struct NotingDisk(Mutex<Vec<PathBuf>>);

impl Disk for NotingDisk {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        self.0.lock().expect("lock").push(path.to_owned());
        OsDisk.open_dir(path)
    }
    fn open_dir_through_links(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        OsDisk.open_dir_through_links(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir_all(path)
    }
    fn file_system(&self, path: &Path) -> io::Result<FileSystem> {
        OsDisk.file_system(path)
    }
    fn boot_id(&self) -> io::Result<[u8; 16]> {
        OsDisk.boot_id()
    }
    fn watcher(&self) -> io::Result<Box<dyn crate::disk::Watcher>> {
        OsDisk.watcher()
    }
}

#[test]
fn the_name_of_a_store_is_synced_where_a_link_leads() {
    let temp = tempfile::tempdir().expect("temp");
    let temp = temp.path().canonicalize().expect("a path");
    let (real, link) = (temp.join("disk/store"), temp.join("links/store"));
    make(&real).expect("made");
    std::fs::create_dir(temp.join("links")).expect("dir");
    std::os::unix::fs::symlink(&real, &link).expect("link");
    // The store's creator may have died before the name was synced.
    for (path, parents) in [
        (&real, &[temp.join("disk")][..]),
        (&link, &[temp.join("disk"), temp.join("links")]),
    ] {
        let disk = Arc::new(NotingDisk::default());
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::<NotingDisk>::clone(&disk), clock, path);
        assert_eq!(store.expect("opened").path(), real);
        // Only parents are opened that way, to be synced.
        assert_eq!(*disk.0.lock().expect("lock"), parents, "{}", path.display());
    }
}

#[test]
fn a_store_is_at_its_path_until_that_leads_elsewhere() {
    let temp = tempfile::tempdir().expect("temp");
    let (path, away) = (temp.path().join("store"), temp.path().join("away"));
    make(&path).expect("made");
    let store = open(&path).expect("open");
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("link");
    assert!(store.is_still_at(&path) && store.is_still_at(&link));
    std::fs::rename(&path, &away).expect("moved");
    assert!(!store.is_still_at(&path) && !store.is_still_at(&link));
    assert!(store.is_still_at(&away));
    make(&path).expect("another");
    assert!(!store.is_still_at(&path));
    std::fs::write(temp.path().join("file"), "").expect("file");
    assert!(!store.is_still_at(&temp.path().join("file")));
    std::fs::remove_file(away.join("store.json")).expect("removed");
    assert!(!store.is_still_at(&away), "what is left of one");
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

#[test]
fn an_empty_directory_stays_the_directory_it_is() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("mount");
    std::fs::create_dir(&path).expect("dir");
    // As a file system creates it, at the top of a disk.
    std::fs::create_dir(path.join("lost+found")).expect("dir");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o2770)).expect("chmod");
    let held = OsDisk.open_dir(&path).expect("open");
    assert_eq!(open(&path).expect_err("empty").kind(), Kind::NoStore);
    make(&path).expect("made");
    assert_eq!(
        held.id("store.json").expect("in it").device,
        held.own_id().expect("id").device
    );
    let mode = path.metadata().expect("stat").permissions().mode();
    assert_eq!(mode & 0o7777, 0o2770);
    assert!(path.join("lost+found").exists());
    let mut names: Vec<_> = held
        .list(".")
        .expect("list")
        .into_iter()
        .map(|e| e.name)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "brokers",
            "deleted",
            "groups",
            "lock.1",
            "lost+found",
            "store.json",
            "topics"
        ]
    );
}

/// What a creator that died left, up to the step with this number.
fn begin(path: &Path, steps: usize) {
    use crate::store::lock::create_lock;
    std::fs::create_dir(path).expect("dir");
    let dir = OsDisk.open_dir(path).expect("open");
    let staging = layout::staging_dir(&Uuid([7; 16]));
    let meta = "cluster.id=AAAAAAAAAAAAAAAAAAAAAQ\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAg\n\
                node.id=0\nversion=1\n";
    let rename = |from: &str, to: &str| dir.rename_new(from, to).expect("rename");
    let all: [&dyn Fn(); 8] = [
        &|| dir.create_dir(&staging).expect("dir"),
        &|| drop(create_lock(&*dir.open_dir(&staging).expect("open")).expect("lock")),
        &|| rename(&format!("{staging}/lock.0"), "lock.0"),
        &|| rename("lock.0", "lock.4"),
        &|| std::fs::write(path.join("lock.4/4"), "").expect("file"),
        &|| std::fs::create_dir_all(path.join("brokers/0/logs")).expect("dirs"),
        &|| std::fs::write(path.join("brokers/0/logs/meta.properties"), meta).expect("file"),
        &|| std::fs::create_dir(path.join("topics")).expect("dir"),
    ];
    for step in all.iter().take(steps) {
        step();
    }
}

#[test]
fn what_a_dead_maker_left_is_completed_by_whoever_comes() {
    for steps in 0..=8 {
        for writes in [false, true] {
            let temp = tempfile::tempdir().expect("temp");
            let path = temp.path().join("store");
            begin(&path, steps);
            // Without a lock it is an empty directory.
            if steps < 3 && !writes {
                assert_eq!(
                    open(&path).expect_err("empty").kind(),
                    Kind::NoStore,
                    "{steps}"
                );
                continue;
            }
            let store = if writes { make(&path) } else { open(&path) }.expect("completed");
            assert_eq!(open(&path).expect("whole").cluster_id(), store.cluster_id());
            let meta = std::fs::read_to_string(path.join("brokers/0/logs/meta.properties"));
            let meta = meta.expect("there");
            assert!(
                meta.contains(&store.cluster_id().to_string()),
                "{steps}: {meta}"
            );
            if steps >= 7 {
                assert!(meta.contains("AAAAAAAAAAAAAAAAAAAAAQ"), "the first wins");
            }
        }
    }
}

#[test]
fn what_lost_its_store_file_is_not_taken_for_one_in_the_making() {
    let temp = tempfile::tempdir().expect("temp");
    for (number, lost) in ["topics/t.json", "groups/g", "brokers/0/logs/t-0", "notes"]
        .iter()
        .enumerate()
    {
        let path = temp.path().join(number.to_string());
        make(&path).expect("made");
        std::fs::remove_file(path.join(layout::STORE_FILE)).expect("lost");
        std::fs::create_dir(path.join(lost)).expect("dir");
        unusable(&path, "no store.json");
    }
}

#[test]
fn a_late_makers_lock_is_never_the_lock() {
    use std::time::Duration;

    use crate::store::lock::{FencedLock, create_lock};
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("store");
    let store = make(&path).expect("made");
    // A creator was stopped before its rename, and resumes.
    let root = store.root();
    let late = layout::staging_dir(&Uuid([9; 16]));
    root.create_dir(&late).expect("dir");
    drop(create_lock(&*root.open_dir(&late).expect("open")).expect("lock"));
    let guard = FencedLock::acquire_store(&store, "x", Duration::from_secs(5)).expect("lock");
    root.rename_new(&format!("{late}/lock.0"), "lock.0")
        .expect("late");
    let acquire = |timeout| FencedLock::acquire_store(&store, "y", Duration::from_millis(timeout));
    assert_eq!(acquire(50).expect_err("held").kind(), Kind::Busy);
    // Not even if listings do not show the real lock.
    root.rename_new("lock.1", "hidden").expect("hide");
    assert_eq!(acquire(2000).expect_err("none").kind(), Kind::Damaged);
    root.rename_new("hidden", "lock.1").expect("show");
    drop(guard);
    assert_eq!(acquire(5000).expect("free").n(), 1);
    assert!(!path.join("lock.0").exists(), "a holder removes it");
}

#[test]
fn makers_that_live_keep_what_they_make() {
    use std::time::Duration;

    use crate::store::staging::{StagingDir, Suspects, remove_dead};
    let temp = tempfile::tempdir().expect("temp");
    let dir = OsDisk.open_dir(temp.path()).expect("open");
    let alive = StagingDir::make(&dir).expect("made");
    let dead = layout::staging_dir(&Uuid([1; 16]));
    let begun = layout::staging_dir(&Uuid([2; 16]));
    dir.create_dir(&dead).expect("dir");
    dir.create_dir(&begun).expect("dir");
    let lock = crate::store::lock::create_lock(&*dir.open_dir(&dead).expect("open"));
    drop(lock.expect("lock"));
    let mut suspects = Suspects::default();
    let mut sweep = |at| remove_dead(&*dir, &mut suspects, Duration::from_secs(at)).expect("swept");
    assert_eq!(sweep(100), [dead]);
    assert!(sweep(159).is_empty());
    assert_eq!(sweep(160), [begun]);
    assert!(sweep(1000).is_empty());
    assert!(dir.id(alive.name()).is_ok());
    drop(alive);
    assert!(dir.list(".").expect("list").is_empty());
}

#[test]
fn a_read_only_disk_is_nobodys_right_to_give() {
    for (errno, cure) in [(30, "mount that disk"), (13, "run as the user")] {
        let e = denied(
            Path::new("/s"),
            "written",
            io::Error::from_raw_os_error(errno),
        );
        assert_eq!(e.kind(), Kind::UnusableStore);
        assert!(e.to_string().starts_with("the store /s may not be written"));
        assert!(
            e.cure_text()
                .is_some_and(|reported| reported.starts_with(cure))
        );
    }
}
