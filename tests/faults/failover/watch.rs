//! Looks at topic files and pages all the time, from outside: no lock, no library.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::cluster::BROKERS;
use super::history::{Event, History, Led, Page, Tp};
use super::journal::Journal;

const PROBE_INTERVAL: Duration = Duration::from_millis(3);

/// The store, and where each broker keeps its replicas.
#[derive(Debug, Clone)]
pub struct Places {
    pub store: PathBuf,
    pub logs: Vec<(i64, PathBuf)>,
    pub topics: Vec<String>,
}

impl Places {
    /// In a directory, each broker's on a disk of its own.
    pub fn new(dir: &Path, topics: &[&str]) -> Places {
        let logs = |id| (id, dir.join(format!("disk-{id}/logs")));
        let places = Places {
            store: dir.join("store"),
            logs: BROKERS.into_iter().map(logs).collect(),
            topics: topics.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (_, logs) in &places.logs {
            fs::create_dir_all(logs.parent().expect("a disk")).expect("mkdir");
        }
        places
    }

    /// Where a broker holds a partition.
    pub fn replica(&self, broker: i64, tp: &Tp) -> PathBuf {
        let logs = self.logs.iter().find(|(id, _)| *id == broker);
        let (_, logs) = logs.expect("a broker");
        logs.join(format!("{}-{}", tp.0, tp.1))
    }

    /// What a topic's file says; `None` if it cannot be read.
    pub fn topic(&self, name: &str) -> Option<(u64, Vec<Led>)> {
        let path = self.store.join(format!("topics/{name}.json"));
        parse_topic(&fs::read(path).ok()?)
    }

    /// All partitions, as their topic files have them.
    pub fn all(&self) -> Vec<Led> {
        let topics = self.topics.iter().filter_map(|name| self.topic(name));
        topics.flat_map(|(_, partitions)| partitions).collect()
    }

    /// The page of a replica; `None` if it is not there or is being written.
    pub fn page(&self, broker: i64, tp: &Tp) -> Option<Page> {
        let raw = fs::read(self.replica(broker, tp).join("partition.state")).ok()?;
        let copies = [raw.get(..512)?, raw.get(4096..4608)?];
        let pages = copies
            .into_iter()
            .filter_map(|raw| parse_page(raw, broker, tp));
        pages.max_by_key(|page| page.sequence)
    }
}

fn parse_topic(text: &[u8]) -> Option<(u64, Vec<Led>)> {
    let json: Value = serde_json::from_slice(text).ok()?;
    let name = json["name"].as_str()?;
    let ids =
        |list: &Value| -> Option<Vec<i64>> { list.as_array()?.iter().map(Value::as_i64).collect() };
    let led = |p: &Value| -> Option<Led> {
        let replica = |r: &Value| Some((r["broker"].as_i64()?, r["uuid"].as_str()?.to_owned()));
        Some(Led {
            tp: (name.to_owned(), p["partition"].as_i64()?),
            leader: p["leader"].as_i64()?,
            epoch: p["leader_epoch"].as_i64()?,
            isr: ids(&p["isr"])?,
            replicas: p["replicas"]
                .as_array()?
                .iter()
                .map(replica)
                .collect::<Option<_>>()?,
        })
    };
    let partitions = json["partitions"].as_array()?.iter().map(led);
    Some((
        json["version"].as_u64()?,
        partitions.collect::<Option<_>>()?,
    ))
}

fn parse_page(raw: &[u8], broker: i64, tp: &Tp) -> Option<Page> {
    let long = |at: usize| Some(u64::from_le_bytes(raw.get(at..at + 8)?.try_into().ok()?));
    let int = |at: usize| Some(u32::from_le_bytes(raw.get(at..at + 4)?.try_into().ok()?));
    if int(508)? != crc32fast::hash(raw.get(..508)?) {
        return None;
    }
    let offset = |at: usize| Some(long(at)? as i64);
    Some(Page {
        tp: tp.clone(),
        broker,
        uuid: raw
            .get(48..64)?
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect(),
        sequence: long(8)?,
        epoch: i64::from(int(72)? as i32),
        leads: *raw.get(76)? == 0,
        log_start: offset(128)?,
        end: offset(168)?,
        high_watermark: offset(264)?,
    })
}

/// A thread that looks.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<History>,
}

impl Watch {
    pub fn start(places: Places, journal: Journal) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let reported = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut eyes = Eyes {
                places,
                journal,
                topics: HashMap::new(),
                pages: HashMap::new(),
                history: Vec::new(),
            };
            while !reported.load(Ordering::Relaxed) {
                eyes.observe();
                std::thread::sleep(PROBE_INTERVAL);
            }
            eyes.observe();
            eyes.history
        });
        Watch { stop, thread }
    }

    /// Stops; what was seen.
    pub fn end(self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("observed")
    }
}

struct Eyes {
    places: Places,
    journal: Journal,
    topics: HashMap<String, Vec<u8>>,
    pages: HashMap<(Tp, i64), Page>,
    history: History,
}

impl Eyes {
    fn observe(&mut self) {
        for name in self.places.topics.clone() {
            let path = self.places.store.join(format!("topics/{name}.json"));
            let Ok(text) = fs::read(&path) else { continue };
            if self.topics.get(&name) == Some(&text) {
                continue;
            }
            let (version, partitions) = parse_topic(&text).expect("a topic file is always whole");
            for led in &partitions {
                let (tp, ids) = (&led.tp, &led.replicas);
                self.journal.say(&format!(
                    "{}:{} v{version} leader {} epoch {} isr {:?} {:?}",
                    tp.0,
                    tp.1,
                    led.leader,
                    led.epoch,
                    led.isr,
                    ids.iter()
                        .map(|(_, id)| id.get(..4).unwrap_or(id))
                        .collect::<Vec<_>>()
                ));
            }
            self.topics.insert(name, text);
            self.history.push(Event::Topic {
                version,
                partitions,
            });
        }
        for led in self.places.all() {
            for (broker, _) in &led.replicas {
                let Some(page) = self.places.page(*broker, &led.tp) else {
                    continue;
                };
                let known = self.pages.insert((led.tp.clone(), *broker), page.clone());
                if known.as_ref() != Some(&page) {
                    self.history.push(Event::Page(page));
                }
            }
        }
    }
}

/// The bytes of a replica's segments, one after the other.
pub fn log_bytes(dir: &Path) -> Vec<u8> {
    let mut segments: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "log"))
        .collect();
    segments.sort();
    let read = |path| fs::read(path).unwrap_or_default();
    segments.iter().flat_map(read).collect()
}
