//! Bit rot, cut files and lost files, one at a time, on a real disk: what is read is right, or an
//! error that names the damage; and a writer that comes next loses nothing that was durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::rig::{TIMEOUT, batch, configs, open, tp};
use crate::common::switches::is_long;
use crate::common::tally::Tally;
use mq::client::open_reader;
use mq::disk::OsDisk;
use mq::error::{Error, Kind, Result};
use mq::lifecycle::{NewTopic, create_topic};
use mq::partition::{Committer, PAGE_FILE, PartitionWriter};
use mq::record::{BatchView, Decompressor};
use mq::store::StoreDir;
use mq::types::TopicName;

/// A record as it must be read: offset, epoch, payload, timestamp.
type Row = (i64, i32, String, i64);

/// A small store, and what is in it.
struct Sample {
    _at: tempfile::TempDir,
    path: PathBuf,
    replica: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    rows: Vec<Row>,
}

fn open_os(path: &Path) -> Result<Arc<StoreDir>> {
    open(Arc::new(OsDisk), path)
}

/// Timestamps that jump back, some of them equal.
const TIMES: [i64; 12] = [100, 300, 100, 200, 300, 250, 50, 400, 400, 100, 350, 90];

impl Sample {
    fn new(pairs: &[(&str, &str)], new_epoch_at: Option<usize>) -> Sample {
        // Where there is memory to work in, a sync costs nothing.
        let at = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .expect("a place");
        let path = at.path().join("store");
        let store = open_os(&path).expect("a store");
        let name = TopicName::new("t").expect("a name");
        let new = NewTopic::embedded(name.clone(), 1).with_configs(configs(pairs));
        create_topic(&store, &new, TIMEOUT).expect("a topic");
        let mut rows = Vec::new();
        for (n, time) in TIMES.iter().enumerate() {
            if new_epoch_at == Some(n) {
                // A change of flush.messages and back: two epochs more.
                for value in ["9", "1"] {
                    let set = configs(&[("flush.messages", value)]);
                    mq::lifecycle::alter_configs(&store, &name, &set, &[], TIMEOUT)
                        .expect("altered");
                }
            }
            let payloads: Vec<String> = (0..=(n % 2)).map(|m| format!("{n}.{m}")).collect();
            let mut writer = PartitionWriter::open(&store, &tp("t", 0), TIMEOUT).expect("a writer");
            let every_message = writer.configs().every_message();
            let appended = writer
                .append(&mut batch(&payloads, *time))
                .expect("appended");
            if every_message {
                let committer = Committer::open(&store, &tp("t", 0), TIMEOUT);
                committer
                    .and_then(|mut c| c.commit(appended.last_offset + 1))
                    .expect("committed");
            }
            for (payload, offset) in payloads.into_iter().zip(appended.base_offset..) {
                rows.push((offset, appended.leader_epoch, payload, *time));
            }
        }
        let replica = path.join("brokers/0/logs/t-0");
        let mut sample = Sample {
            _at: at,
            path,
            replica,
            files: BTreeMap::new(),
            rows,
        };
        sample.files = sample.now();
        sample
    }

    /// The files of the replica, and the topic file.
    fn now(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        if let Ok(entries) = std::fs::read_dir(&self.replica) {
            for entry in entries {
                let path = entry.expect("an entry").path();
                files.insert(path.clone(), std::fs::read(&path).expect("a file"));
            }
        }
        let topic = self.path.join("topics/t.json");
        if let Ok(bytes) = std::fs::read(&topic) {
            files.insert(topic, bytes);
        }
        files
    }

