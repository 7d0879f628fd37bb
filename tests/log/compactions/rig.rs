//! A partition on a simulated disk, its model, and what comes after a fault.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mq::client::{Admin, open_reader};
use mq::clock::Clock;
use mq::error::Result;
use mq::lifecycle::{NewTopic, alter_configs, create_topic};
use mq::partition::compaction::{Compacted, Effort, PassStatus, pass};
use mq::partition::{Committer, PartitionWriter, StatePage};
use mq::record::{BatchBuilder, BatchView, Decompressor};
use mq::store::StoreDir;
use mq::types::{Compression, Offset, TimestampType, TopicPartition};

use crate::common::rig::{TIMEOUT, configs, tp};
use crate::common::sim_disk::SimDisk;
use crate::common::tally::Tally;

const STORE: &str = "/store";

/// A clock that all processes of a machine share.
#[derive(Debug, Clone, Default)]
pub struct MachineClock {
    now: Arc<Mutex<Duration>>,
}

impl MachineClock {
    pub fn pass(&self, duration: Duration) -> Duration {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += duration;
        *now
    }
}

impl Clock for MachineClock {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.pass(Duration::ZERO).as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.pass(Duration::from_micros(1))
    }

    fn sleep(&self, duration: Duration) {
        self.pass(duration * 50);
    }
}

pub type Row = (Option<String>, Option<String>);

/// What was acknowledged.
#[derive(Clone, Default)]
pub struct Model {
    pub rows: BTreeMap<Offset, Row>,
    pub log_start: Offset,
    pub next_value: u64,
}

/// A partition on a simulated disk, and what it must hold.
#[derive(Clone)]
pub struct Rig {
    pub sim: SimDisk,
    pub clock: MachineClock,
    pub model: Model,
    policy: String,
}

pub fn t0() -> TopicPartition {
    tp("t", 0)
}

impl Rig {
    pub fn new(pairs: &[(&str, &str)]) -> Rig {
        let rig = Rig {
            sim: SimDisk::new(),
            clock: MachineClock::default(),
            model: Model::default(),
            policy: pairs[0].1.to_owned(),
        };
        let topic = NewTopic::embedded(t0().topic, 1).with_configs(configs(pairs));
        create_topic(&rig.store().expect("a store"), &topic, TIMEOUT).expect("a topic");
        rig
    }

    pub fn store(&self) -> Result<Arc<StoreDir>> {
        let disk = Arc::new(self.sim.clone());
        StoreDir::open_or_create(disk, Arc::new(self.clock.clone()), Path::new(STORE)).map(Arc::new)
    }

    /// The same after a kill or a power cut.
    pub fn on(&self, sim: SimDisk) -> Rig {
        Rig {
            sim,
            clock: self.clock.clone(),
            model: self.model.clone(),
            policy: self.policy.clone(),
        }
    }

    /// Appends a batch and waits until it is durable.
    pub fn append(&mut self, rows: &[(Option<u64>, bool)]) -> Result<()> {
        let store = self.store()?;
        let alter = |policy: &str| {
            let set = configs(&[("cleanup.policy", policy)]);
            alter_configs(&store, &t0().topic, &set, &[], TIMEOUT).map(drop)
        };
        // One without a key is refused; it may have been there before.
        let is_keyless = rows.iter().any(|(key, _)| key.is_none());
        if is_keyless {
            alter("delete")?;
        }
        let mut writer = PartitionWriter::open(&store, &t0(), TIMEOUT)?;
        self.append_with(&mut writer, rows)?;
        if is_keyless {
            alter(&self.policy)?;
        }
        Committer::open(&store, &t0(), TIMEOUT)?.commit(self.model.end())?;
        Ok(())
    }

    pub fn append_with(
        &mut self,
        writer: &mut PartitionWriter,
        rows: &[(Option<u64>, bool)],
    ) -> Result<()> {
        let mut builder = BatchBuilder::new();
        let mut added = Vec::new();
        for (key, has_value) in rows {
            self.model.next_value += 1;
            let key = key.map(|key| format!("key-{key}"));
            let value = has_value.then(|| format!("{:0>60}", self.model.next_value));
            let (k, v) = (key.as_deref(), value.as_deref());
            let now = self.clock.now_ms();
            builder.append(now, k.map(str::as_bytes), v.map(str::as_bytes), [])?;
            added.push((key, value));
        }
        let mut batch = builder.finish(Compression::None, TimestampType::CreateTime)?;
        let appended = writer.append(&mut batch)?;
        for (offset, row) in (appended.base_offset..).zip(added) {
            self.model.rows.insert(offset, row);
        }
        Ok(())
    }

    /// Takes in what an append left that did not return.
    pub fn take_in(&mut self, what: &str) {
        let end = self.model.end();
        let read = self.read().unwrap_or_else(|e| panic!("{what}: {e}"));
        self.model
            .rows
            .extend(read.range(end..).map(|(at, row)| (*at, row.clone())));
        let store = self.store().expect("a store");
        let mut committer = Committer::open(&store, &t0(), TIMEOUT).expect("a committer");
        committer
            .commit(self.model.end())
            .unwrap_or_else(|e| panic!("{what}: {e}"));
    }

    pub fn pass(&self, is_forced: bool) -> Result<Compacted> {
        self.pass_with(Effort {
            is_forced,
            ..Effort::default()
        })
    }

