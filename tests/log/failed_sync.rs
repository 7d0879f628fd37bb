//! A failed sync is reported once, by the kernel and by the page. Here the page is lost afterwards, or
//! its newer copy: what the sync covered must not count as durable all the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::common::history::{Event, check};
use crate::common::rig::{Ledger, TIMEOUT, Worker, batch, open, tp};
use crate::common::sim_disk::SimDisk;
use crate::common::tally::Tally;
use mq::client::{Admin, open_reader};
use mq::disk::{Disk as _, Open};
use mq::error::{Kind, Result};
use mq::partition::{Committer, PAGE_FILE, PartitionWriter, SYNC_FILE, StatePage, confirm};
use rustix::io::Errno;

const REPLICA: &str = "/store/brokers/0/logs/t-0";
const SYNC_EACH: &[(&str, &str)] = &[("index.interval.bytes", "0")];
const ROLLS: &[(&str, &str)] = &[("segment.bytes", "1024"), ("index.interval.bytes", "200")];
const SYNC_FIVE: &[(&str, &str)] = &[("flush.messages", "5"), ("segment.bytes", "1024")];
/// Its syncs cover whole sectors, which no later write makes dirty again.
const FIVE_IN_ONE: &[(&str, &str)] = &[("flush.messages", "5")];
const SYNC_NEVER: &[(&str, &str)] = &[("flush.messages", "never")];
const MODES: [&[(&str, &str)]; 4] = [SYNC_EACH, ROLLS, SYNC_FIVE, FIVE_IN_ONE];

/// What becomes of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    BothCopies,
    NewerCopy,
    File,
}

const LOSSES: [Loss; 3] = [Loss::BothCopies, Loss::NewerCopy, Loss::File];

impl Loss {
    fn happen(self, sim: &SimDisk) {
        let path = format!("{REPLICA}/{PAGE_FILE}");
        let spoil = |at| sim.damage(&path, at, &[0x55; 64]).expect("spoilt");
        match self {
            Loss::BothCopies => {
                spoil(0);
                spoil(4096);
            }
            Loss::NewerCopy => {
                let dir = sim.open_dir(Path::new(REPLICA)).expect("the replica");
                let file = dir.open(PAGE_FILE, Open::Read).expect("a page");
                let sequence = |at: u64| {
                    let mut raw = [0; 8];
                    file.read_at(&mut raw, at + 8).expect("read");
                    u64::from_le_bytes(raw)
                };
                spoil(if sequence(0) > sequence(4096) {
                    0
                } else {
                    4096
                });
            }
            Loss::File => {
                let dir = sim.open_dir(Path::new(REPLICA)).expect("the replica");
                dir.remove(PAGE_FILE).expect("removed");
            }
        }
    }
}

fn worker(sim: &SimDisk, id: u32) -> Result<Worker> {
    let seen = sim.clone();
    Ok(Worker::new(
        open(Arc::new(sim.clone()), Path::new("/store"))?,
        id,
        move || !seen.is_dead(),
    ))
}

/// A topic with some records, and the next process.
fn prepare(pairs: &[(&str, &str)]) -> (SimDisk, Ledger) {
    let sim = SimDisk::new();
    let mut ledger = Ledger::default();
    let mut first = worker(&sim, 1).expect("a worker");
    first.create(&mut ledger, "t", 1, pairs).expect("a topic");
    for _ in 0..4 {
        first
            .append(&mut ledger, &tp("t", 0), 1, 120)
            .expect("appended");
    }
    (sim.process(), ledger)
}

fn produce(sim: &SimDisk, ledger: &mut Ledger) -> Result<()> {
    let mut worker = worker(sim, 2)?;
    for _ in 0..6 {
        worker.append(ledger, &tp("t", 0), 1, 250)?;
    }
    Ok(())
}

/// Goes on after the page was lost, repairing if asked to; whether that was asked.
fn go_on(what: &str, sim: &SimDisk, ledger: &mut Ledger) -> bool {
    let mut next = worker(sim, 3).expect("a worker");
    let asked = match next.append(ledger, &tp("t", 0), 1, 40) {
        Ok(()) => false,
        Err(e) if e.kind() == Kind::Offline => {
            let verified = Admin::new(&next.store, TIMEOUT)
                .verify(&tp("t", 0), false)
                .unwrap_or_else(|e| panic!("{what}: verify: {e}"));
            assert!(verified.is_damaged(), "{what}: verify sees nothing");
            next.repair(ledger, &tp("t", 0))
                .unwrap_or_else(|e| panic!("{what}: repair: {e}"));
            next.append(ledger, &tp("t", 0), 1, 40)
                .unwrap_or_else(|e| panic!("{what}: after the repair: {e}"));
            true
        }
        Err(e) => panic!("{what}: {:?}: {e}", e.kind()),
    };
    next.read(ledger, &tp("t", 0))
        .unwrap_or_else(|e| panic!("{what}: read: {e}"));
    asked
}

