//! Workers on a store, on any disk: their actions and results go into a history.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mq::client::open_reader;
use mq::clock::Clock;
use mq::disk::Disk;
use mq::error::{Error, Kind, Result};
use mq::lifecycle::{NewTopic, add_partitions, alter_configs, create_topic, delete_topic};
use mq::partition::{
    Committer, PartitionReader, PartitionWriter, RetentionLimits, confirm, raise_log_start,
    remove_old, retention_plan,
};
use mq::record::{BatchBuilder, BatchView, Decompressor};
use mq::store::StoreDir;
use mq::store::topics::topic_file;
use mq::types::{Compression, TimestampType, TopicName, TopicPartition};

use super::history::{Event, History, Log, Place, Promise};

/// How long a worker waits for a lock, by the clock that it was given.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A clock that advances only when it is read or slept on.
#[derive(Debug, Default)]
pub struct TickClock {
    now: Mutex<Duration>,
}

impl TickClock {
    fn pass(&self, duration: Duration) -> Duration {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += duration;
        *now
    }
}

impl Clock for TickClock {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.pass(Duration::ZERO).as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.pass(Duration::from_micros(1))
    }

    /// One for all processes: each has a clock of its own, which begins at zero.
    fn boottime_ms(&self) -> i64 {
        10_000_000
    }

    /// Longer than requested, as real sleeps are: waits end sooner.
    fn sleep(&self, duration: Duration) {
        self.pass(duration * 50);
    }
}

/// A topic's outward state: number of partitions and explicit configs.
pub type View = Option<(usize, BTreeMap<String, String>)>;

/// Everything that is known of what happened, from all workers.
#[derive(Clone, Default)]
pub struct Ledger {
    pub history: History,
    /// Each topic's states that a reader may find: the last reported one, and those that a call
    /// which never returned may have made.
    pub views: BTreeMap<String, Vec<View>>,
    next_payload: u64,
    next_reader: u32,
    /// Calls that failed, for messages.
    pub errors: Vec<String>,
}

/// One process.
pub struct Worker {
    pub store: Arc<StoreDir>,
    id: u32,
    alive: Box<dyn Fn() -> bool>,
    writers: BTreeMap<TopicPartition, (PartitionWriter, Committer)>,
    acked: Vec<(Log, String, Place)>,
}

pub fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("a name"), partition)
}

pub fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

/// Opens the store; creates it if there is none.
pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Arc<StoreDir>> {
    StoreDir::open_or_create(disk, Arc::new(TickClock::default()), path).map(Arc::new)
}

/// A finished batch of these records.
pub fn batch(payloads: &[String], timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for payload in payloads {
        builder
            .append_value(timestamp, payload.as_bytes())
            .expect("fits");
    }
    builder
        .finish(Compression::None, TimestampType::CreateTime)
        .expect("a batch")
}

impl Worker {
    pub fn new(store: Arc<StoreDir>, id: u32, alive: impl Fn() -> bool + 'static) -> Self {
        let alive = Box::new(alive);
        Worker {
            store,
            id,
            alive,
            writers: BTreeMap::new(),
            acked: Vec::new(),
        }
    }

    fn note(&self, ledger: &mut Ledger, what: &str, e: &Error) {
        if (self.alive)() {
            ledger.errors.push(format!("{what}: {:?}: {e}", e.kind()));
        }
    }

