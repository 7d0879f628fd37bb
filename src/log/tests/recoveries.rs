//! The results of recovery, adoption, rewrite of unsynced bytes, and the search for the last sound
//! place.

use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::log::unsynced_rewrite::epochs_of_batches;

fn from(durable: Option<LogPosition>) -> RecoverFrom {
    RecoverFrom {
        log_start: Some(0),
        durable,
        index_interval_bytes: INTERVAL,
    }
}

fn active_log(sample: &Sample) -> Arc<dyn crate::disk::File> {
    sample
        .dir
        .open(
            &SegmentFile::new(sample.tail.active, FileKind::Log).name(),
            Open::Write,
        )
        .expect("open")
}

/// The place after the last whole batch in the first `len` bytes of the active segment.
fn whole(sample: &Sample, len: u64) -> LogPosition {
    let inside = |p: &&LogPosition| p.segment == sample.tail.active && p.position <= len;
    let empty = LogPosition {
        offset: sample.tail.active,
        segment: sample.tail.active,
        position: 0,
    };
    sample
        .places
        .iter()
        .rev()
        .find(inside)
        .copied()
        .unwrap_or(empty)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_torn_end_is_cut_after_the_last_whole_batch(
        plans in plans(),
        part in 0.0..1.0_f64,
        zeros in 0..200_u64,
    ) {
        let sample = Sample::new(&plans);
        let log = active_log(&sample);
        let mut len = (sample.tail.log_bytes as f64 * part) as u64;
        let original = sample.bytes(sample.tail.active, FileKind::Log);
        log.set_len(len).expect("cut");
        log.set_len(len + zeros).expect("lengthened with zeros");
        // Zeros where zeros were are no damage.
        len += original.iter().skip(len as usize).take(zeros as usize).take_while(|b| **b == 0).count() as u64;
        let wanted = whole(&sample, len);
        let mut cuts = Vec::new();
        let recovered = recover(&*sample.dir, from(Some(sample.places[0])), Some(&sample.epochs), &mut cuts).expect("recovered");
        prop_assert_eq!(recovered.tail.place(), wanted);
        prop_assert_eq!(log.len().expect("len"), wanted.position);
        // A second run finds nothing to do.
        cuts.clear();
        let again = recover(&*sample.dir, from(Some(wanted)), Some(&recovered.epochs), &mut cuts).expect("again");
        prop_assert_eq!((again.tail, cuts), (recovered.tail, vec![]));
    }

    #[test]
    fn damage_is_refused_below_the_durable_place_and_cut_above_it(
        plans in plans(),
        at in any::<prop::sample::Index>(),
        durable in any::<prop::sample::Index>(),
    ) {
        let sample = Sample::new(&plans);
        let (segment, position, first, last) = *at.get(&sample.batches);
        let durable = *durable.get(&sample.places);
        let log = sample.dir.open(&SegmentFile::new(segment, FileKind::Log).name(), Open::Write).expect("open");
        // The checksum itself, so that no chance makes it right again.
        let mut crc = [0; 4];
        log.read_at(&mut crc, position + 17).expect("read");
        log.write_at(&crc.map(|byte| !byte), position + 17).expect("spoiled");
        let all = LogPosition { offset: i64::MAX, segment: i64::MAX, position: u64::MAX };
        let sound = last_sound_place(&*sample.dir, &sample.segments(), sample.places[0], all, Some(&sample.epochs));
        prop_assert_eq!(sound.expect("walked"), LogPosition { offset: first, segment, position });
        let carried = epochs_of_batches(&*sample.dir, &sample.segments()).expect("walked");
        prop_assert!(carried.entries().iter().all(|(_, start)| *start < first || first == 0));
        let mut cuts = Vec::new();
        let nothing_known = recover(&*sample.dir, RecoverFrom { log_start: None, ..from(None) }, Some(&sample.epochs), &mut cuts);
        if last + 1 < sample.tail.end {
            prop_assert_eq!(nothing_known.expect_err("a sound batch behind it").kind(), Kind::Damaged);
            cuts.clear();
            let recovered = recover(&*sample.dir, from(Some(durable)), Some(&sample.epochs), &mut cuts);
            if durable.offset <= first {
                let recovered = recovered.expect("cut");
                prop_assert_eq!(recovered.tail.end, first);
                prop_assert!(!cuts.is_empty());
            }
        } else {
            prop_assert_eq!(nothing_known.expect("a torn end").tail.end, first);
        }
    }

    #[test]
    fn adoption_takes_whole_batches_and_cuts_the_rest(
        plans in plans(),
        known in any::<prop::sample::Index>(),
        torn in 0..60_usize,
    ) {
        let sample = Sample::new(&plans);
        let in_active: Vec<LogPosition> =
            sample.places.iter().copied().filter(|p| p.segment == sample.tail.active).collect();
        prop_assume!(!in_active.is_empty());
        let published = known.get(&in_active).position;
        // The tail when only this much was published.
        let mut appender = Appender::new(Arc::clone(&sample.dir));
        let log = active_log(&sample);
        log.set_len(published).expect("cut");
        let mut cuts = Vec::new();
        let before = recover(&*sample.dir, from(Some(sample.places[0])), Some(&sample.epochs), &mut cuts).expect("recovered").tail;
        let restored = Sample::new(&plans);
        let bytes = restored.bytes(restored.tail.active, FileKind::Log);
        log.write_at(&bytes, 0).expect("as a dead writer left it");
        log.write_at(&bytes[..torn.min(bytes.len() - 1)], sample.tail.log_bytes).expect("torn");
        let tail = adopt(&mut appender, &before, &sample.epochs, INTERVAL).expect("adopted");
        prop_assert_eq!(tail, sample.tail);
        prop_assert_eq!(log.len().expect("len"), sample.tail.log_bytes);
    }

    #[test]
    fn a_rewrite_keeps_every_record(plans in plans(), durable in any::<prop::sample::Index>()) {
        let sample = Sample::new(&plans);
        let durable = *durable.get(&sample.places);
        for _ in 0..2 {
            let mut cuts = Vec::new();
            let recovered = copy_from(&*sample.dir, 0, durable, &sample.epochs, INTERVAL, &mut cuts).expect("copied");
            prop_assert_eq!(recovered.tail.end, sample.tail.end);
            prop_assert_eq!(&cuts, &vec![]);
            let segments = sample.segments();
            prop_assert!(segments.bases().contains(&durable.offset));
            for (_, _, first, last) in &sample.batches {
                let at = locate(&*sample.dir, &segments, &recovered.tail, *last).expect("located");
                prop_assert_eq!(at.offset, *first);
            }
            let walked = last_sound_place(
                &*sample.dir, &segments, sample.places[0], recovered.tail.place(), Some(&sample.epochs),
            );
            prop_assert_eq!(walked.expect("walked").offset, sample.tail.end);
            prop_assert_eq!(verified_files(&sample, &recovered.tail), vec![]);
        }
    }
}

