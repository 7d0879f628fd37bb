//! The batches of one fetch, handed out one after the other: borrowed, or as owned records.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::{Batch, damaged};
use super::record::{Origin, Record, RecordSpans, SharedBatch};
use crate::client::Fetched;
use crate::error::{Error, Result};
use crate::record::{BatchHeader, BatchView, Decompressor};
use crate::types::{Compression, LeaderEpoch, Offset, TopicPartition};

/// Records that were fetched and are not handed out yet.
#[derive(Default)]
pub(super) struct FetchBuffer {
    fetch: Option<Fetch>,
    /// Memory of earlier fetches.
    spare: Vec<u8>,
    decompressor: Decompressor,
    /// Records of the current batch that are still to be handed out one by one.
    queue: VecDeque<RecordSpans>,
    shared: Option<Arc<SharedBatch>>,
    /// The error after the records of the queue.
    damage: Option<Error>,
}

struct Fetch {
    fetched: Fetched,
    origin: Arc<Origin>,
    /// The current batch, and where in the bytes it begins.
    current: Option<Current>,
    /// Where the next one begins.
    next_at: usize,
    /// All records before it were handed out.
    next: Offset,
}

struct Current {
    header: BatchHeader,
    at: usize,
    /// Records before it were handed out already.
    from: Offset,
}

impl std::fmt::Debug for FetchBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchBuffer").finish_non_exhaustive()
    }
}

