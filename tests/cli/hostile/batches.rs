//! Batches that lie about their lengths, and bombs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mq::record::{
    BATCH_HEADER_LEN, BATCH_LENGTH_AT, BatchBuilder, BatchView, CRC_AT, LENGTH_FROM, MAGIC_AT,
};
use mq::types::{Compression, TimestampType};

use crate::cli::{Shell, run};
use crate::tally::Tally;

const ATTRIBUTES_AT: usize = CRC_AT + 4;

const RECORD_COUNT_AT: usize = BATCH_HEADER_LEN - 4;

/// A topic's first batch of two, on disk.
struct Planted {
    shell: Shell,
    log: PathBuf,
    bytes: Vec<u8>,
    first: usize,
}

impl Planted {
    fn new(first: &[u8]) -> Self {
        let shell = Shell::new();
        shell.produce(&["t"], first);
        let log = shell.logs().join("t-0/00000000000000000000.log");
        let first = fs::read(&log).expect("a log").len();
        shell.produce(&["t"], b"after\n");
        let bytes = fs::read(&log).expect("a log");
        Planted {
            shell,
            log,
            bytes,
            first,
        }
    }

    /// Puts another first batch there, as long as the first one.
    fn plant(&self, batch: &[u8]) {
        assert_eq!(batch.len(), self.first);
        let mut bytes = self.bytes.clone();
        bytes[..self.first].copy_from_slice(batch);
        fs::write(&self.log, bytes).expect("written");
    }

    fn refused(&self, what: &str) {
        for (tool, args) in [
            ("mq-consume", ["-e", "t"].as_slice()),
            ("mq-consume", &["-e", "-J", "t"]),
            ("mq-topics", &["verify", "--deep", "t"]),
        ] {
            Tally::case();
            // Bounded: a process that takes what the bytes claim dies here.
            let exe = self.shell.command(tool, args);
            let mut limited = Command::new("sh");
            limited
                .args(["-c", "ulimit -v 1500000; exec \"$@\"", "sh"])
                .arg(exe.get_program())
                .args(exe.get_args());
            limited
                .env("MQ_STORE", self.shell.store())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let done = run(limited, b"");
            assert_eq!(
                done.status,
                65,
                "{what}: {tool}: {}{}",
                done.err,
                done.text()
            );
            if tool == "mq-consume" {
                let named = done.err.contains("00000000000000000000.log")
                    || done.err.contains("verify t --deep");
                assert!(named, "{what}: names no file: {}", done.err);
                // A batch that was sealed so may give the records before the lie.
                assert!(
                    !done.text().contains("after"),
                    "{what}: went on: {:?}",
                    done.text()
                );
            } else {
                assert!(
                    done.text().contains("00000000000000000000.log"),
                    "{what}: names no file: {}",
                    done.text()
                );
            }
        }
    }
}

fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn lengths_and_counts_that_lie_are_damage() {
    let _tally = Tally::start();
    let planted = Planted::new(b"some words\nmore of them\n");
    let sound = planted.bytes[..planted.first].to_vec();
    type Lie = fn(&mut Vec<u8>);
    let lies: [(&str, Lie); 9] = [
        ("a batch of 2 GiB", |b| {
            b[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&i32::MAX.to_be_bytes());
        }),
        ("a batch of -1", |b| {
            b[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&(-1_i32).to_be_bytes());
        }),
        ("a batch of 0", |b| {
            b[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&0_i32.to_be_bytes());
        }),
        ("magic 9", |b| b[MAGIC_AT] = 9),
        ("2^31 - 1 records", |b| {
            b[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&i32::MAX.to_be_bytes());
        }),
        ("-1 records", |b| {
            b[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&(-1_i32).to_be_bytes());
        }),
        ("a varint of 11 bytes", |b| {
            b[BATCH_HEADER_LEN..BATCH_HEADER_LEN + 11].fill(0xff);
        }),
        ("bytes after the last record", |b| {
            b[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&1_i32.to_be_bytes());
            // lastOffsetDelta agrees with the count.
            b[ATTRIBUTES_AT + 2..ATTRIBUTES_AT + 6].copy_from_slice(&0_i32.to_be_bytes());
        }),
        ("an unknown codec", |b| b[ATTRIBUTES_AT + 1] = 7),
    ];
    for (what, lie) in lies {
        let mut batch = sound.clone();
        lie(&mut batch);
        seal(&mut batch);
        planted.plant(&batch);
        planted.refused(what);
    }
    Tally::case();
    planted.plant(&sound);
    assert_eq!(
        planted.shell.consume_text(&["-e", "t"]),
        "some words\nmore of them\nafter\n"
    );
}

