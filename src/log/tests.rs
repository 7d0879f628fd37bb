//! A log on a real disk, written batch by batch, compared with a plain list of its records.

mod indexes;
mod lookups;
mod recoveries;

use std::sync::Arc;

use super::*;
use crate::disk::{Dir, Disk, Open, OsDisk};
use crate::record::{BatchBuilder, BatchHeader, stamp};
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp, TimestampType};

/// A batch to be written: its records' timestamps, the size of each, and its epoch's step.
#[derive(Debug, Clone)]
struct Plan {
    times: Vec<Timestamp>,
    bytes: usize,
    new_epoch: bool,
    roll: bool,
}

/// A log and its expected content.
struct Sample {
    _at: tempfile::TempDir,
    dir: Arc<dyn Dir>,
    tail: Tail,
    epochs: LeaderEpochs,
    /// Offset and timestamp of every record.
    rows: Vec<(Offset, Timestamp)>,
    /// Where each batch lies: segment, position, base offset, last offset.
    batches: Vec<(Offset, u64, Offset, Offset)>,
    /// The log's end after each batch, from none on.
    places: Vec<LogPosition>,
}

const INTERVAL: u64 = 150;

impl Sample {
    fn new(plans: &[Plan]) -> Sample {
        let at = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .expect("a place");
        let dir = OsDisk.open_dir(at.path()).expect("open");
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            dir.open(&SegmentFile::new(0, kind).name(), Open::CreateNew)
                .expect("make");
        }
        let mut epochs = LeaderEpochs::default();
        epochs.begin(0, 0);
        let tail = Tail::empty(0);
        let places = vec![tail.place()];
        let (rows, batches) = (Vec::new(), Vec::new());
        let mut sample = Sample {
            _at: at,
            dir,
            tail,
            epochs,
            rows,
            batches,
            places,
        };
        let mut appender = Appender::new(Arc::clone(&sample.dir));
        let mut epoch = 0;
        for plan in plans {
            if plan.new_epoch {
                epoch += 1;
                sample.epochs.begin(epoch, sample.tail.end);
            }
            if plan.roll && sample.tail.last.is_some() {
                let closed = appender.close_indexes(&sample.tail).expect("closed");
                sample.tail = appender.begin_segment(&closed).expect("begun");
            }
            let raw = batch(plan, sample.tail.end, epoch);
            let header = BatchHeader::parse(&raw).expect("a header");
            let place = (sample.tail.active, sample.tail.log_bytes);
            sample
                .batches
                .push((place.0, place.1, header.base_offset, header.last_offset()));
            for (time, offset) in plan.times.iter().zip(header.base_offset..) {
                sample.rows.push((offset, *time));
            }
            sample.tail = appender
                .append(&sample.tail, &raw, &header, INTERVAL)
                .expect("appended");
            sample.places.push(sample.tail.place());
        }
        sample
    }

    fn segments(&self) -> Segments {
        Segments::list(&*self.dir).expect("listed")
    }

    /// Overwrites every index, or removes it.
    fn spoil_indexes(&self, bytes: Option<&[u8]>) {
        for base in self.segments().bases() {
            for kind in [FileKind::Index, FileKind::TimeIndex] {
                let name = SegmentFile::new(*base, kind).name();
                self.dir.remove(&name).expect("removed");
                if let Some(bytes) = bytes {
                    let file = self.dir.open(&name, Open::CreateNew).expect("made");
                    file.write_at(bytes, 0).expect("written");
                }
            }
        }
    }

    /// Cuts every index at some part of its length, keeping the last.
    fn shorten_indexes(&self, part: u64) {
        for base in self.segments().bases() {
            for kind in [FileKind::Index, FileKind::TimeIndex] {
                let file = self
                    .dir
                    .open(&SegmentFile::new(*base, kind).name(), Open::Write)
                    .expect("open");
                let len = file.len().expect("len");
                file.set_len(len * part / 4).expect("cut");
            }
        }
    }

    fn bytes(&self, base: Offset, kind: FileKind) -> Vec<u8> {
        let file = self
            .dir
            .open(&SegmentFile::new(base, kind).name(), Open::Read)
            .expect("open");
        let mut bytes = vec![0; file.len().expect("len") as usize];
        let read = file.read_at(&mut bytes, 0).expect("read");
        bytes.truncate(read);
        bytes
    }
}

fn batch(plan: &Plan, offset: Offset, epoch: LeaderEpoch) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for time in &plan.times {
        builder
            .append_value(*time, &vec![b'v'; plan.bytes])
            .expect("fits");
    }
    let mut raw = builder
        .finish(Compression::None, TimestampType::CreateTime)
        .expect("a batch");
    stamp(&mut raw, offset, epoch);
    raw
}

/// Logs of a few batches, with timestamps that jump back, epochs that rise, and rolls.
fn plans() -> impl proptest::strategy::Strategy<Value = Vec<Plan>> {
    use proptest::prelude::*;
    let plan = (
        proptest::collection::vec(0..60_i64, 1..4),
        0..120_usize,
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(times, bytes, new_epoch, roll)| Plan {
            times,
            bytes,
            new_epoch,
            roll,
        });
    proptest::collection::vec(plan, 1..25)
}
