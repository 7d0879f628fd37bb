//! Segments on a real disk are rewritten, and compared with a plain list of their records.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::{Dir, Disk, Open, OsDisk};
use crate::error::{Kind, Result};
use crate::log::{
    Appender, FileKind, LeaderEpochs, SegmentFile, Segments, Tail, first_not_older, locate, verify,
};
use crate::record::{BatchBuilder, BatchHeader, BatchView, Decompressor, stamp};
use crate::types::{Compression, Offset, Timestamp, TimestampType};

const INTERVAL: u64 = 150;
const LEN_MAX: usize = 1 << 20;

/// A record: its key, and its value or a tombstone.
type Row = (Option<u8>, Option<u8>);

#[derive(Debug, Clone)]
struct Plan {
    rows: Vec<Row>,
    codec: Compression,
    roll: bool,
    new_epoch: bool,
}

struct Sample {
    _at: tempfile::TempDir,
    dir: Arc<dyn Dir>,
    tail: Tail,
    epochs: LeaderEpochs,
    rows: BTreeMap<Offset, Row>,
}

impl Sample {
    fn new(plans: &[Plan]) -> Sample {
        let at = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let at = at.expect("a place");
        let dir = OsDisk.open_dir(at.path()).expect("open");
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            let name = SegmentFile::new(0, kind).name();
            dir.open(&name, Open::CreateNew).expect("make");
        }
        let mut epochs = LeaderEpochs::default();
        epochs.begin(0, 0);
        let (mut tail, mut rows, mut epoch) = (Tail::empty(0), BTreeMap::new(), 0);
        let mut appender = Appender::new(Arc::clone(&dir));
        for plan in plans {
            if plan.new_epoch {
                epoch += 1;
                epochs.begin(epoch, tail.end);
            }
            if plan.roll && tail.last.is_some() {
                let closed = appender.close_indexes(&tail).expect("closed");
                tail = appender.begin_segment(&closed).expect("begun");
            }
            let mut builder = BatchBuilder::new();
            for (at, (key, value)) in plan.rows.iter().enumerate() {
                let offset = tail.end + at as i64;
                rows.insert(offset, (*key, *value));
                let (key, value) = (key.map(|k| [k]), value.map(|v| [v; 20]));
                let (key, value) = (key.as_ref(), value.as_ref());
                let key = key.map(<[u8; 1]>::as_slice);
                let value = value.map(<[u8; 20]>::as_slice);
                builder
                    .append(time_of(offset), key, value, [])
                    .expect("append");
            }
            let batch = builder.finish(plan.codec, TimestampType::CreateTime);
            let mut batch = batch.expect("finish");
            stamp(&mut batch, tail.end, epoch);
            let header = BatchHeader::parse(&batch).expect("a header");
            tail = appender
                .append(&tail, &batch, &header, INTERVAL)
                .expect("appended");
        }
        let closed = appender.close_indexes(&tail).expect("closed");
        tail = appender.begin_segment(&closed).expect("begun");
        Sample {
            _at: at,
            dir,
            tail,
            epochs,
            rows,
        }
    }

    fn closed(&self) -> Vec<Offset> {
        let segments = Segments::list(&*self.dir).expect("listed");
        segments.below(self.tail.active).to_vec()
    }

    fn run<'a>(&'a self, bases: &'a [Offset]) -> SegmentRun<'a> {
        let all = self.closed();
        let last = bases.last().copied().unwrap_or_default();
        let after = all.into_iter().find(|base| *base > last);
        SegmentRun {
            dir: &*self.dir,
            bases,
            end: after.unwrap_or(self.tail.active),
            epochs: &self.epochs,
            decompressed_len_max: LEN_MAX,
        }
    }

    fn keys(&self, from: Offset) -> KeyMap {
        let mut keys = KeyMap::new([9; 16], 1 << 16, from);
        let all = self.closed();
        assert!(map_keys(&self.run(&all), &mut keys, &mut |_| Ok(())).expect("mapped"));
        keys
    }

    /// Rewrites the closed segments, some together.
    fn compact(&self, keys: &KeyMap, now_ms: Option<Timestamp>, together: usize) -> CleanCounts {
        let rules = RetainRules {
            keys,
            now_ms,
            delete_retention_ms: 100,
            is_older_compacted: true,
        };
        let mut counts = CleanCounts::default();
        for bases in self.closed().chunks(together) {
            let run = self.run(bases);
            let done = rewrite(&run, &rules, INTERVAL, &mut |_| Ok(())).expect("rewritten");
            counts.add(&done.counts);
            let Some(mut cleaned) = done.cleaned else {
                continue;
            };
            self.check(&format!("before {bases:?} are replaced"));
            let is_joined = bases.len() > 1;
            cleaned.put_in_place(!is_joined).expect("in place");
            self.check(&format!("{bases:?} are replaced"));
            for base in bases.iter().skip(1) {
                cleaned::remove_joined(&*self.dir, *base).expect("removed");
                self.check(&format!("{base} is joined"));
            }
            if is_joined {
                cleaned.put_indexes_in_place().expect("in place");
            }
        }
        counts
    }

    /// Every check of the log finds it sound, and each offset is found.
    fn check(&self, what: &str) {
        let mut findings = Vec::new();
        let epochs = Some(&self.epochs);
        verify(&*self.dir, &self.tail, epochs, Some(LEN_MAX), &mut findings).expect("read");
        assert_eq!(findings, [], "{what}");
        // Each segment ends where the next begins: between two batches.
        let all = self.closed();
        let mut none = KeyMap::new([0; 16], 1 << 16, 0);
        map_keys(&self.run(&all), &mut none, &mut |_| Ok(())).expect(what);
        let segments = Segments::list(&*self.dir).expect("listed");
        for offset in 0..self.tail.end {
            locate(&*self.dir, &segments, &self.tail, offset).expect(what);
        }
    }

    fn records(&self) -> BTreeMap<Offset, (Row, Timestamp)> {
        let mut found = BTreeMap::new();
        let mut due = 0;
        let bases = self.closed();
        for (at, base) in bases.iter().enumerate() {
            let name = SegmentFile::new(*base, FileKind::Log).name();
            let file = self.dir.open(&name, Open::Read).expect("open");
            let mut bytes = vec![0; file.len().expect("len") as usize];
            file.read_at(&mut bytes, 0).expect("read");
            let mut rest = bytes.as_slice();
            let until = bases.get(at + 1).copied().unwrap_or(self.tail.active);
            while due < until {
                let view = BatchView::parse(rest).expect("a batch");
                assert_eq!(view.header().base_offset, due, "consecutive");
                due = view.header().next_offset();
                let mut scratch = Decompressor::new(LEN_MAX);
                for record in view.records(&mut scratch).expect("records") {
                    let record = record.expect("sound");
                    let key = record.key.map(|key| key[0]);
                    let value = record.value.map(|value| value[0]);
                    found.insert(record.offset, ((key, value), record.timestamp));
                }
                rest = &rest[view.header().total_len()..];
            }
        }
        found
    }
}

