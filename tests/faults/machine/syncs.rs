//! Syncs that take their time.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mq::client::open_reader;
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::store::StoreDir;
use mq::types::{TopicName, TopicPartition};

use super::logs::lines;
use crate::proc::{Failure, Place};

/// Segments that no sync has covered: those of a producer that does not wait may be thousands, and
/// one sync of all of them lasts for so long that others take its process for stopped.
const AHEAD_MAX: usize = 8;

pub fn slow_syncs(place: &Place) -> Result<(), Failure> {
    let all = lines("slow", 40_000);
    let input = place.input("many", &all);
    let config = ["create", "slow", "-c", "segment.bytes=20000"];
    place.run("mq-topics", &config)?.expect(0)?;
    let reported = |e: mq::error::Error| e.to_string();
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open(Arc::new(OsDisk), clock, place.store()).map_err(reported)?;
    let tp = TopicPartition::new(TopicName::new("slow").map_err(reported)?, 0);
    let reader = open_reader(&Arc::new(store), &tp).map_err(reported)?;
    let delayed = "inject=fdatasync:delay_enter=20000";
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "trace",
        "-e",
        "trace=fdatasync",
        "-e",
        delayed,
    ];
    let args = ["-q", "--batch-size", "4KiB", "slow"];
    let mut producer = place.start(&strace, "mq-produce", &args, Some(&input))?;
    let dir = place.store().join("brokers/0/logs/slow-0");
    let mut most = 0;
    while matches!(producer.child.try_wait(), Ok(None)) {
        // In this order: what is synced meanwhile does not count as ahead.
        let bases: Vec<i64> = fs::read_dir(&dir)
            .map_err(|e| e.to_string())?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
            .collect();
        let synced = reader.page().map_err(reported)?.high_watermark;
        most = most.max(bases.iter().filter(|base| **base >= synced).count());
        std::thread::sleep(Duration::from_millis(2));
    }
    producer.end()?.expect(0)?;
    hold!(most > 1, "no sync was slow");
    hold!(most <= AHEAD_MAX, "{most} segments were ahead of the syncs");
    Ok(())
}