/// The findings of a deep verification, including beyond the published ends of the active indexes.
fn verified_files(sample: &Sample, tail: &Tail) -> Vec<Finding> {
    let mut findings = Vec::new();
    verify(
        &*sample.dir,
        tail,
        Some(&sample.epochs),
        Some(0),
        &mut findings,
    )
    .expect("looked at");
    behind_indexes(&*sample.dir, tail, &mut findings).expect("looked at");
    findings
}

#[test]
fn a_roll_leaves_no_index_entry_of_an_append_that_was_taken_back() {
    let plan = |bytes| Plan {
        times: vec![1, 2],
        bytes,
        new_epoch: false,
        roll: false,
    };
    let sample = Sample::new(&[plan(400), plan(400)]);
    let mut appender = Appender::new(Arc::clone(&sample.dir));
    let mut raw = batch(&plan(400), sample.tail.end, 0);
    stamp(&mut raw, sample.tail.end, 0);
    let header = BatchHeader::parse(&raw).expect("a header");
    let longer = appender
        .append(&sample.tail, &raw, &header, 0)
        .expect("appended");
    assert!(longer.index_bytes > sample.tail.index_bytes);
    appender.take_back(&sample.tail).expect("taken back");
    let closed = appender.close_indexes(&sample.tail).expect("closed");
    let rolled = appender.begin_segment(&closed).expect("begun");
    assert_eq!(verified_files(&sample, &rolled), vec![]);
}