fn time_of(offset: Offset) -> Timestamp {
    10_000 + offset * 3
}

fn last_of_each(rows: &BTreeMap<Offset, Row>) -> HashMap<u8, (Offset, Option<u8>)> {
    let keyed = rows
        .iter()
        .filter_map(|(at, (key, value))| Some(((*key)?, (*at, *value))));
    keyed.collect()
}

fn plan() -> impl Strategy<Value = Plan> {
    let row = (
        prop::option::weighted(0.9, 0_u8..12),
        prop::option::weighted(0.8, any::<u8>()),
    );
    let codecs = vec![Compression::None, Compression::Lz4, Compression::Zstd];
    (
        prop::collection::vec(row, 1..6),
        prop::sample::select(codecs),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(rows, codec, roll, new_epoch)| Plan {
            rows,
            codec,
            roll,
            new_epoch,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_last_value_of_each_key_is_left(
        plans in prop::collection::vec(plan(), 1..30),
        together in 1_usize..4,
    ) {
        let sample = Sample::new(&plans);
        let keys = sample.keys(0);
        prop_assert_eq!(keys.covers(), 0..sample.tail.end);
        let counts = sample.compact(&keys, Some(1_000), together);
        let last = last_of_each(&sample.rows);
        let stays = |at: &Offset, row: &Row| row.0.is_none_or(|key| last[&key].0 == *at);
        let due: BTreeMap<Offset, (Row, Timestamp)> = sample
            .rows
            .iter()
            .filter(|(at, row)| stays(at, row))
            .map(|(at, row)| (*at, (*row, time_of(*at))))
            .collect();
        prop_assert_eq!(&sample.records(), &due);
        prop_assert_eq!(counts.records_before, sample.rows.len() as u64);
        prop_assert_eq!(counts.records_after, due.len() as u64);
        let keyless = sample.rows.values().filter(|row| row.0.is_none()).count();
        prop_assert_eq!((counts.keyless, counts.dropped_to), (keyless as u64, 0));

        // A look-up by time finds the records that are left.
        let segments = Segments::list(&*sample.dir).expect("listed");
        let end = sample.tail.end;
        for at in 0..end {
            let found = first_not_older(&*sample.dir, &segments, &sample.tail, 0, end, time_of(at), LEN_MAX);
            prop_assert_eq!(found.expect("found"), due.range(at..).next().map(|(at, _)| *at));
        }

        // Before its horizon a tombstone stays, also with no key in the map; then it goes.
        let none = KeyMap::new([1; 16], 4096, end);
        sample.compact(&none, Some(1_099), 1);
        prop_assert_eq!(&sample.records(), &due);
        sample.compact(&none, None, 1);
        prop_assert_eq!(&sample.records(), &due);
        let dropped = sample.compact(&none, Some(1_100), 1).dropped_to;
        let values: BTreeMap<_, _> = due
            .iter()
            .filter(|(_, (row, _))| row.0.is_none() || row.1.is_some())
            .map(|(at, kept)| (*at, *kept))
            .collect();
        prop_assert_eq!(&sample.records(), &values);
        let last_deletion = due.iter().rfind(|(_, (row, _))| row.0.is_some() && row.1.is_none());
        prop_assert_eq!(dropped, last_deletion.map_or(0, |(at, _)| at + 1));
    }

    #[test]
    fn records_beyond_what_the_map_covers_stay(
        plans in prop::collection::vec(plan(), 1..20),
        room in 2_usize..12,
    ) {
        let sample = Sample::new(&plans);
        let all = sample.closed();
        let mut keys = KeyMap::new([9; 16], room * 24, 0);
        map_keys(&sample.run(&all), &mut keys, &mut |_| Ok(())).expect("mapped");
        let covered = keys.covers().end;
        sample.compact(&keys, Some(1), 1);
        let seen: BTreeMap<_, _> = sample.rows.range(..covered).map(|(at, row)| (*at, *row)).collect();
        let last = last_of_each(&seen);
        let left = sample.records();
        for (at, row) in &sample.rows {
            let stays = *at >= covered || row.0.is_none_or(|key| last[&key].0 == *at);
            prop_assert_eq!(left.contains_key(at), stays, "{}", at);
        }
    }
}

fn plain(rows: &[Row], roll: bool) -> Plan {
    Plan {
        rows: rows.to_vec(),
        codec: Compression::None,
        roll,
        new_epoch: false,
    }
}

fn names(sample: &Sample) -> Vec<String> {
    let entries = sample.dir.list(".").expect("listed");
    let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

#[test]
fn what_does_not_change_is_not_written_and_fillers_are_joined() {
    let sample = Sample::new(&[
        plain(&[(Some(1), Some(1))], false),
        plain(&[(Some(1), Some(2))], false),
        plain(&[(Some(2), Some(3))], false),
        plain(&[(Some(1), Some(4))], true),
    ]);
    let keys = sample.keys(0);
    sample.compact(&keys, Some(1), 1);
    let name = SegmentFile::new(0, FileKind::Log).name();
    let id = sample.dir.id(&name).expect("there");
    let log = sample.dir.open(&name, Open::Read).expect("open");
    let mut head = [0; 61];
    log.read_at(&mut head, 0).expect("read");
    let header = BatchHeader::parse(&head).expect("a header");
    assert!(header.is_filler());
    assert_eq!((header.base_offset, header.last_offset()), (0, 1));
    let before = names(&sample);
    sample.compact(&keys, Some(1), 1);
    assert_eq!(
        sample.dir.id(&name).expect("there"),
        id,
        "not written again"
    );
    assert_eq!(names(&sample), before);
}

#[test]
fn what_a_killed_or_failed_rewrite_leaves_goes() {
    let sample = Sample::new(&[plain(&[(Some(1), Some(1)), (Some(1), Some(2))], false)]);
    let keys = sample.keys(0);
    let before = names(&sample);
    let rules = RetainRules {
        keys: &keys,
        now_ms: None,
        delete_retention_ms: 0,
        is_older_compacted: true,
    };
    let bases = sample.closed();
    let run = sample.run(&bases);
    let done = rewrite(&run, &rules, INTERVAL, &mut |_| Ok(())).expect("rewritten");
    assert_eq!(names(&sample).len(), before.len() + 3);
    drop(done);
    assert_eq!(names(&sample), before);
    let stop = |_| -> Result<()> { Err(crate::error::Error::new(Kind::Interrupted, "stop")) };
    let stopped = rewrite(&run, &rules, INTERVAL, &mut { stop }).map(|_| ());
    assert_eq!(stopped.expect_err("stopped").kind(), Kind::Interrupted);
    assert_eq!(names(&sample), before);
    for kind in [
        FileKind::Cleaned,
        FileKind::CleanedIndex,
        FileKind::CleanedTimeIndex,
    ] {
        let name = SegmentFile::new(7, kind).name();
        sample.dir.open(&name, Open::CreateNew).expect("made");
    }
    remove_orphans(&*sample.dir).expect("removed");
    assert_eq!(names(&sample), before);
}

#[test]
fn a_bad_batch_is_named_and_nothing_is_left() {
    let sample = Sample::new(&[
        plain(&[(Some(1), Some(1))], false),
        plain(&[(Some(1), Some(2))], false),
    ]);
    let name = SegmentFile::new(0, FileKind::Log).name();
    let log = sample.dir.open(&name, Open::Write).expect("open");
    let at = log.len().expect("len") - 3;
    log.write_at(b"x", at).expect("spoiled");
    let before = names(&sample);
    let mut keys = KeyMap::new([9; 16], 4096, 0);
    let bases = sample.closed();
    let run = sample.run(&bases);
    let e = map_keys(&run, &mut keys, &mut |_| Ok(())).expect_err("damaged");
    assert_eq!(e.kind(), Kind::Damaged);
    keys.insert(&[1], 99);
    let rules = RetainRules {
        keys: &keys,
        now_ms: None,
        delete_retention_ms: 0,
        is_older_compacted: true,
    };
    let e = rewrite(&run, &rules, INTERVAL, &mut |_| Ok(())).map(|_| ());
    let e = e.expect_err("damaged");
    assert_eq!(e.kind(), Kind::Damaged);
    assert!(e.to_string().contains("00000000000000000000.log"), "{e}");
    assert_eq!(names(&sample), before);
}