    /// Runs a change of metadata: afterwards the topic is unchanged, or as `after` says.
    fn change<T>(
        &self,
        ledger: &mut Ledger,
        topic: &str,
        what: &str,
        after: impl Fn(&View) -> View,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<()> {
        let states = ledger
            .views
            .entry(topic.to_owned())
            .or_insert_with(|| vec![None]);
        let before = states.len();
        let possible: Vec<View> = states.iter().map(&after).collect();
        states.extend(possible);
        let outcome = run();
        let states = ledger.views.entry(topic.to_owned()).or_default();
        match outcome {
            Ok(_) => {
                states.drain(..before);
                Ok(())
            }
            Err(e) => {
                self.note(ledger, what, &e);
                Err(e)
            }
        }
    }

    pub fn create(
        &self,
        ledger: &mut Ledger,
        topic: &str,
        partitions: i32,
        pairs: &[(&str, &str)],
    ) -> Result<()> {
        let new = NewTopic::embedded(TopicName::new(topic).expect("a name"), partitions)
            .with_configs(configs(pairs));
        let made: View = Some((partitions as usize, new.configs.clone()));
        self.change(
            ledger,
            topic,
            "create",
            |_| made.clone(),
            || create_topic(&self.store, &new, TIMEOUT),
        )
    }

    pub fn alter(&self, ledger: &mut Ledger, topic: &str, pairs: &[(&str, &str)]) -> Result<()> {
        let name = TopicName::new(topic).expect("a name");
        let set = configs(pairs);
        let after = |view: &View| {
            view.clone().map(|(n, mut explicit)| {
                explicit.extend(set.clone());
                (n, explicit)
            })
        };
        self.change(ledger, topic, "alter", after, || {
            alter_configs(&self.store, &name, &set, &[], TIMEOUT)
        })
    }

    pub fn add_partitions(&self, ledger: &mut Ledger, topic: &str, n: i32) -> Result<()> {
        let name = TopicName::new(topic).expect("a name");
        let after = |view: &View| view.clone().map(|(_, explicit)| (n as usize, explicit));
        self.change(ledger, topic, "add partitions", after, || {
            let (known, _) = topic_file::read(&self.store, &name)?;
            let more = vec![vec![0]; n as usize - known.partitions.len()];
            add_partitions(&self.store, &known, &more, TIMEOUT)
        })
    }

    pub fn delete(&self, ledger: &mut Ledger, topic: &str) -> Result<()> {
        let name = TopicName::new(topic).expect("a name");
        self.change(
            ledger,
            topic,
            "delete",
            |_| None,
            || delete_topic(&self.store, &name, TIMEOUT),
        )
    }

    fn writer(&mut self, tp: &TopicPartition) -> Result<&mut (PartitionWriter, Committer)> {
        if !self.writers.contains_key(tp) {
            let writer = PartitionWriter::open(&self.store, tp, TIMEOUT)?;
            let committer = Committer::open(&self.store, tp, TIMEOUT)?;
            self.writers.insert(tp.clone(), (writer, committer));
        }
        Ok(self.writers.get_mut(tp).expect("just entered"))
    }

    /// Drops open files: the next use opens them again, as a new process would.
    pub fn forget(&mut self) {
        self.writers.clear();
    }

    /// Appends one batch of `count` records of about `bytes` each, and waits for its topic's kind
    /// of acknowledgement.
    pub fn append(
        &mut self,
        ledger: &mut Ledger,
        tp: &TopicPartition,
        count: usize,
        bytes: usize,
    ) -> Result<()> {
        let log = log_of(&self.store, tp)?;
        let payloads: Vec<String> = (0..count)
            .map(|_| {
                ledger.next_payload += 1;
                let text = format!("{}-{}-", self.id, ledger.next_payload);
                format!("{text:x<bytes$}")
            })
            .collect();
        let producer = self.id;
        for payload in &payloads {
            let (log, payload) = (log.clone(), payload.clone());
            ledger.history.push(Event::Invoked {
                producer,
                log,
                payload,
            });
        }
        let mut raw = batch(&payloads, 1_000 + ledger.next_payload as i64);
        let store = Arc::clone(&self.store);
        let outcome = self.writer(tp).and_then(|(writer, committer)| {
            let appended = writer.append(&mut raw)?;
            let configs = writer.configs().clone();
            let mut durable = None;
            let unsynced = (appended.last_offset + 1 - appended.durable) as u64;
            if configs.every_message() || unsynced >= configs.flush_messages || appended.rolled {
                let committed = committer.commit(appended.last_offset + 1);
                durable = Some(committed.map_err(|e| e.with_kind(Kind::Unknown))?);
            }
            let (replica, topic) = writer.parts();
            confirm(&store, replica, topic, &appended).map_err(|e| e.with_kind(Kind::Unknown))?;
            Ok((appended, durable, configs.every_message()))
        });
        match outcome {
            Ok((appended, durable, every_message)) => {
                let promise = if every_message {
                    Promise::PowerCut
                } else {
                    Promise::Kill
                };
                for (payload, offset) in payloads.into_iter().zip(appended.base_offset..) {
                    let place = Place {
                        offset,
                        epoch: appended.leader_epoch,
                    };
                    self.acked.push((log.clone(), payload.clone(), place));
                    let log = log.clone();
                    ledger.history.push(Event::Acknowledged {
                        producer,
                        log,
                        payload,
                        place,
                        promise,
                    });
                }
                if let Some(durable) = durable {
                    self.promise_more(ledger, &log, durable);
                }
                Ok(())
            }
            Err(e) => {
                let reported_nothing = !(self.alive)() || e.kind() == Kind::Unknown;
                for payload in payloads {
                    let log = log.clone();
                    ledger.history.push(if reported_nothing {
                        Event::Unknown {
                            producer,
                            log,
                            payload,
                        }
                    } else {
                        Event::Failed {
                            producer,
                            log,
                            payload,
                        }
                    });
                }
                self.note(ledger, "append", &e);
                Err(e)
            }
        }
    }

    /// Acknowledged records below a durable offset survive a power cut.
    fn promise_more(&self, ledger: &mut Ledger, log: &Log, durable: i64) {
        for (of, payload, place) in &self.acked {
            if of == log && place.offset < durable {
                let (producer, log, payload, place) =
                    (self.id, log.clone(), payload.clone(), *place);
                let promise = Promise::PowerCut;
                ledger.history.push(Event::Acknowledged {
                    producer,
                    log,
                    payload,
                    place,
                    promise,
                });
            }
        }
    }

    /// Raises the log start.
    pub fn trim(&mut self, ledger: &mut Ledger, tp: &TopicPartition, to: i64) -> Result<()> {
        let log = log_of(&self.store, tp)?;
        ledger.history.push(Event::TrimInvoked {
            log: log.clone(),
            to,
        });
        let outcome = self
            .writer(tp)
            .and_then(|(writer, _)| raise_log_start(writer, to, TIMEOUT));
        match outcome {
            Ok(raised) => {
                assert_eq!(raised.log_start, to);
                ledger.history.push(Event::Trimmed { log, to });
                Ok(())
            }
            Err(e) => {
                self.note(ledger, "trim", &e);
                Err(e)
            }
        }
    }

    /// Removes what the topic's retention says; returns how many segments that are.
    pub fn remove_old(&mut self, ledger: &mut Ledger, tp: &TopicPartition) -> Result<usize> {
        let log = log_of(&self.store, tp)?;
        let now_ms = self.store.clock().now_ms();
        let (writer, _) = self.writer(tp)?;
        writer.make_ready()?;
        let limits = RetentionLimits::of(writer.configs()).expect("a topic with a limit");
        let (page, plan) = retention_plan(writer.replica(), limits, now_ms, true)?;
        let to = plan.due.last().copied().unwrap_or(page.tail.log_start);
        ledger.history.push(Event::TrimInvoked {
            log: log.clone(),
            to,
        });
        match remove_old(writer, TIMEOUT) {
            Ok(pass) => {
                let log_start = pass.expect("a topic with a limit").log_start;
                assert_eq!(log_start, to, "{plan:?}");
                ledger.history.push(Event::Trimmed { log, to });
                Ok(plan.due.len())
            }
            Err(e) => {
                self.note(ledger, "remove old segments", &e);
                Err(e)
            }
        }
    }

    /// Repairs a partition after damage or a failed sync.
    pub fn repair(&mut self, ledger: &mut Ledger, tp: &TopicPartition) -> Result<()> {
        let outcome = self.writer(tp).and_then(|(writer, _)| writer.repair());
        if let Err(e) = &outcome {
            self.note(ledger, "repair", e);
        }
        outcome.map(drop)
    }

    /// Reads a partition from its start to its high watermark.
    pub fn read(&self, ledger: &mut Ledger, tp: &TopicPartition) -> Result<usize> {
        ledger.next_reader += 1;
        let id = ledger.next_reader;
        let outcome = read_all(&self.store, id, ledger, tp);
        if let Err(e) = &outcome {
            self.note(ledger, "read", e);
        }
        outcome
    }
}

/// Names the present log of a partition.
pub fn log_of(store: &StoreDir, tp: &TopicPartition) -> Result<Log> {
    let (meta, _) = topic_file::read(store, &tp.topic)?;
    Ok(format!("{}/{}", meta.topic_id, tp.partition))
}

/// A topic's outward state.
pub fn view(store: &StoreDir, topic: &str) -> Result<View> {
    let found = topic_file::read_if_there(store, &TopicName::new(topic).expect("a name"))?;
    Ok(found.map(|(meta, _)| (meta.partitions.len(), meta.explicit.clone())))
}

fn read_all(
    store: &Arc<StoreDir>,
    id: u32,
    ledger: &mut Ledger,
    tp: &TopicPartition,
) -> Result<usize> {
    read_on(&mut open_reader(store, tp)?, store, id, ledger, tp)
}

/// Reads a partition from its start to its high watermark, by a reader that is open.
pub fn read_on(
    reader: &mut PartitionReader,
    store: &Arc<StoreDir>,
    id: u32,
    ledger: &mut Ledger,
    tp: &TopicPartition,
) -> Result<usize> {
    let log = log_of(store, tp)?;
    let (meta, _) = topic_file::read(store, &tp.topic)?;
    let every_message = meta.configs()?.every_message();
    let promise = if every_message {
        Promise::PowerCut
    } else {
        Promise::Kill
    };
    let page = reader.page()?;
    let (log_start, high_watermark) = (page.tail.log_start, page.high_watermark);
    let bounds = Event::Bounds {
        log: log.clone(),
        log_start,
        high_watermark,
        promise,
    };
    ledger.history.push(bounds);
    let assigned = Event::Assigned {
        reader: id,
        log: log.clone(),
        from: log_start,
    };
    ledger.history.push(assigned);
    let mut from = log_start;
    let mut buf = Vec::new();
    let mut decompressor = Decompressor::default();
    let mut count = 0;
    while from < high_watermark {
        // A different size each time: batches are cut at all kinds of places.
        let read = reader.read(from, 61 + (from as usize * 97) % 700, &mut buf)?;
        assert_eq!(read, buf.len());
        if read == 0 {
            break;
        }
        let mut rest = buf.as_slice();
        while !rest.is_empty() {
            let sound = BatchView::parse(rest).expect("whole batches");
            sound.check_crc().expect("checked batches");
            let header = *sound.header();
            for record in sound.records(&mut decompressor).expect("records") {
                let record = record.expect("a record");
                let payload =
                    String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                let place = Place {
                    offset: record.offset,
                    epoch: header.leader_epoch,
                };
                let log = log.clone();
                ledger.history.push(Event::Read {
                    reader: id,
                    log,
                    place,
                    payload,
                    promise,
                });
                count += 1;
            }
            from = header.last_offset() + 1;
            rest = &rest[header.total_len()..];
        }
    }
    let until = high_watermark;
    ledger.history.push(Event::Finished {
        reader: id,
        log,
        from: log_start,
        until,
    });
    Ok(count)
}
