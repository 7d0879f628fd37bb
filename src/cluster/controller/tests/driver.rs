//! The controller on a store with three brokers.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::clock::SystemClock;
use crate::cluster::controller::controller_file::ControllerFile;
use crate::cluster::controller::controller_role::Me;
use crate::cluster::controller::driver::{Controller, Raise, TurnChanges};
use crate::cluster::controller::leadership_transfer::{Mover, Terms, Witness};
use crate::cluster::controller::metadata_update::{Warrant, change_all};
use crate::cluster::controller::prober::{Prober, Round};
use crate::cluster::controller::replica_snapshot::Disks;
use crate::cluster::controller::state::{AckedUpTo, ProbeRequest};
use crate::cluster::notice::Notice;
use crate::disk::OsDisk;
use crate::error::{Error, Kind, Result};
use crate::lifecycle::{NewTopic, create_topic};
use crate::store::brokers::failure_reports;
use crate::store::topics::topic_file;
use crate::store::{BrokerFile, FencedLock, StoreDir, json_file};

const TIMEOUT: Duration = Duration::from_secs(10);
const ME: Me = Me {
    broker_id: 0,
    incarnation: 1,
};
const NOTHING: TurnChanges = TurnChanges {
    topics: false,
    reports: false,
};

/// Transfers by changing the topic file alone.
#[derive(Default)]
struct Moved {
    batches: AtomicUsize,
    /// The disk of broker 1 hangs.
    hangs: std::sync::atomic::AtomicBool,
}

impl Mover for Moved {
    fn move_leaders(
        &self,
        store: &Arc<StoreDir>,
        moves: &[LeadershipTransfer],
        terms: Terms<'_>,
        witness: &mut dyn Witness,
    ) {
        self.batches.fetch_add(1, Ordering::SeqCst);
        while moves.iter().any(|m| m.from == 1) && self.hangs.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let move_all = || {
            let guard = FencedLock::acquire_store(store, "move", TIMEOUT)?;
            if !(terms.authority)(&guard)? {
                return Err(Error::new(Kind::Fenced, "no longer the controller"));
            }
            let mut names: Vec<_> = moves.iter().map(|m| m.tp.topic.clone()).collect();
            names.dedup();
            topic_file::update_all(store, &guard, &names, |meta| {
                for what in moves.iter().filter(|m| m.tp.topic == meta.name) {
                    let p = &mut meta.partitions[what.tp.partition as usize];
                    assert_eq!((p.leader, p.leader_epoch), (what.from, what.epoch));
                    p.leader = what.to;
                    p.leader_epoch += 1;
                    p.isr.retain(|b| !what.drop_from_isr.contains(b));
                }
                Ok(true)
            })
        };
        let outcome: Result<_> = move_all();
        for index in 0..moves.len() {
            let one = outcome.as_ref().map(|_| ());
            witness.ended(index, one.map_err(|e| Error::new(e.kind(), e.to_string())));
        }
    }
}

struct Cluster {
    _at: tempfile::TempDir,
    store: Arc<StoreDir>,
    controller: Controller,
    moved: Arc<Moved>,
    raised: Arc<Mutex<Vec<TopicPartition>>>,
    brokers: BTreeMap<BrokerId, BrokerLiveness>,
    notified: Vec<String>,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Cluster {
    /// Brokers 0 to 2, each with a replica of each partition; they lead in turn.
    fn new(partitions: i32) -> Self {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("store");
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).unwrap();
        let store = Arc::new(store);
        let name = TopicName::new("t").unwrap();
        let new = NewTopic::embedded(name.clone(), partitions);
        create_topic(&store, &new, TIMEOUT).unwrap();
        for broker in 1..=2 {
            let dir = path.join(format!("brokers/{broker}"));
            copy(&path.join("brokers/0/logs"), &dir.join("logs"));
            let file = json_file::encode(&BrokerFile::new(broker));
            std::fs::File::create(dir.join("broker.json"))
                .and_then(|mut f| std::io::Write::write_all(&mut f, &file))
                .unwrap();
        }
        let guard = FencedLock::acquire_store(&store, "test", TIMEOUT).unwrap();
        topic_file::update_all(&store, &guard, &[name], |meta| {
            for p in &mut meta.partitions {
                let uuid = p.replicas[0].uuid;
                let order = (0..3).map(|n| (p.partition + n) % 3);
                p.replicas = order.map(|broker| ReplicaMeta { broker, uuid }).collect();
                p.isr = p.replicas.iter().map(|r| r.broker).collect();
                p.leader = p.isr[0];
            }
            Ok(true)
        })
        .unwrap();
        drop(guard);
        let moved = Arc::new(Moved::default());
        let raised = Arc::new(Mutex::new(Vec::new()));
        let raise: Raise = {
            let raised = Arc::clone(&raised);
            Arc::new(move |_, tp| {
                raised.lock().unwrap().push(tp.clone());
                Ok(())
            })
        };
        let mover: Arc<dyn Mover> = moved.clone();
        let mut controller = Controller::new(&store, mover, raise, TIMEOUT);
        let cluster = |controller| Cluster {
            _at: at,
            store: Arc::clone(&store),
            controller,
            moved,
            raised,
            brokers: (0..3).map(|b| (b, UP)).collect(),
            notified: Vec::new(),
        };
        assert_eq!(controller.due(), None);
        controller.take_office(1, ME);
        let cluster = cluster(controller);
        cluster.name_controller(1);
        cluster
    }

