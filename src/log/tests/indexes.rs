//! The sparse rule of Kafka's indexes, implemented a second time.

use proptest::prelude::*;

use super::*;

/// The entries that `LogSegment.append` makes: an entry when more than the interval's bytes came
/// since the last one, before this batch is counted; a time entry with it, if the largest timestamp
/// rose; one more time entry at a roll.
fn expected(
    sample: &Sample,
    plans: &[Plan],
    base: Offset,
) -> (Vec<(Offset, u64)>, Vec<(Timestamp, Offset)>) {
    let (mut index, mut times) = (Vec::new(), Vec::new());
    let (mut since, mut largest, mut largest_at) = (0, -1, base);
    for ((segment, position, _, last), plan) in sample.batches.iter().zip(plans) {
        if *segment != base {
            continue;
        }
        let time = plan.times.iter().copied().max().unwrap_or(-1);
        if time > largest {
            (largest, largest_at) = (time, *last);
        }
        if since > INTERVAL {
            index.push((*last, *position));
            if times.last().is_none_or(|(t, _)| *t < largest) {
                times.push((largest, largest_at));
            }
            since = 0;
        }
        since += batch(plan, 0, 0).len() as u64;
    }
    let closed = base != sample.tail.active;
    if closed && largest >= 0 && times.last().is_none_or(|(t, _)| *t < largest) {
        times.push((largest, largest_at));
    }
    (index, times)
}

fn decoded(sample: &Sample, base: Offset) -> (Vec<(Offset, u64)>, Vec<(Timestamp, Offset)>) {
    let int = |raw: &[u8]| i64::from(i32::from_be_bytes(raw.try_into().expect("4 bytes")));
    let index = sample
        .bytes(base, FileKind::Index)
        .chunks(8)
        .map(|raw| (base + int(&raw[..4]), int(&raw[4..]) as u64))
        .collect();
    let times = sample
        .bytes(base, FileKind::TimeIndex)
        .chunks(12)
        .map(|raw| {
            (
                i64::from_be_bytes(raw[..8].try_into().expect("8 bytes")),
                base + int(&raw[8..]),
            )
        })
        .collect();
    (index, times)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn indexes_are_as_kafka_makes_them(plans in plans()) {
        let sample = Sample::new(&plans);
        for base in sample.segments().bases() {
            prop_assert_eq!(decoded(&sample, *base), expected(&sample, &plans, *base));
        }
        let index = sample.bytes(sample.tail.active, FileKind::Index).len() as u64;
        let times = sample.bytes(sample.tail.active, FileKind::TimeIndex).len() as u64;
        prop_assert_eq!((index, times), (sample.tail.index_bytes, sample.tail.time_index_bytes));
    }

    #[test]
    fn a_recovery_makes_the_same_indexes(plans in plans(), durable in any::<prop::sample::Index>()) {
        let sample = Sample::new(&plans);
        let before: Vec<_> =
            sample.segments().bases().iter().map(|base| decoded(&sample, *base)).collect();
        let durable = *durable.get(&sample.places);
        sample.spoil_indexes(Some(&[0x5a; 50]));
        let from = RecoverFrom { log_start: Some(0), durable: Some(durable), index_interval_bytes: INTERVAL };
        let mut cuts = Vec::new();
        let recovered = recover(&*sample.dir, from, Some(&sample.epochs), &mut cuts).expect("recovered");
        prop_assert_eq!(recovered.tail, sample.tail);
        prop_assert_eq!(&recovered.epochs, &sample.epochs);
        prop_assert_eq!(cuts, vec![]);
        for (base, before) in sample.segments().bases().iter().zip(before) {
            if *base >= durable.segment {
                prop_assert_eq!(decoded(&sample, *base), before);
            }
        }
    }
}