    /// Everything as it was, but for one file: other bytes, or none.
    fn put_back(&self, but: &Path, bytes: Option<&[u8]>) {
        for entry in std::fs::read_dir(self.replica.parent().expect("logs")).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path != self.replica {
                std::fs::remove_dir_all(path).expect("removed");
            }
        }
        std::fs::create_dir_all(&self.replica).expect("there");
        for path in self
            .now()
            .into_keys()
            .filter(|path| !self.files.contains_key(path))
        {
            std::fs::remove_file(path).expect("removed");
        }
        for (path, original) in &self.files {
            let bytes = if path == but {
                bytes
            } else {
                Some(original.as_slice())
            };
            match bytes {
                Some(bytes) if std::fs::read(path).is_ok_and(|now| now == bytes) => {}
                Some(bytes) => std::fs::write(path, bytes).expect("written"),
                None => drop(std::fs::remove_file(path)),
            }
        }
    }

    /// A file, by the end of its name.
    fn file(&self, suffix: &str) -> PathBuf {
        let found = self
            .files
            .keys()
            .find(|path| path.to_string_lossy().ends_with(suffix));
        found.unwrap_or_else(|| panic!("a file {suffix}")).clone()
    }

    fn logs(&self) -> Vec<PathBuf> {
        self.files
            .keys()
            .filter(|p| p.extension().is_some_and(|e| e == "log"))
            .cloned()
            .collect()
    }
}

/// Everything from `from` on.
fn read(store: &Arc<StoreDir>, from: i64, bytes_max: usize) -> Result<Vec<Row>> {
    let mut reader = open_reader(store, &tp("t", 0))?;
    let until = reader.page()?.high_watermark;
    let (mut from, mut rows, mut buf) = (from, Vec::new(), Vec::new());
    let first = from;
    let mut decompressor = Decompressor::default();
    while from < until && reader.read(from, bytes_max, &mut buf)? > 0 {
        let mut rest = buf.as_slice();
        while !rest.is_empty() {
            let view = BatchView::parse(rest)?;
            view.check_crc()?;
            for record in view.records(&mut decompressor)? {
                let record = record?;
                let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                if record.offset >= first {
                    rows.push((
                        record.offset,
                        view.header().leader_epoch,
                        value,
                        record.timestamp,
                    ));
                }
            }
            from = view.header().last_offset() + 1;
            rest = &rest[view.header().total_len()..];
        }
    }
    Ok(rows)
}

fn time_lookups(store: &Arc<StoreDir>) -> Result<Vec<Option<i64>>> {
    let reader = open_reader(store, &tp("t", 0))?;
    let mut found = Vec::new();
    for from in [0, 5, 9] {
        for time in [0, 91, 150, 250, 300, 399, 400, 401] {
            found.push(reader.first_not_older(from, time)?);
        }
    }
    Ok(found)
}

fn expected_lookups(rows: &[Row]) -> Vec<Option<i64>> {
    let mut found = Vec::new();
    for from in [0, 5, 9] {
        for time in [0, 91, 150, 250, 300, 399, 400, 401] {
            let row = rows
                .iter()
                .find(|(offset, _, _, at)| *offset >= from && *at >= time);
            found.push(row.map(|row| row.0));
        }
    }
    found
}

fn is_refusal(e: &Error) -> bool {
    matches!(e.kind(), Kind::Damaged | Kind::Offline)
}

/// What may come of one damaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// The right answers, or a refusal.
    RightOrRefused,
    /// Only the right answers.
    Right,
    /// Only a refusal.
    Refused,
}