fn page(worker: &Worker) -> StatePage {
    let reader = open_reader(&worker.store, &tp("t", 0)).expect("a reader");
    reader.page().expect("a page")
}

/// The indexes of the segments below the one that the durable offset is in.
fn durable_indexes(sim: &SimDisk, segment: i64) -> BTreeMap<String, Vec<u8>> {
    let dir = sim.open_dir(Path::new(REPLICA)).expect("the replica");
    let names = dir.list(".").expect("listed").into_iter().map(|e| e.name);
    names
        .filter(|name| name.ends_with("index") && name[..20] < format!("{segment:020}")[..])
        .map(|name| {
            let file = dir.open(&name, Open::Read).expect("an index");
            let mut bytes = vec![0; file.len().expect("a length") as usize];
            file.read_at(&mut bytes, 0).expect("read");
            (name, bytes)
        })
        .collect()
}

/// Cuts the power, and checks that all that was acknowledged, read or called durable is there.
fn power_cut(what: &str, sim: &SimDisk, ledger: &mut Ledger) {
    Tally::case();
    ledger.history.push(Event::PowerCut);
    let place = page(&worker(sim, 7).expect("a worker")).durable;
    let (durable, segment) = (place.offset, place.segment);
    let left = sim.if_crashed(&mut |_| 0);
    // No recovery looks at these again.
    assert_eq!(
        durable_indexes(&left, segment),
        durable_indexes(sim, segment),
        "{what}: the indexes below the durable offset"
    );
    let mut last = worker(&left, 4).expect("a worker");
    let end = last
        .read(ledger, &tp("t", 0))
        .map(|_| page(&last).tail.end)
        .unwrap_or_else(|e| panic!("{what}: read after the power cut: {e}"));
    assert!(
        end >= durable,
        "{what}: ends at {end}, and was durable up to {durable}"
    );
    last.append(ledger, &tp("t", 0), 1, 40)
        .unwrap_or_else(|e| panic!("{what}: after the power cut: {e}"));
    last.read(ledger, &tp("t", 0))
        .unwrap_or_else(|e| panic!("{what}: read after the power cut: {e}"));
    let verified = Admin::new(&last.store, TIMEOUT)
        .verify(&tp("t", 0), true)
        .unwrap_or_else(|e| panic!("{what}: verify after the power cut: {e}"));
    assert!(
        verified.findings.is_empty(),
        "{what}: {:#?}",
        verified.findings
    );
    let violations = check(&ledger.history);
    assert!(violations.is_empty(), "{what}: {violations:#?}");
}

/// A sync failed between somebody's append and its acknowledgement: none is given.
#[test]
fn what_a_failed_sync_may_have_taken_is_not_acknowledged() {
    let _tally = Tally::start();
    for pairs in [SYNC_EACH, ROLLS, SYNC_FIVE, FIVE_IN_ONE, SYNC_NEVER] {
        Tally::case();
        // Where in a commit the sync is, one without faults tells.
        let mut at = None;
        for fails in [false, true] {
            let (sim, _) = prepare(pairs);
            let store = worker(&sim, 1).expect("a store").store;
            let t0 = tp("t", 0);
            let mut writer = PartitionWriter::open(&store, &t0, TIMEOUT).expect("a writer");
            let mut raw = batch(&["one more".to_owned()], 1);
            let appended = writer.append(&mut raw).expect("an append");
            let other = sim.process();
            let others = worker(&other, 2).expect("a store").store;
            let mut committer = Committer::open(&others, &t0, TIMEOUT).expect("a committer");
            let before = other.ops();
            if fails {
                other.fail_at(at.expect("a commit syncs"), Errno::IO);
            }
            let committed = committer.commit(appended.last_offset + 1);
            assert_eq!(committed.is_err(), fails, "{pairs:?}: {committed:?}");
            let trace = other.trace();
            let is_sync = |op: &String| op.starts_with("sync_data") && op.ends_with(".log");
            let sync = trace.iter().skip(before as usize).position(is_sync);
            at = sync.map(|n| before + 1 + n as u64);
            let (replica, topic) = writer.parts();
            let confirmed = confirm(&store, replica, topic, &appended);
            let kind = confirmed.map_err(|e| e.kind());
            let due = if fails { Err(Kind::Unknown) } else { Ok(()) };
            assert_eq!(kind, due, "{pairs:?}");
        }
    }
}

