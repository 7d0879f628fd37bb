//! A topic with a replica on each of three brokers, whose daemons are played by hand.

use std::path::Path;
use std::sync::Arc;

use mq::clock::Clock;
use mq::disk::{Disk, Open};
use mq::error::{Error, Kind, Result};
use mq::lifecycle::{NewTopic, create_topic, replace_replica};
use mq::partition::{
    Appended, Committer, Followed, Follower, PartitionReader, PartitionWriter, Replica, Role,
    StatePage, Watermark, raise_log_start,
};
use mq::record::{BatchBuilder, BatchHeader};
use mq::store::BrokerFile;
use mq::store::FencedLock;
use mq::store::topics::topic_file;
use mq::store::{PartitionMeta, TopicMeta};
use mq::store::{StoreDir, json_file};
use mq::types::{BrokerId, Compression, Offset, TimestampType, TopicName, TopicPartition};

use crate::common::rig::{TIMEOUT, TickClock, configs};
use crate::common::sim_disk::SimDisk;

pub const STORE: &str = "/s";
/// Steps after which a follower must have come to the end.
const STEPS_MAX: usize = 400;

pub fn name() -> TopicName {
    TopicName::new("t").expect("a name")
}

pub fn tp() -> TopicPartition {
    TopicPartition::new(name(), 0)
}

/// One process's view of the store.
pub struct Cluster {
    pub sim: SimDisk,
    pub store: Arc<StoreDir>,
    value: u64,
}

/// A batch as it lies in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lies {
    pub base: Offset,
    pub last: Offset,
    pub epoch: i32,
    pub bytes: Vec<u8>,
}

/// What reaches beyond an offset.
pub fn since(mut log: Vec<Lies>, start: Offset) -> Vec<Lies> {
    log.retain(|lies| lies.last >= start);
    log
}

