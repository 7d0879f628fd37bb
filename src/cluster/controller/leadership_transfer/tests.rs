use super::*;
use crate::clock::SystemClock;
use crate::disk::OsDisk;
use crate::lifecycle::{NewTopic, create_topic};
use crate::partition::{Followed, Follower, raise_log_start};
use crate::record::BatchBuilder;
use crate::store::topics::topic_file;
use crate::store::{BrokerFile, ReplicaMeta, json_file};
use crate::types::{Compression, TimestampType};

/// Records the order in which transfers end.
#[derive(Default)]
struct Ends(Vec<(usize, bool)>);

impl Witness for Ends {
    fn ended(&mut self, index: usize, outcome: Result<()>) {
        self.0.push((index, outcome.is_ok()));
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A topic on brokers 0 and 1, both in sync, led by 0 in epoch 1.
fn on_two_brokers(path: &std::path::Path, partitions: i32) -> (Arc<StoreDir>, TopicMeta) {
    let clock = Arc::new(SystemClock::default());
    let store = Arc::new(StoreDir::open_or_create(Arc::new(OsDisk), clock, path).unwrap());
    let name = TopicName::new("t").unwrap();
    create_topic(
        &store,
        &NewTopic::embedded(name.clone(), partitions),
        TIMEOUT,
    )
    .unwrap();
    copy(&path.join("brokers/0/logs"), &path.join("brokers/1/logs"));
    let file = json_file::encode(&BrokerFile::new(1));
    std::fs::write(path.join("brokers/1/broker.json"), file).unwrap();
    let guard = FencedLock::acquire_store(&store, "test", TIMEOUT).unwrap();
    let changed = topic_file::update_all(&store, &guard, std::slice::from_ref(&name), |meta| {
        for p in &mut meta.partitions {
            let uuid = p.replicas[0].uuid;
            p.replicas = [0, 1].map(|broker| ReplicaMeta { broker, uuid }).into();
            p.isr = vec![0, 1];
            // The state pages are of the epoch before.
            p.leader_epoch += 1;
        }
        Ok(true)
    });
    let meta = changed.unwrap().remove(0);
    drop(guard);
    (store, meta)
}

#[test]
fn a_target_whose_log_starts_lower_does_not_lead_yet() {
    let at = tempfile::tempdir().unwrap();
    let (store, meta) = on_two_brokers(&at.path().join("store"), 1);
    let tp = TopicPartition::new(meta.name.clone(), 0);
    let mut writer = PartitionWriter::open(&store, &tp, TIMEOUT).unwrap();
    let mut follower = Follower::open(&store, &tp, 1, TIMEOUT).unwrap();
    for _ in 0..9 {
        let mut builder = BatchBuilder::new();
        builder.append_value(1, b"v").unwrap();
        let batch = builder.finish(Compression::None, TimestampType::CreateTime);
        writer.append(&mut batch.unwrap()).unwrap();
    }
    crate::partition::Committer::open(&store, &tp, TIMEOUT)
        .and_then(|mut committer| committer.commit(9))
        .unwrap();
    let mut follow = || while follower.step(1 << 20).unwrap() != Followed::CaughtUp {};
    follow();
    raise_log_start(&mut writer, 5, TIMEOUT).unwrap();
    let wanted = [LeadershipTransfer {
        tp: tp.clone(),
        topic_id: meta.topic_id,
        from: 0,
        epoch: meta.partitions[0].leader_epoch,
        to: 1,
        drop_from_isr: Vec::new(),
    }];
    let terms = Terms {
        authority: &|_| Ok(true),
        goes_on: &|| true,
        stalled_after: Duration::from_millis(50),
    };
    let mut ends = Ends::default();
    move_leaders(&store, &wanted, terms, &mut ends);
    assert_eq!(ends.0, [(0, false)], "its log starts at 0");
    follow();
    let target = Replica::open(&store, &tp, 1).unwrap();
    assert_eq!(target.read_page().unwrap().unwrap().tail.log_start, 5);
    let (meta, _) = topic_file::read(&store, &tp.topic).unwrap();
    let wanted = wanted.map(|wanted| LeadershipTransfer {
        epoch: meta.partitions[0].leader_epoch,
        ..wanted
    });
    let mut ends = Ends::default();
    move_leaders(&store, &wanted, terms, &mut ends);
    assert_eq!(ends.0, [(0, true)]);
}

#[test]
fn a_move_waits_for_no_other_leaders_log_to_be_put_in_order() {
    let partitions: i32 = 4;
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("store");
    let (store, meta) = on_two_brokers(&path, partitions);
    let name = meta.name.clone();
    let tp = |partition| TopicPartition::new(name.clone(), partition);
    let last = partitions - 1;
    PartitionWriter::open(&store, &tp(last), TIMEOUT)
        .and_then(|mut writer| writer.make_ready())
        .unwrap();
    // Another process holds the logs of the others.
    let others: Vec<_> = (0..last)
        .map(|partition| Replica::open(&store, &tp(partition), 0).unwrap())
        .collect();
    let held: Vec<_> = others
        .iter()
        .map(|replica| replica.lock(TIMEOUT).unwrap())
        .collect();
    let moves: Vec<_> = (0..partitions)
        .map(|partition| LeadershipTransfer {
            tp: tp(partition),
            topic_id: meta.topic_id,
            from: 0,
            epoch: meta.partitions[0].leader_epoch,
            to: 1,
            drop_from_isr: Vec::new(),
        })
        .collect();
    let terms = Terms {
        authority: &|_| Ok(true),
        goes_on: &|| true,
        stalled_after: TRANSFER_STALLED_AFTER,
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let mut ends = Ends::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut follower = Follower::open(&store, &tp(last), 1, TIMEOUT).unwrap();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = follower.step(1 << 20);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        move_leaders(&store, &moves, terms, &mut ends);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    drop(held);
    assert_eq!(
        ends.0,
        [(3, true), (0, false), (1, false), (2, false)],
        "the one whose log is in order is moved first"
    );
}