/// Reads, then writes, with one file as given. What is wrong, if anything is.
fn outcome(
    sample: &Sample,
    file: &Path,
    bytes: Option<&[u8]>,
    allowed: Allowed,
) -> Result<(), String> {
    Tally::case();
    let right = |what: &str, outcome: Result<bool>| match outcome {
        Ok(true) if allowed == Allowed::Refused => Err(format!("{what}: not noticed")),
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{what}: a wrong answer")),
        Err(e) if is_refusal(&e) && allowed != Allowed::Right => Ok(()),
        Err(e) => Err(format!("{what}: {:?}: {e}", e.kind())),
    };
    sample.put_back(file, bytes);
    let store = open_os(&sample.path);
    let store = store.map_err(|e| format!("open: {e}"))?;
    let rows = &sample.rows;
    right("read", read(&store, 0, 1 << 20).map(|found| found == *rows))?;
    if allowed != Allowed::Refused {
        for from in [1, 7] {
            let found = read(&store, from, 150);
            right("read on", found.map(|found| found == rows[from as usize..]))?;
        }
        right(
            "time",
            time_lookups(&store).map(|found| found == expected_lookups(rows)),
        )?;
    }
    // A writer that comes first.
    sample.put_back(file, bytes);
    let appended = write_one(&store);
    if let Err(e) = &appended
        && !is_refusal(e)
    {
        return Err(format!("write: {:?}: {e}", e.kind()));
    }
    let is_last = sample.logs().last().is_some_and(|last| last == file);
    let is_short = bytes.is_none_or(|bytes| bytes.len() < sample.files[file].len());
    if is_last && is_short && appended.is_ok() {
        return Err("write: appended behind what is gone".to_owned());
    }
    let now = sample.now();
    for path in sample.logs() {
        let before = if path == file {
            bytes
        } else {
            sample.files.get(&path).map(Vec::as_slice)
        };
        let Some(before) = before else { continue };
        if !now.get(&path).is_some_and(|now| now.starts_with(before)) {
            return Err(format!("write: {} lost bytes", path.display()));
        }
    }
    let mut after = rows.clone();
    if let Ok(row) = appended {
        after.push(row);
    }
    let allowed = if allowed == Allowed::Refused {
        Allowed::RightOrRefused
    } else {
        allowed
    };
    let right = |outcome: Result<bool>| match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err("read after a write: a wrong answer".to_owned()),
        Err(e) if is_refusal(&e) && allowed != Allowed::Right => Ok(()),
        Err(e) => Err(format!("read after a write: {:?}: {e}", e.kind())),
    };
    right(read(&store, 0, 1 << 20).map(|found| found == after))
}

fn write_one(store: &Arc<StoreDir>) -> Result<Row> {
    let mut writer = PartitionWriter::open(store, &tp("t", 0), TIMEOUT)?;
    let appended = writer.append(&mut batch(&["more".to_owned()], 77))?;
    Committer::open(store, &tp("t", 0), TIMEOUT)?.commit(appended.last_offset + 1)?;
    Ok((
        appended.base_offset,
        appended.leader_epoch,
        "more".to_owned(),
        77,
    ))
}

/// Checks a case, with everything that is wrong in one message.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn check(
        &mut self,
        sample: &Sample,
        what: &str,
        file: &Path,
        bytes: Option<&[u8]>,
        allowed: Allowed,
    ) {
        let run = || outcome(sample, file, bytes, allowed);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => self.0.push(format!("{name}: {what}: {why}")),
            Err(_) => self.0.push(format!("{name}: {what}: a panic")),
        }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        if !self.0.is_empty() && !std::thread::panicking() {
            let shown = self
                .0
                .iter()
                .take(30)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n");
            panic!("{} cases went wrong:\n{shown}", self.0.len());
        }
    }
}

fn flip_all(sample: &Sample, file: &Path, bits: impl Iterator<Item = usize>, allowed: Allowed) {
    let original = sample.files[file].clone();
    let mut wrong = Wrong::default();
    for bit in bits.filter(|bit| bit / 8 < original.len()) {
        let mut bytes = original.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let what = format!("byte {} bit {}", bit / 8, bit % 8);
        wrong.check(sample, &what, file, Some(&bytes), allowed);
    }
}

const SMALL: &[(&str, &str)] = &[("segment.ms", "250"), ("index.interval.bytes", "0")];

const NEVER: &[(&str, &str)] = &[
    ("flush.messages", "never"),
    ("segment.ms", "250"),
    ("index.interval.bytes", "0"),
];

#[test]
fn an_undamaged_store_is_read_right() {
    let _tally = Tally::start();
    let sample = Sample::new(SMALL, Some(6));
    assert!(
        sample.logs().len() > 1,
        "a closed segment and an active one"
    );
    let mut wrong = Wrong::default();
    wrong.check(
        &sample,
        "undamaged",
        Path::new("none"),
        None,
        Allowed::Right,
    );
}