impl FetchBuffer {
    /// Memory for the next fetch.
    pub(super) fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.spare
    }

    /// Takes a fetch, in place of the rest of the previous one.
    pub(super) fn put(&mut self, fetched: Fetched, origin: Arc<Origin>) {
        self.clear();
        self.fetch = Some(Fetch {
            next: fetched.from,
            fetched,
            origin,
            current: None,
            next_at: 0,
        });
    }

    /// Drops the records that were not handed out.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        (self.shared, self.damage) = (None, None);
        if let Some(fetch) = self.fetch.take()
            && fetch.fetched.bytes.capacity() > self.spare.capacity()
        {
            self.spare = fetch.fetched.bytes;
        }
    }

    /// The partition of the remaining records, and the offset of the first.
    pub(super) fn rest(&self) -> Option<(&TopicPartition, Offset)> {
        let fetch = self.fetch.as_ref()?;
        let next = self.queue.front().map_or(fetch.next, |place| place.offset);
        (next < fetch.fetched.until).then_some((&fetch.origin.tp, next))
    }

    /// Advances to the next batch with records to hand out, or to the rest of the current one if
    /// that is handed out record by record; returns whether there is one.
    ///
    /// # Errors
    /// [`Kind::Damaged`](crate::error::Kind::Damaged) if it does not decode: nothing of it is handed out.
    pub(super) fn advance(&mut self) -> Result<bool> {
        let Some(fetch) = &mut self.fetch else {
            return Ok(false);
        };
        if let Some(place) = self.queue.front() {
            fetch.next = place.offset;
            if let Some(current) = &mut fetch.current {
                current.from = place.offset;
            }
            self.queue.clear();
            return self.decode().map(|()| true);
        }
        // The engine has checked the batches: the loop ends with the last.
        while let Some(rest) = fetch.fetched.bytes.get(fetch.next_at..)
            && let Ok(header) = BatchHeader::parse(rest)
        {
            let at = fetch.next_at;
            fetch.next_at += header.total_len();
            let is_wanted = header.last_offset() >= fetch.next
                && header.base_offset < fetch.fetched.until
                && !header.is_control();
            if is_wanted {
                fetch.current = Some(Current {
                    header,
                    at,
                    from: fetch.next,
                });
                return self.decode().map(|()| true);
            }
        }
        self.clear();
        Ok(false)
    }

    /// Decompresses the current batch, and checks whether it can hold as many records as it claims.
    fn decode(&mut self) -> Result<()> {
        let Some(fetch) = &self.fetch else {
            return Ok(());
        };
        let Some(current) = &fetch.current else {
            return Ok(());
        };
        let base_offset = current.header.base_offset;
        let bytes = fetch.fetched.bytes.get(current.at..).unwrap_or_default();
        self.decompressor.allow(fetch.fetched.decompressed_len_max);
        let records =
            BatchView::parse(bytes).and_then(|view| view.records(&mut self.decompressor).map(drop));
        records.map_err(|e| damaged(e, &fetch.origin.tp, base_offset))
    }

    /// The current batch.
    ///
    /// # Errors
    /// None if [`FetchBuffer::advance`] returned none.
    pub(super) fn batch(&self) -> Result<Option<Batch<'_>>> {
        let Some((fetch, current)) = self.current() else {
            return Ok(None);
        };
        let fetched = &fetch.fetched;
        let header = current.header;
        let at = |e| damaged(e, &fetch.origin.tp, header.base_offset);
        let bytes = fetched.bytes.get(current.at..).unwrap_or_default();
        let view = BatchView::parse(bytes).map_err(at)?;
        let raw = match header.compression() {
            Compression::None => view.records_bytes(),
            _ => self.decompressor.decompressed(),
        };
        Ok(Some(Batch {
            origin: &fetch.origin,
            header,
            records: view.records_of(raw).map_err(at)?,
            from: current.from,
            until: fetched.until,
            edges: fetched.edges,
        }))
    }

    fn current(&self) -> Option<(&Fetch, &Current)> {
        let fetch = self.fetch.as_ref()?;
        Some((fetch, fetch.current.as_ref()?))
    }

    /// Hands the current batch out as a whole: returns its origin, the offset after it, and the
    /// epoch in which it was appended.
    pub(super) fn hand_out(&mut self) -> Option<(&Arc<Origin>, Offset, LeaderEpoch)> {
        let fetch = self.fetch.as_mut()?;
        let header = fetch.current.as_ref()?.header;
        fetch.next = header.next_offset().min(fetch.fetched.until);
        Some((&fetch.origin, fetch.next, header.leader_epoch))
    }

    /// Prepares the records of the current batch to be taken one by one.
    ///
    /// # Errors
    /// As [`FetchBuffer::batch`].
    pub(super) fn unpack(&mut self) -> Result<()> {
        let mut places = std::mem::take(&mut self.queue);
        let mut damage = None;
        let from = self.fetch.as_ref().map_or(0, |fetch| fetch.next);
        if let Some(batch) = self.batch()? {
            let bytes = batch.records.unread();
            let mut records = batch.iter();
            while let Some(record) = records.next_record() {
                match record {
                    Ok(record) => places.push_back(RecordSpans::within(bytes, &record)),
                    Err(e) => damage = Some(e),
                }
            }
            let shared = SharedBatch {
                origin: Arc::clone(batch.origin),
                bytes: bytes.to_vec(),
            };
            self.shared = Some(Arc::new(shared));
        }
        if damage.is_some()
            && let Some(fetch) = &mut self.fetch
        {
            // Reading ends there.
            fetch.next = places.back().map_or(from, |place| place.offset + 1);
        } else {
            self.hand_out();
        }
        (self.queue, self.damage) = (places, damage);
        Ok(())
    }

    /// Whether a record can be taken.
    pub(super) fn has_record(&self) -> bool {
        !self.queue.is_empty() || self.damage.is_some()
    }

    /// The next record; after the last sound one, the error of the records behind it.
    pub(super) fn take_record(&mut self) -> Option<Result<Record>> {
        let Some(place) = self.queue.pop_front() else {
            return self.damage.take().map(Err);
        };
        let shared = Arc::clone(self.shared.as_ref()?);
        Some(Ok(Record::new(shared, place)))
    }

    /// The epoch in which the current batch was appended; -1: there is none.
    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        let current = self.current();
        current.map_or(-1, |(_, current)| current.header.leader_epoch)
    }

    /// The origin of the remaining records.
    pub(super) fn origin(&self) -> Option<&Arc<Origin>> {
        self.fetch.as_ref().map(|fetch| &fetch.origin)
    }

    /// The offset up to which the fetch goes, and its origin.
    pub(super) fn end(&self) -> Option<(Arc<Origin>, Offset)> {
        let fetch = self.fetch.as_ref()?;
        Some((Arc::clone(&fetch.origin), fetch.fetched.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::record::{BATCH_HEADER_LEN, BatchBuilder, stamp};
    use crate::types::{TimestampType, TopicName, Uuid};

    /// Three batches of three records each.
    fn bytes(compression: Compression) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for batch in 0..3 {
            let mut builder = BatchBuilder::new();
            for _ in 0..3 {
                builder.append_value(7, b"some value").expect("appended");
            }
            let made = builder.finish(compression, TimestampType::CreateTime);
            let mut made = made.expect("finished");
            stamp(&mut made, batch * 3, 0);
            starts.push(bytes.len());
            bytes.extend_from_slice(&made);
        }
        (bytes, starts)
    }

    fn buffer(bytes: Vec<u8>, from: Offset, until: Offset) -> FetchBuffer {
        let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
        let fetched = Fetched {
            tp: tp.clone(),
            from,
            until,
            bytes,
            edges: crate::partition::LogEdges::default(),
            decompressed_len_max: 0,
        };
        let origin = Origin {
            tp,
            topic_id: Uuid::ZERO,
            generation: 0,
        };
        let mut buffer = FetchBuffer::default();
        buffer.put(fetched, Arc::new(origin));
        buffer
    }

    /// The records that come one by one, and the result at their end.
    fn records(buffer: &mut FetchBuffer) -> (Vec<Offset>, Result<()>) {
        let mut offsets = Vec::new();
        loop {
            while let Some(record) = buffer.take_record() {
                match record {
                    Ok(record) => offsets.push(record.offset()),
                    Err(e) => return (offsets, Err(e)),
                }
            }
            match buffer.advance() {
                Ok(true) => buffer.unpack().expect("it was decoded"),
                Ok(false) => return (offsets, Ok(())),
                Err(e) => return (offsets, Err(e)),
            }
        }
    }

    #[test]
    fn a_fetch_is_handed_out_within_its_bounds() {
        for compression in [Compression::None, Compression::Lz4] {
            let (bytes, _) = bytes(compression);
            for (from, until) in [(0, 9), (1, 8), (3, 6), (4, 5), (8, 9)] {
                let mut buffer = buffer(bytes.clone(), from, until);
                assert_eq!(buffer.rest().map(|(_, next)| next), Some(from));
                let (offsets, outcome) = records(&mut buffer);
                outcome.expect("sound");
                assert_eq!(offsets, (from..until).collect::<Vec<_>>());
                assert!(buffer.rest().is_none());
            }
        }
    }

    #[test]
    fn batches_go_on_where_records_were_taken() {
        let mut buffer = buffer(bytes(Compression::Zstd).0, 0, 9);
        assert!(buffer.advance().expect("sound"));
        buffer.unpack().expect("decoded");
        buffer.take_record().expect("one").expect("sound");
        assert_eq!(buffer.rest().map(|(_, next)| next), Some(1));
        for due in [1, 3, 6] {
            assert!(buffer.advance().expect("sound"));
            let batch = buffer.batch().expect("sound").expect("one");
            let first = batch.iter().next().expect("one").expect("sound");
            assert_eq!(first.offset, Some(due));
            buffer.hand_out();
        }
        assert!(!buffer.advance().expect("the end"));
    }

    #[test]
    fn records_that_do_not_decode_end_it_behind_the_sound_ones() {
        let (mut bytes, starts) = bytes(Compression::None);
        // The length of the second record of the second batch.
        let record_len = (bytes.len() / 3 - BATCH_HEADER_LEN) / 3;
        let at = starts[1] + BATCH_HEADER_LEN + record_len;
        bytes[at] = 0x7f;
        let mut damaged = buffer(bytes, 0, 9);
        let (offsets, outcome) = records(&mut damaged);
        assert_eq!(offsets, [0, 1, 2, 3]);
        let reported = outcome.expect_err("damage");
        assert_eq!(
            (reported.kind(), reported.topic(), reported.offset()),
            (Kind::Damaged, Some("t"), Some(3))
        );
        assert_eq!(damaged.rest().map(|(_, next)| next), Some(4));
    }

    #[test]
    fn a_batch_that_does_not_decompress_is_not_handed_out() {
        let (mut bytes, starts) = bytes(Compression::Zstd);
        bytes[starts[1] + BATCH_HEADER_LEN] ^= 0xff;
        let mut damaged = buffer(bytes, 0, 9);
        let (offsets, outcome) = records(&mut damaged);
        assert_eq!(offsets, [0, 1, 2]);
        assert_eq!(outcome.expect_err("damage").kind(), Kind::Damaged);
        assert_eq!(damaged.rest().map(|(_, next)| next), Some(3));
    }
}