#[test]
fn a_failed_sync_is_not_forgotten_with_the_page() {
    let _tally = Tally::start();
    for pairs in MODES {
        let (sim, mut ledger) = prepare(pairs);
        produce(&sim, &mut ledger).expect("no faults");
        let trace = sim.trace();
        let mut asked = 0;
        for (n, op) in (1..).zip(&trace) {
            if !(op.starts_with("sync") && op.contains("/logs")) {
                continue;
            }
            for loss in LOSSES {
                let (sim, mut ledger) = prepare(pairs);
                sim.fail_at(n, Errno::IO);
                let outcome = produce(&sim, &mut ledger);
                let next = sim.process();
                loss.happen(&next);
                let what = format!("{pairs:?}: {op} ({n}) failed, then lost {loss:?}");
                let repaired = go_on(&what, &next, &mut ledger);
                assert!(
                    outcome.is_ok() || repaired,
                    "{what}: the failure is forgotten"
                );
                asked += usize::from(repaired);
                power_cut(&what, &next, &mut ledger);
            }
        }
        assert!(asked > 2, "{pairs:?}: only {asked} repairs");
    }
}

#[test]
fn a_sync_whose_end_nobody_saw_is_not_trusted_without_a_page() {
    let _tally = Tally::start();
    for pairs in MODES {
        let (sim, mut ledger) = prepare(pairs);
        produce(&sim, &mut ledger).expect("no faults");
        let trace = sim.trace();
        for (n, op) in (1..).zip(&trace) {
            if !(op.starts_with("sync") && op.contains("t-0/") && op.contains(".log")) {
                continue;
            }
            for loss in [Loss::BothCopies, Loss::File] {
                // The kernel reported the error to a process that died of it: the next sync says yes.
                let (sim, mut ledger) = prepare(pairs);
                sim.fail_at(n, Errno::IO);
                sim.stop_at(n + 1);
                let _ = produce(&sim, &mut ledger);
                let next = sim.kill();
                loss.happen(&next);
                let what = format!("{pairs:?}: killed in {op} ({n}), then lost {loss:?}");
                let repaired = go_on(&what, &next, &mut ledger);
                assert!(!repaired, "{what}: a rescue needs no repair");
                power_cut(&what, &next, &mut ledger);
            }
        }
    }
}

/// With `flush.messages` above 1, a rescue that died is done again, though the page's generation
/// has moved on from the note's.
#[test]
fn a_rewrite_of_unsynced_bytes_that_died_is_done_again_in_every_mode() {
    let _tally = Tally::start();
    for pairs in MODES {
        let (sim, mut ledger) = prepare(pairs);
        produce(&sim, &mut ledger).expect("no faults");
        let trace = sim.trace();
        let last_sync = trace
            .iter()
            .rposition(|op| op.starts_with("sync") && op.contains(".log"))
            .expect("a sync") as u64
            + 1;
        for m in 1.. {
            let (sim, mut ledger) = prepare(pairs);
            sim.fail_at(last_sync, Errno::IO);
            sim.stop_at(last_sync + 1);
            let _ = produce(&sim, &mut ledger);
            let rescuer = sim.kill();
            rescuer.stop_at(m);
            let rescued = worker(&rescuer, 5).and_then(|mut w| {
                (0..6).try_for_each(|_| w.append(&mut ledger, &tp("t", 0), 1, 40))
            });
            let what = format!("{pairs:?}: the rescuer stopped at {m}");
            let next = rescuer.kill();
            assert!(
                !go_on(&what, &next, &mut ledger),
                "{what}: asked for a repair"
            );
            let mut again = worker(&next, 6).expect("a worker");
            for _ in 0..5 {
                again
                    .append(&mut ledger, &tp("t", 0), 1, 40)
                    .unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            power_cut(&what, &next, &mut ledger);
            if rescued.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn the_note_of_a_failed_sync_goes_with_the_repair() {
    let _tally = Tally::start();
    let (sim, mut ledger) = prepare(SYNC_EACH);
    let before = sim.ops();
    produce(&sim, &mut ledger).expect("no faults");
    let at = sim
        .trace()
        .iter()
        .skip(before as usize)
        .position(|op| op.starts_with("sync") && op.contains(".log"))
        .expect("a sync");
    let (sim, mut ledger) = prepare(SYNC_EACH);
    sim.fail_at(before + at as u64 + 1, Errno::IO);
    produce(&sim, &mut ledger).expect_err("it failed");
    let next = sim.process();
    let note = |sim: &SimDisk| {
        let dir = sim.open_dir(Path::new(REPLICA)).expect("the replica");
        let file = dir.open(SYNC_FILE, Open::Read).expect("a file");
        let mut raw = [0; 48];
        file.read_at(&mut raw, 64).expect("read");
        raw
    };
    assert_ne!(note(&next), [0; 48]);
    assert!(go_on("the repair", &next, &mut ledger));
    assert_eq!(note(&next), [0; 48]);
    // A page that is lost now takes no mark with it.
    Loss::BothCopies.happen(&next.process());
    assert!(!go_on("the next loss", &next.process(), &mut ledger));
    Tally::case();
}
