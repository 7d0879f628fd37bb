//! Indexes are disposable: present, missing, cut short or garbage, the results are the same.

use proptest::prelude::*;

use super::*;
use crate::log::lookup::Located;

fn all_answers_are_right(sample: &Sample) -> Result<(), TestCaseError> {
    let (dir, segments) = (&*sample.dir, sample.segments());
    for (segment, position, first, last) in &sample.batches {
        for target in *first..=*last {
            let at = locate(dir, &segments, &sample.tail, target).expect("located");
            let wanted = Located {
                segment: *segment,
                position: *position,
                offset: *first,
            };
            prop_assert_eq!(at, wanted);
            let header = header_at(dir, at.segment, at.position)
                .expect("read")
                .expect("a header");
            prop_assert_eq!(header.base_offset, *first);
        }
    }
    let end = locate(dir, &segments, &sample.tail, sample.tail.end).expect("located");
    prop_assert_eq!(
        (end.offset, end.position),
        (sample.tail.end, sample.tail.log_bytes)
    );
    prop_assert!(locate(dir, &segments, &sample.tail, -1).is_err());
    let count = sample.rows.len() as Offset;
    for time in [0, 1, 15, 30, 45, 59, 60] {
        for from in [0, count / 3, count - 1, count] {
            for until in [0, count / 2, count] {
                let wanted = sample
                    .rows
                    .iter()
                    .find(|(offset, at)| (from..until).contains(offset) && *at >= time)
                    .map(|(offset, _)| *offset);
                let found = first_not_older(dir, &segments, &sample.tail, from, until, time, 0);
                prop_assert_eq!(
                    found.expect("searched"),
                    wanted,
                    "{} from {} to {}",
                    time,
                    from,
                    until
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_answers_whatever_became_of_the_indexes(
        plans in plans(),
        garbage in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let sample = Sample::new(&plans);
        all_answers_are_right(&sample)?;
        for part in [3, 2, 1, 0] {
            sample.shorten_indexes(part);
            all_answers_are_right(&sample)?;
        }
        sample.spoil_indexes(Some(&garbage));
        all_answers_are_right(&sample)?;
        sample.spoil_indexes(None);
        all_answers_are_right(&sample)?;
    }
}

#[test]
fn segments_are_found_by_offset() {
    let roll = |roll| Plan {
        times: vec![1, 2],
        bytes: 5,
        new_epoch: false,
        roll,
    };
    let sample = Sample::new(&[roll(false), roll(true), roll(false), roll(true)]);
    let segments = sample.segments();
    assert_eq!(segments.bases(), [0, 2, 6]);
    for (offset, holding) in [
        (-1, None),
        (0, Some(0)),
        (1, Some(0)),
        (2, Some(2)),
        (5, Some(2)),
        (9, Some(6)),
    ] {
        assert_eq!(segments.holding(offset), holding, "{offset}");
    }
    assert_eq!(
        (segments.after(0), segments.after(5), segments.after(6)),
        (Some(2), Some(6), None)
    );
    assert_eq!(segments.from(1), [2, 6]);
    assert!(segments.from(7).is_empty());
}