/// A batch of one record, of `len` bytes, uncompressed: the value that makes it so long.
fn value_for(len: usize) -> Vec<u8> {
    let built = |n: usize| {
        let mut builder = BatchBuilder::new();
        builder.append_value(1, &vec![b'x'; n]).expect("fits");
        builder
            .finish(Compression::None, TimestampType::CreateTime)
            .expect("built")
            .len()
    };
    let found = (len.saturating_sub(90)..len).find(|n| built(*n) == len);
    vec![b'x'; found.expect("a value that fits")]
}

#[test]
fn a_decompression_bomb_is_refused() {
    let _tally = Tally::start();
    for codec in [Compression::Gzip, Compression::Zstd, Compression::Lz4] {
        let bomb = bomb(codec, 2 << 30);
        let mut value = value_for(bomb.len());
        value.push(b'\n');
        let shell = Shell::new();
        shell.topics(&["create", "t", "-c", "max.message.bytes=100000000"]);
        shell.produce(&["-D", "\\n", "t"], &value);
        let log = shell.logs().join("t-0/00000000000000000000.log");
        let first = fs::read(&log).expect("a log").len();
        shell.produce(&["t"], b"after\n");
        let bytes = fs::read(&log).expect("a log");
        assert_eq!(first, bomb.len(), "the bomb takes the first batch's place");
        let planted = Planted {
            shell,
            log,
            bytes,
            first,
        };
        planted.plant(&bomb);
        planted.refused(&format!("a bomb of {} bytes with {codec:?}", bomb.len()));
    }
}

/// A sealed batch whose records are `len` zeros once decompressed.
fn bomb(codec: Compression, len: u64) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut builder = BatchBuilder::new();
    builder.append_value(1, b"x").expect("fits");
    let mut batch = builder
        .finish(Compression::None, TimestampType::CreateTime)
        .expect("built");
    batch.truncate(BATCH_HEADER_LEN);
    let mut zeros = std::io::repeat(0).take(len);
    match codec {
        Compression::Gzip => {
            let mut out = flate2::write::GzEncoder::new(&mut batch, flate2::Compression::fast());
            std::io::copy(&mut zeros, &mut out).expect("compressed");
            out.finish().expect("compressed");
        }
        Compression::Zstd => {
            zstd::stream::copy_encode(&mut zeros, &mut batch, 1).expect("compressed");
        }
        _ => {
            let mut out = lz4_flex::frame::FrameEncoder::new(&mut batch);
            let block = vec![0; 1 << 20];
            for _ in 0..len >> 20 {
                out.write_all(&block).expect("compressed");
            }
            out.finish().expect("compressed");
        }
    }
    let bits = match codec {
        Compression::Gzip => 1,
        Compression::Zstd => 4,
        _ => 3,
    };
    batch[ATTRIBUTES_AT + 1] = bits;
    let claimed = (batch.len() - LENGTH_FROM) as i32;
    batch[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&claimed.to_be_bytes());
    seal(&mut batch);
    BatchView::parse(&batch)
        .expect("a batch")
        .check_crc()
        .expect("sealed");
    batch
}