/// Three batches, of which the last is in a second segment.
fn two_segments() -> Sample {
    let plan = |roll| Plan {
        times: vec![1, 2],
        bytes: 30,
        new_epoch: false,
        roll,
    };
    Sample::new(&[plan(false), plan(false), plan(true)])
}

#[test]
fn what_was_cut_before_is_kept_when_the_same_offset_is_cut_again() {
    let sample = two_segments();
    let log = active_log(&sample);
    let end = sample.tail.place();
    let mut kept = Vec::new();
    for junk in [&b"first"[..], b"second, longer", b"3"] {
        log.write_at(junk, end.position).expect("junk");
        let mut cuts = Vec::new();
        let recovered = recover(
            &*sample.dir,
            from(Some(end)),
            Some(&sample.epochs),
            &mut cuts,
        )
        .expect("recovered");
        assert_eq!(recovered.tail.place(), end);
        let path = cuts[0].kept.clone().expect("kept");
        kept.push((path, junk));
    }
    let names: Vec<_> = kept
        .iter()
        .map(|(path, _)| path.file_name().expect("a name").to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "00000000000000000006.cut",
            "00000000000000000006.2.cut",
            "00000000000000000006.3.cut"
        ]
    );
    for (path, junk) in kept {
        assert_eq!(std::fs::read(path).expect("read"), junk);
    }
}

#[test]
fn a_segment_is_set_aside_beside_what_was_cut_at_its_base_before() {
    let sample = two_segments();
    let first = SegmentFile::new(0, FileKind::Log).name();
    let log = sample.dir.open(&first, Open::Write).expect("open");
    let earlier = SegmentFile::new(4, FileKind::Cut(1)).name();
    let before = sample.dir.open(&earlier, Open::CreateNew).expect("made");
    before.write_at(b"earlier", 0).expect("written");
    let second = sample.bytes(4, FileKind::Log);
    // The second batch is broken: the log ends before it, and the second segment is removed.
    log.write_at(&[0x55; 8], sample.batches[1].1 + 20)
        .expect("spoilt");
    let durable = sample.places[1];
    let mut cuts = Vec::new();
    let recovered = recover(
        &*sample.dir,
        from(Some(durable)),
        Some(&sample.epochs),
        &mut cuts,
    )
    .expect("recovered");
    assert_eq!(recovered.tail.place(), durable);
    assert_eq!(sample.bytes(4, FileKind::Cut(1)), b"earlier");
    assert_eq!(sample.bytes(4, FileKind::Cut(2)), second);
}

#[test]
fn a_roll_never_empties_a_log_that_holds_records() {
    let sample = two_segments();
    // A page that is older than the log: it ends before the second segment.
    let older = Tail {
        active: 0,
        end: 4,
        ..sample.tail
    };
    let second = sample.bytes(4, FileKind::Log);
    let mut appender = Appender::new(Arc::clone(&sample.dir));
    let refused = appender
        .begin_segment(&older)
        .expect_err("it holds records");
    assert_eq!(refused.kind(), crate::error::Kind::Fenced);
    assert_eq!(sample.bytes(4, FileKind::Log), second);
    // A segment without a sound batch is worthless, and is emptied.
    let log = sample
        .dir
        .open(&SegmentFile::new(4, FileKind::Log).name(), Open::Write)
        .expect("open");
    log.write_at(&[0x55; 8], 20).expect("spoilt");
    appender.begin_segment(&older).expect("begun");
    assert!(log.is_empty().expect("len"));
}

#[test]
fn what_was_cut_is_told_though_the_recovery_fails() {
    let sample = two_segments();
    let log = active_log(&sample);
    log.write_at(b"junk", sample.tail.log_bytes).expect("junk");
    let mut cuts = Vec::new();
    let known = RecoverFrom {
        // A log that ends before its start is damaged: that is found after the cut.
        log_start: Some(sample.tail.end + 1),
        ..from(sample.places.last().copied())
    };
    recover(&*sample.dir, known, Some(&sample.epochs), &mut cuts).expect_err("damaged");
    assert_eq!(cuts.len(), 1);
    assert_eq!(cuts[0].bytes, 4);
}