#[test]
fn every_flipped_bit_of_a_segment() {
    let _tally = Tally::start();
    let sample = Sample::new(SMALL, Some(6));
    for log in sample.logs() {
        flip_all(&sample, &log, 0..1 << 16, Allowed::Refused);
    }
}

#[test]
fn every_flipped_bit_of_an_index() {
    let _tally = Tally::start();
    let sample = Sample::new(SMALL, Some(6));
    for suffix in [".index", ".timeindex"] {
        for log in sample.logs() {
            let index = PathBuf::from(log.to_string_lossy().replace(".log", suffix));
            flip_all(&sample, &index, 0..1 << 16, Allowed::Right);
        }
    }
}

#[test]
fn every_flipped_bit_of_the_page() {
    let _tally = Tally::start();
    let sample = Sample::new(SMALL, Some(6));
    let copies = (0..512 * 8).chain(4096 * 8..(4096 + 512) * 8);
    let page = sample.file(PAGE_FILE);
    if is_long() {
        // Beside the copies there are zeros that nobody reads.
        let others = (0..8192 * 8).step_by(61);
        flip_all(&sample, &page, copies.chain(others), Allowed::Right);
    } else {
        flip_all(&sample, &page, copies.step_by(3), Allowed::Right);
    }
}

#[test]
fn flipped_bits_of_the_page_without_syncs() {
    let _tally = Tally::start();
    let sample = Sample::new(NEVER, None);
    let page = sample.file(PAGE_FILE);
    let copies = (0..512 * 8).chain(4096 * 8..(4096 + 512) * 8);
    flip_all(
        &sample,
        &page,
        copies.step_by(if is_long() { 1 } else { 13 }),
        Allowed::Right,
    );
}

#[test]
fn every_flipped_bit_of_the_topic_file() {
    let _tally = Tally::start();
    let sample = Sample::new(SMALL, Some(6));
    flip_all(
        &sample,
        &sample.file("t.json"),
        0..1 << 16,
        Allowed::Refused,
    );
}

#[test]
fn every_flipped_bit_of_the_small_files() {
    let _tally = Tally::start();
    let sample = Sample::new(SMALL, Some(6));
    flip_all(
        &sample,
        &sample.file("leader-epoch-checkpoint"),
        0..1 << 16,
        Allowed::RightOrRefused,
    );
    flip_all(
        &sample,
        &sample.file("partition.metadata"),
        0..1 << 16,
        Allowed::Right,
    );
    flip_all(
        &sample,
        &sample.file("sync.lock"),
        0..1 << 16,
        Allowed::Right,
    );
}

#[test]
fn every_file_cut_at_every_length() {
    let _tally = Tally::start();
    let sample = Sample::new(SMALL, Some(6));
    for (file, bytes) in &sample.files {
        let name = file.file_name().expect("a name").to_string_lossy();
        let allowed = match &*name {
            "leader-epoch-checkpoint" => Allowed::RightOrRefused,
            "t.json" => Allowed::Refused,
            log if log.ends_with(".log") => Allowed::Refused,
            _ => Allowed::Right,
        };
        let step = if name == PAGE_FILE { 61 } else { 1 };
        let mut wrong = Wrong::default();
        for len in (0..bytes.len()).step_by(if is_long() { 1 } else { step }) {
            wrong.check(
                &sample,
                &format!("cut at {len}"),
                file,
                Some(&bytes[..len]),
                allowed,
            );
        }
    }
}

#[test]
fn every_file_removed() {
    let _tally = Tally::start();
    let sample = Sample::new(SMALL, Some(6));
    let mut wrong = Wrong::default();
    for file in sample.files.keys() {
        let name = file.file_name().expect("a name").to_string_lossy();
        let allowed = match &*name {
            "t.json" => continue,
            log if log.ends_with(".log") => Allowed::Refused,
            _ => Allowed::Right,
        };
        wrong.check(&sample, "removed", file, None, allowed);
    }
}