    pub fn pass_with(&self, effort: Effort) -> Result<Compacted> {
        pass(&self.store()?, &t0(), 0, effort, TIMEOUT, &mut |_| Ok(()))
    }

    pub fn page(&self) -> StatePage {
        let store = self.store().expect("a store");
        let reader = open_reader(&store, &t0()).expect("a reader");
        reader.page().expect("a page")
    }

    /// Reads from the log start on.
    pub fn read(&self) -> Result<BTreeMap<Offset, Row>> {
        let mut reader = open_reader(&self.store()?, &t0())?;
        let page = reader.page()?;
        let (mut from, mut buf, mut found) = (page.tail.log_start, Vec::new(), BTreeMap::new());
        while from < page.high_watermark {
            let read = reader.read(from, 61 + (from as usize * 97) % 700, &mut buf)?;
            assert!(read > 0, "no batch at {from}");
            let mut rest = buf.as_slice();
            while !rest.is_empty() {
                from = take_batch(&mut rest, from.max(page.tail.log_start), &mut found);
            }
        }
        Ok(found)
    }

    pub fn check(&self, what: &str) {
        Tally::case();
        let read = self
            .read()
            .unwrap_or_else(|e| panic!("{what}: {:?} {e}", e.kind()));
        if let Err(why) = self.model.check(&read, self.page().tail.active) {
            panic!("{what}: {why}\n{read:#?}\n{:#?}", self.sim.trace());
        }
    }

    /// What a process finds that comes after a fault: all that must be there, and work goes on.
    pub fn aftermath(mut self, what: &str) {
        self.check(what);
        self.append(&[(Some(1), true), (Some(2), false)])
            .unwrap_or_else(|e| panic!("{what}, then an append: {e}"));
        self.check(&format!("{what}, then an append"));
        let store = self.store().expect("a store");
        let observed = Admin::new(&store, TIMEOUT)
            .verify(&t0(), true)
            .expect("observed");
        let data: Vec<_> = observed
            .findings
            .iter()
            .filter(|finding| finding.data)
            .collect();
        assert!(data.is_empty(), "{what}: {data:#?}");
        let done = self
            .pass(true)
            .unwrap_or_else(|e| panic!("{what}, then a pass: {e}"));
        assert_eq!(
            (done.status, done.damaged.len()),
            (PassStatus::Done, 0),
            "{what}"
        );
        self.check(&format!("{what}, then a pass"));
        let observed = Admin::new(&store, TIMEOUT)
            .verify(&t0(), true)
            .expect("observed");
        assert!(
            observed.findings.is_empty(),
            "{what}: {:#?}",
            observed.findings
        );
        let page = self.page();
        let left = self.read().expect("read");
        let closed = left
            .range(..page.tail.active)
            .filter_map(|(_, row)| row.0.clone());
        let (mut keys, all): (Vec<String>, usize) = (closed.clone().collect(), closed.count());
        keys.sort();
        keys.dedup();
        assert_eq!(
            keys.len(),
            all,
            "{what}: a whole pass leaves one record a key"
        );
    }
}

pub fn take_batch(rest: &mut &[u8], from: Offset, found: &mut BTreeMap<Offset, Row>) -> Offset {
    let view = BatchView::parse(rest).expect("whole batches");
    view.check_crc().expect("sound batches");
    let mut scratch = Decompressor::default();
    for record in view.records(&mut scratch).expect("records") {
        let record = record.expect("a record");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if record.offset >= from {
            let newest = found.last_key_value().map(|(offset, _)| *offset);
            assert!(newest < Some(record.offset), "in offset order");
            found.insert(
                record.offset,
                (record.key.map(text), record.value.map(text)),
            );
        }
    }
    let next = view.header().next_offset();
    *rest = &rest[view.header().total_len()..];
    next
}

impl Model {
    pub fn end(&self) -> Offset {
        self.rows.last_key_value().map_or(0, |(at, _)| at + 1)
    }

    /// Whether a read is one that a compacted log may give.
    fn check(&self, read: &BTreeMap<Offset, Row>, compacted_to: Offset) -> Result<(), String> {
        for (offset, row) in read {
            if self.rows.get(offset) != Some(row) {
                return Err(format!(
                    "{row:?} at {offset}, where {:?} was written",
                    self.rows.get(offset)
                ));
            }
        }
        let mut last: BTreeMap<&str, (Offset, bool)> = BTreeMap::new();
        for (offset, (key, value)) in self.rows.range(self.log_start..) {
            let is_missing = !read.contains_key(offset);
            match key {
                Some(key) => {
                    last.insert(key, (*offset, value.is_some()));
                }
                None if is_missing => {
                    return Err(format!("the record at {offset} without a key is gone"));
                }
                None => {}
            }
            if *offset >= compacted_to && is_missing {
                return Err(format!(
                    "the record at {offset} is gone, beyond {compacted_to}"
                ));
            }
        }
        for (key, (offset, has_value)) in last {
            let found = read
                .iter()
                .rev()
                .find(|(_, row)| row.0.as_deref() == Some(key));
            let found = found.map(|(at, _)| *at);
            if found != Some(offset) && (has_value || found.is_some()) {
                return Err(format!(
                    "of {key} the last is at {found:?}, was written at {offset}"
                ));
            }
        }
        Ok(())
    }
}
