//! The most frequent of many items, by weight, in bounded memory.
//!
//! All items are kept while they fit. Then the median weight is taken off each, and those with nothing
//! left go ("Frequent items", Misra and Gries 1982; the median as in Anderson et al. 2017, "A
//! High-Performance Algorithm for Identifying Frequent Items in Data Streams"). What was taken off in
//! all before an item came in is the most by which it is counted too low; what was taken off in all is the
//! most that an item which is not kept weighs.

use std::collections::HashMap;

/// Memory of an item besides its bytes, about: an entry of the map, which has up to twice as many places as
/// items, and the allocation.
const ITEM_BYTES: usize = 128;

/// A number of records and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Records.
    pub records: u64,
    /// Bytes of key, value and headers.
    pub bytes: u64,
}

impl Tally {
    /// Adds a record.
    pub fn add(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
    }
}

/// A tally that may be too low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// There are at least so many.
    pub tally: Tally,
    /// There are at most so many bytes more; 0: the tally is exact.
    pub bytes_missed_max: u64,
}

impl Estimate {
    /// Of an exact tally.
    pub fn exact(tally: Tally) -> Self {
        Estimate {
            tally,
            bytes_missed_max: 0,
        }
    }
}

#[derive(Debug, Default)]
struct Counted {
    tally: Tally,
    /// What is left of the weight.
    weight: u64,
    /// What had been taken off in all when it came in: so much of it may have come and gone before.
    missed_max: u64,
}

/// Counts items.
#[derive(Debug)]
pub struct FrequencySketch {
    items: HashMap<Box<[u8]>, Counted>,
    memory: usize,
    memory_max: usize,
    /// What was taken off in all.
    taken_off: u64,
}

impl FrequencySketch {
    /// Keeps items in about so much memory, but always one.
    pub fn new(memory_max: usize) -> Self {
        FrequencySketch {
            items: HashMap::new(),
            memory: 0,
            memory_max,
            taken_off: 0,
        }
    }

    /// Counts a record of an item. One without bytes weighs one.
    pub fn add(&mut self, item: &[u8], bytes: u64) {
        if let Some(known) = self.items.get_mut(item) {
            known.tally.add(bytes);
            known.weight += bytes.max(1);
            return;
        }
        self.memory += item.len() + ITEM_BYTES;
        let mut counted = Counted {
            weight: bytes.max(1),
            missed_max: self.taken_off,
            ..Counted::default()
        };
        counted.tally.add(bytes);
        self.items.insert(item.into(), counted);
        while self.memory > self.memory_max && self.items.len() > 1 {
            self.take_off();
        }
    }

    /// Takes the median weight off each, at least one.
    fn take_off(&mut self) {
        let mut weights: Vec<u64> = self.items.values().map(|known| known.weight).collect();
        let middle = weights.len().saturating_sub(1) / 2;
        let (_, median, _) = weights.select_nth_unstable(middle);
        let off = (*median).max(1);
        self.taken_off += off;
        let mut memory = 0;
        self.items.retain(|item, known| {
            known.weight = known.weight.saturating_sub(off);
            if known.weight > 0 {
                memory += item.len() + ITEM_BYTES;
            }
            known.weight > 0
        });
        self.memory = memory;
    }

    /// The most that an item which is not kept weighs, bytes; 0: all are kept.
    pub fn unkept_max(&self) -> u64 {
        self.taken_off
    }

    /// The kept items.
    pub fn estimates(&self) -> impl Iterator<Item = (&[u8], Estimate)> {
        self.items.iter().map(|(item, known)| {
            let estimate = Estimate {
                tally: known.tally,
                bytes_missed_max: known.missed_max,
            };
            (&**item, estimate)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_fits_is_exact() {
        let mut sketch = FrequencySketch::new(1 << 20);
        for n in 0..1000_u64 {
            sketch.add(&(n % 7).to_be_bytes(), n);
        }
        assert_eq!((sketch.estimates().count(), sketch.unkept_max()), (7, 0));
        for (item, estimate) in sketch.estimates() {
            let item = u64::from_be_bytes(item.try_into().expect("eight bytes"));
            let of = (0..1000).filter(|n| n % 7 == item);
            assert_eq!(estimate.tally.bytes, of.clone().sum::<u64>());
            assert_eq!(estimate.tally.records, of.count() as u64);
            assert_eq!(estimate.bytes_missed_max, 0);
        }
    }

    /// Many items of which few are frequent, in an order that a fixed generator makes.
    #[test]
    fn the_bounds_hold_where_not_all_fit() {
        let (mut sketch, mut truth) = (FrequencySketch::new(20_000), BTreeMap::new());
        let mut state = 1_u64;
        for _ in 0..50_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let random = state >> 33;
            // Half of the records are of ten items, the others of a hundred thousand.
            let item = if random.is_multiple_of(2) {
                random / 2 % 10
            } else {
                10 + random % 100_000
            };
            let bytes = random % 50;
            sketch.add(&item.to_be_bytes(), bytes);
            *truth.entry(item).or_insert(0_u64) += bytes;
            assert!(sketch.memory <= 20_000);
        }
        assert!(sketch.unkept_max() > 0, "not all fit");
        let mut kept = BTreeMap::new();
        for (item, estimate) in sketch.estimates() {
            let item = u64::from_be_bytes(item.try_into().expect("eight bytes"));
            let (least, missed) = (estimate.tally.bytes, estimate.bytes_missed_max);
            assert!(
                (least..=least + missed).contains(&truth[&item]),
                "{item}: {estimate:?}"
            );
            kept.insert(item, estimate);
        }
        for (item, bytes) in &truth {
            assert!(
                kept.contains_key(item) || *bytes <= sketch.unkept_max(),
                "{item}"
            );
        }
        for frequent in 0..10 {
            assert_eq!(
                kept[&frequent].bytes_missed_max, 0,
                "{frequent}: exact, since it never went"
            );
        }
    }

    #[test]
    fn one_large_item_is_kept() {
        let mut sketch = FrequencySketch::new(10);
        sketch.add(&[7; 1000], 5);
        sketch.add(&[8; 1000], 9);
        assert_eq!(sketch.items.len(), 1);
        assert_eq!(sketch.unkept_max(), 5);
    }
}
