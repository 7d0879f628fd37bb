//! The format as a whole: golden bytes, round trips, and hostile bytes.

use proptest::prelude::*;

use super::*;
use crate::codec::varint;
use crate::types::{Compression, TimestampType};

/// Two records written by hand from the format's description: base offset 1000, leader epoch 5,
/// no compression. The crc was computed bit by bit, apart from this code.
const GOLDEN: &[u8] = &[
    0, 0, 0, 0, 0, 0, 0x03, 0xe8, // base offset 1000
    0, 0, 0, 0x4b, // length 75: 49 of the header, 16 and 10 of the records
    0, 0, 0, 5, // leader epoch
    2, // magic
    0xd9, 0x2d, 0xd8, 0x93, // crc
    0, 0, // attributes
    0, 0, 0, 1, // last offset delta
    0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, // base timestamp 1700000000000
    0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, // max timestamp
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // producer id -1
    0xff, 0xff, // producer epoch -1
    0xff, 0xff, 0xff, 0xff, // base sequence -1
    0, 0, 0, 2,    // two records
    0x1e, // length 15
    0,    // attributes
    0,    // timestamp delta
    0,    // offset delta
    0x02, b'k', // key
    0x04, b'h', b'i', // value
    0x04, // two headers
    0x02, b'h', 0x01, // h: null
    0x02, b'h', 0x00, // h: empty
    0x12, // length 9
    0,    // attributes
    0x7f, // timestamp delta -64
    0x02, // offset delta 1
    0x01, // key null
    0x06, b'x', b'y', b'z', // value
    0x00, // no headers
];

type OwnedHeaders = Vec<(Vec<u8>, Option<Vec<u8>>)>;
type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, OwnedHeaders);

fn headers_of(owned: &OwnedHeaders) -> Vec<Header<'_>> {
    owned
        .iter()
        .map(|(key, value)| Header {
            key,
            value: value.as_deref(),
        })
        .collect()
}

fn own(record: &Record<'_>) -> Owned {
    let headers = record
        .headers
        .iter()
        .map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec)));
    (
        record.timestamp,
        record.key.map(<[u8]>::to_vec),
        record.value.map(<[u8]>::to_vec),
        headers.collect(),
    )
}

fn build(records: &[Owned], compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for (timestamp, key, value, headers) in records {
        let headers = headers_of(headers);
        let size = builder.size_with(
            *timestamp,
            key.as_deref(),
            value.as_deref(),
            headers.iter().copied(),
        );
        builder
            .append(
                *timestamp,
                key.as_deref(),
                value.as_deref(),
                headers.iter().copied(),
            )
            .expect("append");
        assert_eq!(builder.len_bytes(), size);
    }
    builder
        .finish(compression, TimestampType::CreateTime)
        .expect("finish")
}

fn read(batch: &[u8]) -> Result<Vec<(i64, Owned)>, Corrupt> {
    let view = BatchView::parse(batch)?;
    view.check_crc()?;
    let mut scratch = Decompressor::new(1 << 20);
    let records = view.records(&mut scratch)?;
    records
        .map(|record| record.map(|record| (record.offset, own(&record))))
        .collect()
}

/// A batch with one byte string as its records, and correct checksums.
fn batch_of(
    records: &[u8],
    count: i32,
    last_offset_delta: i32,
    compression: Compression,
) -> Vec<u8> {
    let mut batch = BatchHeader {
        base_offset: 0,
        batch_length: (BATCH_HEADER_LEN - LENGTH_FROM + records.len()) as i32,
        leader_epoch: 0,
        crc: 0,
        attributes: compression as i16,
        last_offset_delta,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: count,
    }
    .to_bytes()
    .to_vec();
    batch.extend_from_slice(records);
    stamp::set_crc(&mut batch);
    batch
}

fn reason(batch: &[u8]) -> &'static str {
    read(batch).expect_err("refused").reason
}

#[test]
fn golden_batch_is_written_and_read() {
    let records: Vec<Owned> = vec![
        (
            1_700_000_000_000,
            Some(b"k".to_vec()),
            Some(b"hi".to_vec()),
            vec![(b"h".to_vec(), None), (b"h".to_vec(), Some(Vec::new()))],
        ),
        (1_699_999_999_936, None, Some(b"xyz".to_vec()), Vec::new()),
    ];
    let mut batch = build(&records, Compression::None);
    stamp(&mut batch, 1000, 5);
    assert_eq!(batch, GOLDEN);
    let expected: Vec<_> = (1000..).zip(records).collect();
    assert_eq!(read(GOLDEN).expect("sound"), expected);
}