    fn name_controller(&self, epoch: u64) {
        let guard = FencedLock::acquire_store(&self.store, "test", TIMEOUT).unwrap();
        let file = ControllerFile {
            epoch,
            broker_id: ME.broker_id,
            incarnation: ME.incarnation,
            pid: Some(1),
            since_ms: 0,
        };
        file.write(&guard).unwrap();
    }

    /// A turn, with all probes that it requests.
    fn turn(&mut self, changed: TurnChanges) {
        self.turn_once(changed);
        while self.controller.is_probing() {
            self.turn_once(NOTHING);
        }
    }

    fn turn_once(&mut self, changed: TurnChanges) {
        let notified = &mut self.notified;
        self.controller
            .turn(&self.brokers, changed, &mut |t| match t {
                Notice::Note(text) => notified.push(text),
                Notice::Problem(e) => notified.push(e.to_string()),
            })
            .unwrap();
    }

    /// Runs turns until no work is under way.
    fn settle(&mut self) {
        let clock = Arc::clone(self.store.clock());
        let until = clock.monotonic() + Duration::from_secs(20);
        while self
            .controller
            .due()
            .is_some_and(|due| due < clock.monotonic() + Duration::from_millis(20))
        {
            assert!(clock.monotonic() < until);
            clock.sleep(Duration::from_millis(1));
            self.turn(NOTHING);
        }
    }

    fn meta(&self) -> TopicMeta {
        let name = TopicName::new("t").unwrap();
        topic_file::read_to_change(&self.store, &name).unwrap()
    }
}

#[test]
fn a_dead_broker_loses_its_leaderships_and_leaves_every_in_sync_set() {
    let mut cluster = Cluster::new(9);
    cluster.turn(NOTHING);
    let before = cluster.meta();
    cluster.settle();
    assert_eq!(cluster.meta(), before);
    cluster.brokers.insert(1, DOWN);
    cluster.turn(NOTHING);
    cluster.settle();
    let after = cluster.meta();
    for (was, is) in before.partitions.iter().zip(&after.partitions) {
        assert!(!is.isr.contains(&1), "{is:?}");
        let led = was.leader == 1;
        assert_eq!(is.leader_epoch, was.leader_epoch + i32::from(led));
        assert_eq!(is.leader, if led { 2 } else { was.leader });
    }
    // One batch of transfers, and one change of all the others.
    assert_eq!(cluster.moved.batches.load(Ordering::SeqCst), 1);
    assert_eq!(after.version, before.version + 2);
    fn runs_in_a_thread<T: Send>(_: &T) {}
    runs_in_a_thread(&cluster.controller);
    let until = cluster.store.clock().monotonic() + TIMEOUT;
    while cluster.raised.lock().unwrap().len() < 9 {
        assert!(cluster.store.clock().monotonic() < until);
        cluster.store.clock().sleep(Duration::from_millis(1));
    }
    assert_eq!(
        cluster.notified,
        ["broker 2 leads t:1, t:4, t:7 instead of broker 1, which is not alive"]
    );
}

#[test]
fn a_disk_that_hangs_keeps_the_moves_of_no_other_waiting() {
    let mut cluster = Cluster::new(3);
    cluster.turn(NOTHING);
    cluster.moved.hangs.store(true, Ordering::SeqCst);
    cluster.brokers.insert(1, DOWN);
    cluster.brokers.insert(2, DOWN);
    let clock = Arc::clone(cluster.store.clock());
    let until = clock.monotonic() + TIMEOUT;
    while cluster.meta().partitions[2].leader != 0 {
        assert!(clock.monotonic() < until, "all wait for one");
        cluster.turn(NOTHING);
        clock.sleep(Duration::from_millis(1));
    }
    assert_eq!(cluster.meta().partitions[1].leader, 1);
    cluster.moved.hangs.store(false, Ordering::SeqCst);
    cluster.settle();
    assert_eq!(cluster.meta().partitions[1].leader, 0);
}