impl Cluster {
    /// Led by broker 0, all in sync.
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let sim = SimDisk::new();
        let clock: Arc<dyn Clock> = Arc::new(TickClock::default());
        let store = StoreDir::open_or_create(Arc::new(sim.clone()), clock, Path::new(STORE));
        let store = Arc::new(store.expect("a store"));
        for broker in 1..=2 {
            let path = format!("{STORE}/brokers/{broker}");
            sim.create_dir_all(Path::new(&format!("{path}/logs")))
                .expect("a directory");
            let dir = sim.open_dir(Path::new(&path)).expect("a directory");
            let file = dir.open("broker.json", Open::CreateNew).expect("a file");
            file.write_at(&json_file::encode(&BrokerFile::new(broker)), 0)
                .expect("written");
            file.sync_data().expect("synced");
            dir.sync().expect("synced");
            sim.open_dir(Path::new(&format!("{STORE}/brokers")))
                .expect("there")
                .sync()
                .expect("synced");
        }
        let new = NewTopic {
            name: name(),
            assignment: vec![vec![0, 1, 2]],
            configs: configs(pairs),
        };
        create_topic(&store, &new, TIMEOUT).expect("a topic");
        Cluster {
            sim,
            store,
            value: 0,
        }
    }

    /// The store as another process, or one after a power cut, has it.
    pub fn on(sim: SimDisk, value: u64) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TickClock::default());
        let store = StoreDir::open(Arc::new(sim.clone()), clock, Path::new(STORE));
        Cluster {
            sim,
            store: Arc::new(store.expect("a store")),
            value,
        }
    }

    /// As [`Cluster::on`], of which no value was written before.
    pub fn next(&self, sim: SimDisk) -> Self {
        Cluster::on(sim, self.value + 1_000_000)
    }

    pub fn meta(&self) -> TopicMeta {
        topic_file::read_to_change(&self.store, &name()).expect("a topic")
    }

    pub fn partition(&self) -> PartitionMeta {
        self.meta().partitions[0].clone()
    }

    pub fn leader(&self) -> BrokerId {
        self.partition().leader
    }

    /// The brokers that do not lead.
    pub fn followers(&self) -> Vec<BrokerId> {
        let leader = self.leader();
        (0..3).filter(|broker| *broker != leader).collect()
    }

    pub fn every_message(&self) -> bool {
        self.meta().configs().expect("configs").every_message()
    }

    pub fn change(&self, change: impl Fn(&mut PartitionMeta)) {
        let guard = FencedLock::acquire_store(&self.store, "test", TIMEOUT).expect("the lock");
        topic_file::update_all(&self.store, &guard, &[name()], |meta| {
            change(&mut meta.partitions[0]);
            Ok(true)
        })
        .expect("changed");
    }

    /// The next epoch, led by `leader`, with these in sync.
    pub fn elect(&self, leader: BrokerId, isr: &[BrokerId]) {
        self.change(|partition| {
            partition.leader = leader;
            partition.leader_epoch += 1;
            partition.isr = isr.to_vec();
        });
    }

    pub fn try_produce(
        &mut self,
        batches: &[(usize, usize, Compression)],
    ) -> Result<Vec<Appended>> {
        let mut writer = PartitionWriter::open(&self.store, &tp(), TIMEOUT)?;
        // The leader begins its epoch, even if nothing follows.
        writer.make_ready()?;
        let mut appended = Vec::new();
        for (records, len, compression) in batches {
            let mut builder = BatchBuilder::new();
            for _ in 0..*records {
                self.value += 1;
                let value = format!("{:0len$}", self.value);
                builder.append_value(1_700_000_000_000, value.as_bytes())?;
            }
            let mut batch = builder.finish(*compression, TimestampType::CreateTime)?;
            appended.push(writer.append(&mut batch)?);
        }
        if self.every_message() {
            let page = writer.replica().read_page()?.expect("a page");
            Committer::open(&self.store, &tp(), TIMEOUT)?.commit(page.tail.end)?;
        }
        Watermark::open(&self.store, &tp())?.raise(TIMEOUT)?;
        Ok(appended)
    }

    /// So many batches of one record each.
    pub fn produce(&mut self, batches: usize) -> Vec<Appended> {
        self.try_produce(&vec![(1, 50, Compression::None); batches])
            .expect("appended")
    }

    pub fn replica(&self, broker: BrokerId) -> Replica {
        Replica::open(&self.store, &tp(), broker).expect("a replica")
    }

    pub fn page(&self, broker: BrokerId) -> StatePage {
        self.replica(broker)
            .read_page()
            .expect("read")
            .expect("a page")
    }

    pub fn follower(&self, broker: BrokerId) -> Follower {
        Follower::open(&self.store, &tp(), broker, TIMEOUT).expect("a follower")
    }

    /// Follows to the end.
    pub fn follow(&self, broker: BrokerId) -> Follower {
        let mut follower = self.follower(broker);
        self.catch_up(&mut follower).expect("caught up");
        follower
    }

    pub fn catch_up(&self, follower: &mut Follower) -> Result<()> {
        for _ in 0..STEPS_MAX {
            let followed = follower.step(700)?;
            if followed == Followed::CaughtUp && follower.is_settled() {
                return Ok(());
            }
            if followed == Followed::NoFollower {
                return Err(Error::new(Kind::Fenced, "it leads"));
            }
        }
        let error = follower.take_leader_error().map(|e| e.to_string());
        Err(Error::new(
            Kind::Busy,
            format!("it never gets there: {error:?}"),
        ))
    }

    /// The three steps to be in sync; whether it is.
    pub fn join(&self, follower: &mut Follower, broker: BrokerId) -> Result<bool> {
        if let Some(version) = follower.enter_joining()? {
            let guard = FencedLock::acquire_store(&self.store, "test", TIMEOUT)?;
            topic_file::update_all(&self.store, &guard, &[name()], |meta| {
                let partition = &mut meta.partitions[0];
                let due = meta.version == version && !partition.is_in_sync(broker);
                if due {
                    partition.isr.push(broker);
                    partition.isr.sort_unstable();
                }
                Ok(due)
            })?;
        }
        let (meta, _) = topic_file::read(&self.store, &name())?;
        Ok(meta.partitions[0].is_in_sync(broker))
    }

    /// Who in sync has more than the leader, after a power cut: a controller lets that one lead.
    fn ahead(&self) -> Option<BrokerId> {
        let partition = self.partition();
        let extent = |broker: BrokerId| {
            let page = self.page(broker);
            let this_boot = page.boot_id == self.store.boot_id();
            let sure = if this_boot {
                page.tail.end
            } else {
                page.durable.offset
            };
            (page.tail.epoch, sure)
        };
        let most = partition.isr.iter().map(|id| (extent(*id), *id)).max()?;
        (most.0 > extent(partition.leader)).then_some(most.1)
    }

    /// All follow to the end and are in sync; what is left to be raised is. A leader that lost what
    /// another has in sync gives way.
    pub fn settle(&self) -> Result<()> {
        for _ in 0..3 {
            match self.settle_once() {
                Err(e) if e.kind() == Kind::Busy => match self.ahead() {
                    Some(ahead) => self.elect(ahead, &self.partition().isr),
                    None => return Err(e),
                },
                settled => return settled,
            }
        }
        self.settle_once()
    }

    /// A follower at the end of its leader's log; recreated if the two had nothing in common.
    pub fn caught_up(&self, broker: BrokerId) -> Result<Follower> {
        let try_once = || {
            let mut follower = Follower::open(&self.store, &tp(), broker, TIMEOUT)?;
            self.catch_up(&mut follower).map(|()| follower)
        };
        match try_once() {
            // The daemon replaces it, also if an earlier replacement was not finished.
            Err(e) if matches!(e.kind(), Kind::OffsetOutOfRange | Kind::Fenced) => {
                // The simulated process may die in this read, too.
                let meta = topic_file::read_to_change(&self.store, &name())?;
                let uuid = meta.partitions[0].uuid_of(broker).expect("a replica");
                replace_replica(&self.store, &tp(), broker, uuid, TIMEOUT)?;
                try_once()
            }
            tried => tried,
        }
    }

    /// Raises the leader's log start.
    pub fn trim(&self, to: Offset) -> Result<()> {
        let mut writer = PartitionWriter::open(&self.store, &tp(), TIMEOUT)?;
        raise_log_start(&mut writer, to, TIMEOUT).map(drop)
    }

    /// The largest log start of a replica.
    pub fn start(&self) -> Offset {
        let starts = (0..3).map(|broker| self.page(broker).tail.log_start);
        starts.max().unwrap_or_default()
    }

    fn settle_once(&self) -> Result<()> {
        for _ in 0..3 {
            for broker in self.followers() {
                let mut follower = self.caught_up(broker)?;
                self.join(&mut follower, broker)?;
                self.catch_up(&mut follower)?;
            }
        }
        Ok(())
    }

    /// The committed log of a replica, batch by batch.
    pub fn log(&self, broker: BrokerId) -> Vec<Lies> {
        let replica = self.replica(broker);
        let page = self.page(broker);
        let log = self.log_to(&replica, page.tail.end);
        since(log, page.tail.log_start)
    }

    /// What lies in a replica's files, whole batches in sequence, up to `end`.
    pub fn log_to(&self, replica: &Replica, end: Offset) -> Vec<Lies> {
        let dir = replica.dir();
        let mut names: Vec<String> = dir
            .list(".")
            .expect("listed")
            .into_iter()
            .map(|e| e.name)
            .collect();
        names.retain(|name| Path::new(name).extension().is_some_and(|e| e == "log"));
        names.sort_unstable();
        let mut found: Vec<Lies> = Vec::new();
        for name in &names {
            let file = dir.open(name, Open::Read).expect("a segment");
            let mut bytes = vec![0; file.len().expect("a length") as usize];
            let read = file.read_at(&mut bytes, 0).expect("read");
            bytes.truncate(read);
            let mut rest = bytes.as_slice();
            while let Ok(header) = BatchHeader::parse(rest) {
                let due = found
                    .last()
                    .map_or(header.base_offset, |lies| lies.last + 1);
                let len = header.total_len();
                if header.base_offset != due || header.last_offset() >= end || rest.len() < len {
                    break;
                }
                let (batch, after) = rest.split_at(len);
                found.push(Lies {
                    base: header.base_offset,
                    last: header.last_offset(),
                    epoch: header.leader_epoch,
                    bytes: batch.to_vec(),
                });
                rest = after;
            }
        }
        found
    }

    /// That all replicas hold the same, tell the same epochs, show all of it, and are sound.
    pub fn check_identical(&self, what: &str) {
        let leader = self.leader();
        let (start, page) = (self.start(), self.page(leader));
        let log = since(self.log(leader), start);
        let end = log.last().map_or(start, |lies| lies.last + 1);
        assert_eq!(
            end, page.tail.end,
            "{what}: the leader's log is shorter than its page says"
        );
        assert_eq!(page.high_watermark, end, "{what}: what the leader shows");
        assert_eq!(page.role, Role::Leader, "{what}");
        for broker in self.followers() {
            let followers = self.page(broker);
            assert!(
                since(self.log(broker), start) == log,
                "{what}: broker {broker}'s log is another"
            );
            assert_eq!(followers.tail.end, end, "{what}: broker {broker}'s end");
            assert!(
                followers.tail.log_start >= page.tail.log_start,
                "{what}: broker {broker} starts at {}, its leader at {}",
                followers.tail.log_start,
                page.tail.log_start
            );
            assert_eq!(
                followers.high_watermark, end,
                "{what}: what broker {broker} shows"
            );
            assert_eq!(followers.leader_epoch, page.leader_epoch, "{what}");
            assert_eq!(followers.role, Role::Follower, "{what}");
        }
        for broker in 0..3 {
            self.check_readable(broker, what);
        }
    }

    /// That a replica reads from start to end, with epochs that its checkpoint confirms.
    pub fn check_readable(&self, broker: BrokerId, what: &str) {
        let page = self.page(broker);
        let epochs = self
            .replica(broker)
            .epochs()
            .expect("read")
            .unwrap_or_default();
        for lies in self.log(broker) {
            assert_eq!(
                epochs.at(lies.base),
                Some(lies.epoch),
                "{what}: broker {broker}, {epochs:?}, {}",
                lies.base
            );
        }
        let mut reader = PartitionReader::open_at(&self.store, &tp(), broker).expect("a reader");
        let (mut at, mut buf) = (page.tail.log_start, Vec::new());
        while at < page.high_watermark {
            let read = reader.read(at, 1 << 16, &mut buf);
            let read = read.unwrap_or_else(|e| panic!("{what}: broker {broker} at {at}: {e}"));
            assert_ne!(
                read, 0,
                "{what}: broker {broker} at {at} of {}",
                page.high_watermark
            );
            let mut rest = &buf[..read];
            while let Ok(header) = BatchHeader::parse(rest) {
                at = header.last_offset() + 1;
                rest = &rest[header.total_len()..];
            }
        }
    }

    /// Whole batches that lie below an offset.
    pub fn below(&self, broker: BrokerId, offset: Offset) -> Vec<Lies> {
        let mut log = self.log(broker);
        log.retain(|lies| lies.last < offset);
        log
    }

    /// That nothing shown contradicts anything shown elsewhere, and that all that the leader of the
    /// present epoch shows is in every replica in sync. Where every election was clean.
    pub fn check_shown(&self, what: &str) {
        let shown: Vec<(StatePage, Vec<Lies>)> = (0..3)
            .map(|broker| {
                let page = self.page(broker);
                (page, self.below(broker, page.high_watermark))
            })
            .collect();
        let start = self.start();
        for (a, (page, one)) in shown.iter().enumerate() {
            let end = one.last().map_or(page.tail.log_start, |lies| lies.last + 1);
            assert_eq!(
                end, page.high_watermark,
                "{what}: broker {a} shows what it has not"
            );
            for (b, (_, other)) in shown.iter().enumerate() {
                let (one, other) = (since(one.clone(), start), since(other.clone(), start));
                let fits = one.starts_with(&other) || other.starts_with(&one);
                assert!(fits, "{what}: brokers {a} and {b} show different records");
            }
        }
        let partition = self.partition();
        let (page, records) = &shown[partition.leader as usize];
        let records = since(records.clone(), start);
        if page.role == Role::Leader && page.leader_epoch == partition.leader_epoch {
            for broker in partition.isr {
                assert!(
                    since(self.log(broker), start).starts_with(&records),
                    "{what}: broker {broker} is in sync and lacks what the leader shows"
                );
            }
        }
    }

    /// All that any replica shows.
    pub fn shown(&self) -> Vec<Lies> {
        let all = (0..3).map(|broker| self.below(broker, self.page(broker).high_watermark));
        all.max_by_key(|log| log.last().map(|lies| lies.last))
            .unwrap_or_default()
    }
}