#[test]
fn header_tells_what_the_bytes_say() {
    let mut bytes = GOLDEN.to_vec();
    let header = *BatchView::parse(&bytes).expect("sound").header();
    assert_eq!(header.total_len(), bytes.len());
    assert_eq!((header.last_offset(), header.next_offset()), (1001, 1002));
    assert_eq!(header.delete_horizon(), None);
    assert!(!header.is_control() && !header.is_transactional());
    assert_eq!(header.to_bytes(), bytes[..BATCH_HEADER_LEN]);

    bytes[22] = 0b111_1011;
    let header = BatchHeader::parse(&bytes).expect("sound");
    assert_eq!(header.compression(), Compression::Lz4);
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert!(header.is_control() && header.is_transactional());
    assert_eq!(header.delete_horizon(), Some(1_700_000_000_000));
}

#[test]
fn every_flipped_bit_from_the_magic_on_is_found() {
    for compression in Compression::ALL {
        let records = vec![(7, None, Some(vec![b'v'; 100]), Vec::new()); 3];
        let mut batch = build(&records, compression);
        for bit in 16 * 8..batch.len() * 8 {
            batch[bit / 8] ^= 1 << (bit % 8);
            let verdict = BatchView::parse(&batch).and_then(|view| view.check_crc());
            assert!(verdict.is_err(), "{} bit {bit}", compression.as_str());
            batch[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(read(&batch).is_ok());
    }
}

#[test]
fn every_truncation_is_found() {
    let batch = GOLDEN;
    for cut in 0..batch.len() {
        let corrupt = BatchView::parse(&batch[..cut]).expect_err("cut");
        assert_eq!(corrupt.at, cut);
    }
    // The length and the checksum were corrected.
    for compression in Compression::ALL {
        let records = vec![(7, None, Some(vec![b'v'; 100]), Vec::new()); 3];
        let batch = build(&records, compression);
        let whole = &batch[BATCH_HEADER_LEN..];
        for cut in 0..whole.len() {
            let cut = batch_of(&whole[..cut], 3, 2, compression);
            assert!(
                read(&cut).is_err(),
                "{} {}",
                compression.as_str(),
                cut.len()
            );
        }
        let mut more = whole.to_vec();
        more.push(0);
        assert!(
            read(&batch_of(&more, 3, 2, compression)).is_err(),
            "{}",
            compression.as_str()
        );
    }
}

#[test]
fn hostile_headers_are_refused() {
    let set = |at: usize, field: &[u8]| {
        let mut batch = GOLDEN.to_vec();
        batch[at..at + field.len()].copy_from_slice(field);
        BatchView::parse(&batch)
            .map(|_| ())
            .expect_err("refused")
            .at
    };
    let whole = GOLDEN.len();
    assert_eq!(set(0, &(-1i64).to_be_bytes()), 0);
    assert_eq!(set(0, &i64::MAX.to_be_bytes()), 0);
    assert_eq!(set(8, &i32::MAX.to_be_bytes()), whole);
    assert_eq!(set(8, &48i32.to_be_bytes()), 8);
    assert_eq!(set(8, &(-1i32).to_be_bytes()), 8);
    assert_eq!(set(12, &(-2i32).to_be_bytes()), 12);
    assert_eq!(set(16, &[1]), 16);
    assert_eq!(set(21, &[0, 5]), 21);
    assert_eq!(set(21, &[0x80, 0]), 21);
    assert_eq!(set(23, &(-1i32).to_be_bytes()), 23);
    assert_eq!(set(43, &(-2i64).to_be_bytes()), 43);
    assert_eq!(set(57, &(-1i32).to_be_bytes()), 57);
    assert_eq!(set(57, &3i32.to_be_bytes()), 57);
}

#[test]
fn hostile_records_are_refused() {
    let small = [0x0c, 0, 0, 0, 0x01, 0x01, 0];
    assert!(read(&batch_of(&small, 1, 0, Compression::None)).is_ok());
    assert_eq!(
        reason(&batch_of(&small, i32::MAX, i32::MAX - 1, Compression::None)),
        "more records than the batch has bytes for"
    );
    let cases: &[(&[u8], &str)] = &[
        (
            &[0x0c, 0, 0, 0, 0x01, 0x01, 0, 0],
            "bytes follow the last record of the batch",
        ),
        (
            &[0x0e, 0, 0, 0, 0x01, 0x01, 0, 0],
            "the record is longer than its fields",
        ),
        (
            &[0x0a, 0, 0, 0, 0x01, 0x01, 0],
            "the bytes end within a field",
        ),
        (
            &[0x01, 0, 0, 0, 0x01, 0x01, 0],
            "the length of a record is negative",
        ),
        (
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "a varint is longer than its type allows",
        ),
        (
            &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0],
            "the bytes end within a field",
        ),
        (
            &[0x0c, 0, 0, 2, 0x01, 0x01, 0],
            "the offset of a record is out of order",
        ),
        (
            &[0x0c, 0, 0, 1, 0x01, 0x01, 0],
            "the offset of a record is out of order",
        ),
        (&[0x0c, 0, 0, 0, 0x03, 0x01, 0], "a length is below -1"),
        (
            &[0x0c, 0, 0, 0, 0x01, 0x7e, 0],
            "the bytes end within a field",
        ),
        (
            &[0x0c, 0, 0, 0, 0x01, 0x01, 1],
            "the header count is negative",
        ),
        (
            &[0x0c, 0, 0, 0, 0x01, 0x01, 2],
            "more headers than the record has bytes for",
        ),
        (
            &[0x14, 0, 0, 0, 0x01, 0x01, 0xfe, 0xff, 0xff, 0xff, 0x0f],
            "more headers than the record has bytes for",
        ),
        (
            &[0x10, 0, 0, 0, 0x01, 0x01, 2, 0x01, 0x01],
            "the key of a header is null",
        ),
        (
            &[0x10, 0, 0, 0, 0x01, 0x01, 2, 0, 0x02],
            "the bytes end within a field",
        ),
        (
            &[
                0x18, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01,
            ],
            "a varint is longer than its type allows",
        ),
    ];
    for (bytes, why) in cases {
        assert_eq!(
            &reason(&batch_of(bytes, 1, 0, Compression::None)),
            why,
            "{bytes:x?}"
        );
    }
    let falling = [small, small].concat();
    assert_eq!(
        read(&batch_of(&falling, 2, 1, Compression::None)),
        Err(Corrupt {
            reason: "the offset of a record is out of order",
            at: 61 + 7
        })
    );
}

#[test]
fn offsets_out_of_order_are_refused_in_plain_records_too() {
    // Long enough for the fast path: 20 bytes of value.
    let record = |offset_delta: u8| {
        let fields = [0x34, 0, 0, offset_delta << 1, 0x01, 0x28];
        [&fields[..], &[b'x'; 20], &[0]].concat()
    };
    for (deltas, sound) in [
        ([0, 1, 2], true),
        ([0, 2, 3], true),
        ([0, 0, 1], false),
        ([1, 0, 2], false),
        ([0, 1, 4], false),
    ] {
        let records = deltas.map(record).concat();
        assert_eq!(
            read(&batch_of(&records, 3, 3, Compression::None)).is_ok(),
            sound,
            "{deltas:?}"
        );
    }
}

#[test]
fn nothing_comes_after_an_error() {
    let batch = batch_of(
        &[0x0c, 0, 0, 0, 0x01, 0x01, 0, 9, 9, 9, 9, 9, 9, 9],
        2,
        1,
        Compression::None,
    );
    let view = BatchView::parse(&batch).expect("header");
    let mut scratch = Decompressor::default();
    let mut records = view.records(&mut scratch).expect("records");
    assert!(records.next().is_some_and(|r| r.is_ok()));
    assert!(records.next().is_some_and(|r| r.is_err()));
    assert!(records.next().is_none());
}

#[test]
fn gaps_left_by_compaction_are_read_and_an_empty_batch_too() {
    let gap = [
        [0x0c, 0, 0, 2, 0x01, 0x01, 0],
        [0x0c, 0, 0, 8, 0x01, 0x01, 0],
    ]
    .concat();
    let offsets: Vec<i64> = read(&batch_of(&gap, 2, 9, Compression::None))
        .expect("sound")
        .iter()
        .map(|(offset, _)| *offset)
        .collect();
    assert_eq!(offsets, [1, 4]);
    assert_eq!(
        read(&batch_of(&[], 0, 9, Compression::None)),
        Ok(Vec::new())
    );
}

#[test]
fn append_time_replaces_every_timestamp() {
    let records = vec![
        (5, None, Some(b"a".to_vec()), vec![]),
        (9, None, None, vec![]),
    ];
    for compression in [Compression::None, Compression::Zstd] {
        let mut batch = build(&records, compression);
        stamp_append_time(&mut batch, 77);
        stamp(&mut batch, 40, 2);
        let view = BatchView::parse(&batch).expect("sound");
        assert_eq!(view.header().timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(view.header().leader_epoch, 2);
        let read = read(&batch).expect("sound");
        assert_eq!(
            read.iter().map(|(o, r)| (*o, r.0)).collect::<Vec<_>>(),
            [(40, 77), (41, 77)]
        );
    }
}

#[test]
fn buffers_go_round_and_the_builder_starts_anew() {
    let mut builder = BatchBuilder::new();
    assert!(
        builder
            .finish(Compression::None, TimestampType::CreateTime)
            .is_err()
    );
    for compression in Compression::ALL.into_iter().chain(Compression::ALL) {
        assert_eq!(
            (builder.count(), builder.len_bytes()),
            (0, BATCH_HEADER_LEN)
        );
        assert_eq!(builder.max_timestamp(), -1);
        builder.append_value(-5, b"first").expect("append");
        builder.append_value(-9, b"").expect("append");
        assert_eq!(builder.max_timestamp(), -5);
        let batch = builder
            .finish(compression, TimestampType::CreateTime)
            .expect("finish");
        let expected = vec![
            (0, (-5, None, Some(b"first".to_vec()), vec![])),
            (1, (-9, None, Some(vec![]), vec![])),
        ];
        assert_eq!(read(&batch).expect("sound"), expected);
        assert_eq!(BatchHeader::parse(&batch).expect("sound").max_timestamp, -5);
        builder.recycle(batch);
    }
}

fn any_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        Just(None),
        Just(Some(Vec::new())),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Some),
        (any::<u8>(), 0usize..40_000).prop_map(|(byte, len)| Some(vec![byte; len])),
    ]
}

