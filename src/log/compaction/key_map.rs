//! The last offset of each key among the records that a pass looks at, within a bound of memory
//! (`SkimpyOffsetMap`).

use std::collections::HashMap;

use super::siphash::SipHash;
use crate::types::Offset;

/// Words of a slot: the hash, and the offset plus one. A slot of zeros is free.
const SLOT_WORDS: usize = 3;
/// Of so many slots one stays free, so that searches stay short.
const FREE_OF: usize = 8;
/// The most producers whose last batch is noted. Of others every emptied batch is kept.
const PRODUCERS_MAX: usize = 10_000;

/// Maps keys to their last offsets. It is fed with records in offset order.
#[derive(Debug)]
pub struct KeyMap {
    sip: SipHash,
    /// Zeros that were never written to take no memory.
    words: Vec<u64>,
    used: usize,
    from: Offset,
    to: Offset,
    producers: HashMap<i64, Offset>,
}

impl KeyMap {
    /// An empty map of at most that many bytes, for records from offset `from` on. `key` is random.
    pub fn new(key: [u8; 16], bytes_max: usize, from: Offset) -> Self {
        let slots = (bytes_max / (SLOT_WORDS * size_of::<u64>())).max(FREE_OF);
        KeyMap {
            sip: SipHash::new(key),
            words: vec![0; slots * SLOT_WORDS],
            used: 0,
            from,
            to: from,
            producers: HashMap::new(),
        }
    }

    /// The offsets whose records it has seen, all of them.
    pub fn covers(&self) -> std::ops::Range<Offset> {
        self.from..self.to
    }

    /// Notes a record. `false`: it has no room for another key, and covers nothing from this record on.
    pub fn insert(&mut self, key: &[u8], offset: Offset) -> bool {
        let slots = self.words.len() / SLOT_WORDS;
        let hash = self.sip.hash(key);
        let at = self.find(hash);
        let Some([a, b, last]) = self.words.get_mut(at..).and_then(<[u64]>::first_chunk_mut) else {
            return false;
        };
        if *last == 0 {
            if self.used + slots / FREE_OF >= slots {
                return false;
            }
            [*a, *b] = hash;
            self.used += 1;
        }
        *last = offset as u64 + 1;
        self.to = self.to.max(offset + 1);
        true
    }

    /// Notes that every record below `to` was inserted.
    pub fn cover(&mut self, to: Offset) {
        self.to = self.to.max(to);
    }

    /// The last offset of a key among the records that were inserted.
    pub fn last_offset(&self, key: &[u8]) -> Option<Offset> {
        let at = self.find(self.sip.hash(key));
        let last = self.words.get(at + 2).copied().unwrap_or_default();
        last.checked_sub(1).map(|offset| offset as Offset)
    }

    /// Notes a batch of a producer.
    pub fn note_producer(&mut self, producer_id: i64, base_offset: Offset) {
        if self.producers.len() < PRODUCERS_MAX || self.producers.contains_key(&producer_id) {
            self.producers.insert(producer_id, base_offset);
        }
    }

    /// Whether the producer has a later batch: its state is in that one.
    pub fn has_later_batch(&self, producer_id: i64, base_offset: Offset) -> bool {
        let last = self.producers.get(&producer_id);
        last.is_some_and(|last| *last > base_offset)
    }

    /// Where the slot of a hash is, or would be.
    fn find(&self, [a, b]: [u64; 2]) -> usize {
        let slots = self.words.len() / SLOT_WORDS;
        let mut slot = (a % slots as u64) as usize;
        loop {
            let at = slot * SLOT_WORDS;
            match self.words.get(at..).and_then(<[u64]>::first_chunk) {
                Some([x, y, last]) if *last != 0 && (*x, *y) != (a, b) => {
                    slot = (slot + 1) % slots;
                }
                _ => return at,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_knows_the_last_offset_of_each_key() {
        let mut map = KeyMap::new([7; 16], 64 * 1024, 100);
        let mut model = HashMap::new();
        for offset in 100..3000_i64 {
            let key = (offset * 7919 % 500).to_string();
            assert!(map.insert(key.as_bytes(), offset));
            model.insert(key, offset);
        }
        for (key, offset) in &model {
            assert_eq!(map.last_offset(key.as_bytes()), Some(*offset));
        }
        assert_eq!(map.last_offset(b"another"), None);
        assert_eq!(map.covers(), 100..3000);
        map.cover(4000);
        assert_eq!(map.covers(), 100..4000);
    }

    #[test]
    fn a_full_map_takes_known_keys_only_and_says_how_far_it_goes() {
        let mut map = KeyMap::new([7; 16], 64 * SLOT_WORDS * 8, 0);
        let mut offset = 0_i64;
        while map.insert(&offset.to_le_bytes(), offset) {
            offset += 1;
        }
        assert_eq!(offset, 64 - 64 / FREE_OF as i64);
        assert_eq!(map.covers(), 0..offset);
        assert!(map.insert(&0_i64.to_le_bytes(), offset));
        assert_eq!(map.last_offset(&0_i64.to_le_bytes()), Some(offset));
        assert_eq!(map.last_offset(&offset.to_le_bytes()), None);
    }

    #[test]
    fn a_producers_last_batch_is_known() {
        let mut map = KeyMap::new([7; 16], 1024, 0);
        map.note_producer(5, 10);
        map.note_producer(5, 20);
        assert!(map.has_later_batch(5, 10));
        assert!(!map.has_later_batch(5, 20) && !map.has_later_batch(6, 1));
    }
}
