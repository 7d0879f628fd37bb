use super::*;
use crate::disk::{Disk, OsDisk};
use crate::group::fixture::{Fixture, place};

const RETRY: Duration = Duration::from_micros(300);

/// A log of some bytes, and its sync.
fn log_of(place: &Fixture, dir: &Arc<dyn Dir>, len: u64) -> (Arc<dyn File>, OffsetsSync) {
    let log = dir.open(layout::OFFSETS_LOG, Open::Append).expect("log");
    log.append(&vec![b'x'; usize::try_from(len).expect("small")])
        .expect("append");
    make(&**dir, log.id().expect("id"));
    let sync = OffsetsSync::open(&place.store, dir, &*log).expect("open");
    (log, sync)
}

fn group_dir() -> (tempfile::TempDir, Arc<dyn Dir>) {
    let temp = tempfile::tempdir().expect("temp");
    let dir = OsDisk.open_dir(temp.path()).expect("open");
    (temp, dir)
}

#[test]
fn a_note_counts_whole_in_its_boot_and_for_no_more_than_there_is() {
    let (place, (_temp, dir)) = (place(), group_dir());
    let (log, sync) = log_of(&place, &dir, 100);
    assert_eq!(sync.read(&*log).expect("read"), None);
    assert_eq!(
        sync.cover(&*log, 100, RETRY).expect("sync"),
        Synced::Durable
    );
    let note = sync.read(&*log).expect("read").expect("whole");
    assert_eq!((note.durable, note.at_work), (100, 0));
    let raw = note.encode();
    assert_eq!(raw.len(), NOTE_BYTES);
    let mut cases = 0;
    for bit in 0..NOTE_BYTES * 8 {
        let mut flipped = raw.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            decode(&flipped.try_into().expect("as long")),
            None,
            "bit {bit}"
        );
        cases += 1;
    }
    let others = [
        Note {
            boot_id: [9; 16],
            ..note
        },
        Note {
            durable: 101,
            ..note
        },
        Note {
            at_work: 101,
            ..note
        },
    ];
    for other in others {
        sync.file.write_at(&other.encode(), NOTE_AT).expect("write");
        assert_eq!(sync.read(&*log).expect("read"), None, "{other:?}");
        cases += 1;
    }
    sync.file.set_len(47).expect("cut");
    assert_eq!(sync.read(&*log).expect("read"), None);
    println!("{} cases", cases + 1);
}

#[test]
fn a_note_of_a_sync_whose_end_nobody_saw_stays() {
    let (place, (_temp, dir)) = (place(), group_dir());
    let (log, sync) = log_of(&place, &dir, 100);
    sync.write(60, 100).expect("write");
    let later = OffsetsSync::open(&place.store, &dir, &*log).expect("open");
    for sync in [&sync, &later] {
        let covered = sync.cover(&*log, 50, RETRY).expect("no sync");
        assert_eq!(covered, Synced::Unknown, "whatever it is about");
    }
    let note = sync.read(&*log).expect("read").expect("whole");
    assert_eq!((note.durable, note.at_work), (60, 100));
}

#[test]
fn while_another_has_the_lock_its_note_tells() {
    let (place, (_temp, dir)) = (place(), group_dir());
    let (log, sync) = log_of(&place, &dir, 100);
    sync.write(60, 100).expect("write");
    assert!(sync.file.try_lock(LockKind::Exclusive).expect("lock"));
    let other = OffsetsSync::open(&place.store, &dir, &*log).expect("open");
    let at_once = other.cover(&*log, 60, RETRY).expect("no sync");
    assert_eq!(at_once, Synced::Durable, "an earlier sync was enough");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| other.cover(&*log, 100, RETRY).expect("no sync"));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished());
        sync.write(100, 0).expect("write");
        assert_eq!(waits.join().expect("covered"), Synced::Durable);
    });
}

#[test]
fn where_no_note_can_be_left_everybody_syncs_alone() {
    let (place, (_temp, dir)) = (place(), group_dir());
    let (log, sync) = log_of(&place, &dir, 100);
    let name = layout::offsets_sync(log.id().expect("id").inode);
    let read_only = OffsetsSync {
        store: Arc::clone(&place.store),
        dir: Arc::clone(&dir),
        file: dir.open(&name, Open::Read).expect("open"),
        id: sync.id,
        name,
    };
    for _ in 0..2 {
        let synced = read_only.cover(&*log, 100, RETRY).expect("alone");
        assert_eq!(synced, Synced::Durable);
        assert_eq!(
            sync.read(&*log).expect("read"),
            None,
            "it vouches for nobody"
        );
    }
}

#[test]
fn a_file_that_was_replaced_tells_nothing() {
    let (place, (_temp, dir)) = (place(), group_dir());
    let (log, sync) = log_of(&place, &dir, 100);
    dir.remove(&sync.name).expect("remove");
    let other = OffsetsSync::open(&place.store, &dir, &*log).expect("open");
    let covered = |sync: &OffsetsSync| sync.cover(&*log, 100, RETRY).expect("no error");
    assert_eq!(covered(&sync), Synced::Unknown, "its lock excludes nobody");
    assert_eq!(covered(&other), Synced::Unknown, "nor are its notes known");
    let note = other.read(&*log).expect("read").expect("whole");
    assert_eq!((note.durable, note.at_work), (0, 100));
}