fn any_record() -> impl Strategy<Value = Owned> {
    let name = prop_oneof![
        Just(b"same".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..9)
    ];
    let headers = proptest::collection::vec((name, any_bytes()), 0..4);
    let time = prop_oneof![any::<i64>(), 1_700_000_000_000i64..1_700_000_100_000];
    (time, any_bytes(), any_bytes(), headers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_come_back_from_every_codec(
        records in proptest::collection::vec(any_record(), 1..12),
    ) {
        let expected: Vec<_> = (0..).zip(records.iter().cloned()).collect();
        for compression in Compression::ALL {
            let batch = build(&records, compression);
            let view = BatchView::parse(&batch).expect("sound");
            prop_assert_eq!(view.header().compression(), compression);
            let newest = records.iter().map(|r| r.0).max();
            prop_assert_eq!(Some(view.header().max_timestamp), newest);
            let mut scratch = Decompressor::default();
            let mut compressor = Compressor::new();
            let read: Vec<_> = view
                .records(&mut scratch)
                .expect("records")
                .map(|r| r.map(|r| (r.offset, own(&r))).expect("record"))
                .collect();
            prop_assert_eq!(&read, &expected);
            for other in Compression::ALL {
                let mut out = b"left over".to_vec();
                recompress(&view, other, &mut scratch, &mut compressor, &mut out).expect("recompress");
                prop_assert_eq!(&out, &build(&records, other));
            }
        }
    }

    #[test]
    fn lines_are_appended_as_records_are(
        lines in proptest::collection::vec((any::<i64>(), any_bytes()), 1..200),
    ) {
        let mut long = BatchBuilder::new();
        let mut short = BatchBuilder::new();
        for (time, line) in &lines {
            let line = line.as_deref().unwrap_or_default();
            long.append(*time, None, Some(line), []).expect("append");
            let before = short.len_bytes();
            short.append_value(*time, line).expect("append");
            prop_assert!(short.len_bytes() - before <= line.len() + RECORD_OVERHEAD_MAX);
        }
        let finish = |mut b: BatchBuilder| {
            b.finish(Compression::None, TimestampType::CreateTime).expect("finish")
        };
        prop_assert_eq!(finish(long), finish(short));
    }

    #[test]
    fn no_bytes_bring_the_reader_down(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        count in 0..40i32,
        codec in 0..5usize,
        at in 0usize..400,
    ) {
        let codec = Compression::ALL[codec];
        // Random bytes, and a sound batch with some of its bytes overwritten.
        let _ = read(&batch_of(&bytes, count, 100, codec));
        let sound = build(&vec![(7, None, Some(vec![b'v'; 99]), Vec::new()); 3], codec);
        let mut records = sound[BATCH_HEADER_LEN..].to_vec();
        let at = at % records.len();
        let len = bytes.len().min(5).min(records.len() - at);
        records[at..at + len].copy_from_slice(&bytes[..len]);
        let _ = read(&batch_of(&records, 3, 2, codec));
    }

    #[test]
    fn a_size_never_lies(delta in any::<i64>(), len in 0usize..70_000) {
        prop_assert!(varint::len(delta) <= varint::VARLONG_LEN_MAX);
        let builder = BatchBuilder::new();
        let value = vec![0; len];
        let size = builder.size_with(delta, None, Some(&value), []);
        prop_assert!(size - BATCH_HEADER_LEN - len <= RECORD_OVERHEAD_MAX);
    }
}