#[test]
fn a_report_of_a_lost_directory_ends_in_a_fence() {
    let mut cluster = Cluster::new(3);
    cluster.turn(NOTHING);
    let lost = cluster.store.path().join("brokers/1/logs/t-1");
    std::fs::remove_dir_all(lost).unwrap();
    let tp = TopicPartition::new(TopicName::new("t").unwrap(), 1);
    failure_reports::report(&cluster.store, &tp).unwrap();
    cluster.turn(TurnChanges {
        topics: false,
        reports: true,
    });
    let meta = cluster.meta();
    let p = &meta.partitions[1];
    assert_eq!((p.leader, p.leader_epoch), (2, 1));
    assert_eq!(p.isr, [2, 0]);
    assert_eq!(
        cluster.notified,
        ["t:1: broker 2 leads in epoch 1, after broker 1 (its directory is gone)"]
    );
    assert_eq!(failure_reports::take(&cluster.store).unwrap(), []);
}

#[test]
fn a_log_directory_that_is_away_proves_nothing_of_its_replicas() {
    for away in ["brokers/1/broker.json", "brokers/1/logs"] {
        let mut cluster = Cluster::new(3);
        cluster.turn(NOTHING);
        let (path, aside) = (
            cluster.store.path().join(away),
            cluster.store.path().join("x"),
        );
        std::fs::rename(&path, &aside).unwrap();
        let tp = TopicPartition::new(TopicName::new("t").unwrap(), 1);
        failure_reports::report(&cluster.store, &tp).unwrap();
        cluster.turn(TurnChanges {
            topics: false,
            reports: true,
        });
        let p = &cluster.meta().partitions[1];
        assert_eq!((p.leader, p.leader_epoch), (1, 0), "{away}");
        assert_eq!(cluster.notified.len(), 1, "{:?}", cluster.notified);
        std::fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a_lock_that_is_kept_is_taken_for_stuck_after_two_seconds() {
    let mut cluster = Cluster::new(3);
    cluster.turn(NOTHING);
    let tp = TopicPartition::new(TopicName::new("t").unwrap(), 1);
    let replica = crate::partition::Replica::open(&cluster.store, &tp, 1).unwrap();
    let held = replica.lock(Duration::ZERO).unwrap();
    held.stand_still();
    let begun = cluster.store.clock().monotonic();
    failure_reports::report(&cluster.store, &tp).unwrap();
    cluster.turn(TurnChanges {
        topics: false,
        reports: true,
    });
    while cluster.meta().partitions[1].leader == 1 {
        let now = cluster.store.clock().monotonic();
        assert!(now - begun < TIMEOUT);
        let due = cluster.controller.due().unwrap();
        cluster.store.clock().sleep(due.saturating_sub(now));
        cluster.turn(NOTHING);
    }
    assert!(cluster.store.clock().monotonic() - begun >= Duration::from_secs(2));
    drop(held);
    assert_eq!(cluster.meta().partitions[1].isr, [2, 0]);
}

#[test]
fn another_epoch_ends_its_office() {
    let mut cluster = Cluster::new(3);
    cluster.turn(NOTHING);
    let before = cluster.meta();
    cluster.name_controller(2);
    cluster.brokers.insert(1, DOWN);
    cluster.turn(NOTHING);
    cluster.settle();
    assert_eq!(cluster.controller.due(), None);
    assert_eq!(cluster.meta(), before);
}

/// Changes the first partition of `cluster` as decided, in a later critical section.
fn elect_later(cluster: &Cluster, forced: Forced) -> bool {
    let meta = cluster.meta();
    let p = &meta.partitions[1];
    let change = Change {
        job: WorkId(1),
        tp: TopicPartition::new(meta.name.clone(), 1),
        topic_id: meta.topic_id,
        leader: p.leader,
        epoch: p.leader_epoch,
        kind: ChangeKind::Elect(LeaderElection {
            to: 2,
            uuid: p.uuid_of(2).unwrap(),
            drop_from_isr: vec![p.leader],
            unclean: false,
            why: "",
            forced: Some(forced),
        }),
    };
    let warrant = Warrant::new(1, ME);
    let mut disks = Disks::default();
    let made = change_all(&cluster.store, &warrant, &mut disks, &[change], TIMEOUT).unwrap();
    let made = !made.expect("in office").jobs.is_empty();
    assert_eq!(made, cluster.meta().partitions[1].leader == 2);
    made
}

#[test]
fn a_fence_is_dropped_where_its_cause_is_gone_once_the_lock_of_the_store_is_had() {
    let cluster = Cluster::new(3);
    // Its directory was missing for a moment.
    let ineligible = Forced::DirectoryUnusable("its directory is gone");
    assert!(!elect_later(&cluster, ineligible));
    // Its lock is free again; or the heartbeat moved; or a state page was published.
    let tp = TopicPartition::new(TopicName::new("t").unwrap(), 1);
    let replica = crate::partition::Replica::open(&cluster.store, &tp, 1).unwrap();
    let sequence = replica.read_page().unwrap().unwrap().sequence;
    let heartbeat = replica.heartbeat();
    assert!(!elect_later(
        &cluster,
        Forced::LockKept(Some(sequence), heartbeat)
    ));
    let held = replica.lock(Duration::ZERO).unwrap();
    held.stand_still();
    let heartbeat = replica.heartbeat();
    for (sequence, heartbeat) in [(sequence + 1, heartbeat), (sequence, heartbeat + 1)] {
        assert!(!elect_later(
            &cluster,
            Forced::LockKept(Some(sequence), heartbeat)
        ));
    }
    // Nothing changed since.
    assert!(elect_later(
        &cluster,
        Forced::LockKept(Some(sequence), heartbeat)
    ));
    drop(held);
    let cluster = Cluster::new(3);
    std::fs::remove_dir_all(cluster.store.path().join("brokers/1/logs/t-1")).unwrap();
    assert!(elect_later(&cluster, ineligible));
}

#[test]
fn a_disk_that_does_not_answer_keeps_no_other_look_waiting() {
    let cluster = Cluster::new(3);
    let clock = Arc::clone(cluster.store.clock());
    let (mut disks, mut prober) = (Disks::default(), Prober::new(&cluster.store));
    let at = |job: u64, partition: i32, leader: BrokerId, probe: bool| ProbeRequest {
        job: WorkId(job),
        tp: TopicPartition::new(TopicName::new("t").unwrap(), partition),
        leader,
        brokers: vec![leader, (leader + 1) % 3],
        probe,
    };
    let disk = disks.of(1);
    let hangs = disk.lock().unwrap();
    prober.ask(&mut disks, at(1, 1, 1, true), AckedUpTo::LogEnd);
    prober.ask(&mut disks, at(2, 2, 2, true), AckedUpTo::LogEnd);
    let began = clock.monotonic();
    let jobs = |round: &Round| round.observed.iter().map(|l| l.job.0).collect::<Vec<_>>();
    let round = prober.round();
    assert_eq!(jobs(&round), [2], "{round:?}");
    assert!(clock.monotonic() - began < Duration::from_secs(1));
    // It is behind: no round waits for it.
    prober.ask(&mut disks, at(3, 2, 2, true), AckedUpTo::LogEnd);
    prober.ask(&mut disks, at(4, 0, 0, false), AckedUpTo::LogEnd);
    let again = clock.monotonic();
    let round = prober.round();
    assert_eq!(jobs(&round), [3], "{round:?}");
    assert!(clock.monotonic() - again < Duration::from_millis(400));
    // A missing answer counts as failed.
    while clock.monotonic() - began < Duration::from_millis(1100) {
        clock.sleep(Duration::from_millis(20));
    }
    let round = prober.round();
    let failed = round.observed.iter().find(|l| l.job == WorkId(1)).unwrap();
    assert_eq!(failed.lock, Lock::Untried);
    let seen: Vec<_> = failed
        .replicas
        .iter()
        .map(|(b, l)| (*b, l.sequence().is_some()))
        .collect();
    assert_eq!(seen, [(1, false), (2, true)]);
    assert!(round.trouble.is_some());
    // It comes after all, for the next request.
    drop(hangs);
    prober.ask(&mut disks, at(5, 1, 1, true), AckedUpTo::LogEnd);
    let until = clock.monotonic() + TIMEOUT;
    let mut observed = Vec::new();
    while observed.is_empty() {
        assert!(clock.monotonic() < until);
        observed = prober.round().observed;
        observed.retain(|l| l.job == WorkId(5));
    }
    assert_eq!(observed[0].lock, Lock::Free);
    assert!(
        observed[0]
            .replicas
            .iter()
            .all(|(_, observe)| observe.sequence().is_some())
    );
}
