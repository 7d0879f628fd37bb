//! Every duration that one part of mq relies on another to keep, and how they relate.
//!
//! A duration that only one file knows stays in that file. What stands here is a promise between
//! two parts: a holder that beats and a watcher that waits, a mover and the writers it keeps out.
//! The assertions at the end hold at compile time.

use std::time::Duration;

/// Between two heartbeats of a lock that is held. A lock that was held at one look of the heartbeat
/// thread beats from the next look on.
pub const LOCK_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);
/// How long the counter of a lock stands still before its holder counts as stopped.
pub const LOCK_STOPPED_AFTER: Duration = Duration::from_secs(2);
/// Most time that a watcher of a lock counts between two looks: a watcher that was stopped itself
/// saw nothing.
pub const LOCK_WATCH_BREAK: Duration = Duration::from_millis(500);
/// A holder's line that stood still for less asks for no write probe: most holders beat, or hold the
/// lock for a moment.
pub const LOCK_QUIET: Duration = Duration::from_millis(400);

/// A write probe that takes longer was not served in time: the file system is slow, not the holder.
pub const WRITE_PROBE_WITHIN: Duration = Duration::from_millis(500);
/// Between two write probes.
pub const WRITE_PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// How long the counter of `sync.lock`'s holder may stand still. A holder beats through the syncs of
/// a slow disk, and a mistake costs a copy of the bytes, so it is given longer than the holder of a
/// lock that only renames.
pub const SYNC_LOCK_STOPPED_AFTER: Duration = Duration::from_secs(5);
/// How long one sync may take before its holder counts as hung, though it beats.
pub const SYNC_HUNG_AFTER: Duration = Duration::from_secs(30);

/// Between two heartbeats of a daemon's liveness lock.
pub const BROKER_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How long a liveness lock's counter stands still before its daemon counts as hung.
pub const BROKER_STOPPED_AFTER: Duration = Duration::from_secs(2);
/// A watcher of daemons with a longer gap between two looks was stopped itself, and begins again.
pub const BROKER_WATCH_BREAK: Duration = Duration::from_millis(1500);

/// How long a log stays sealed for a leadership transfer whose mover does not beat, before the seal
/// counts as left behind.
pub const SEAL_LEFT_AFTER: Duration = Duration::from_secs(2);
/// How long the target of a leadership transfer may come no nearer before the transfer has failed.
pub const TRANSFER_STALLED_AFTER: Duration = Duration::from_secs(2);
/// How long a replica may be about to join the in-sync set.
pub const JOIN_WITHIN: Duration = Duration::from_secs(2);

/// How long a metadata update waits for a state page of a disk.
pub const PAGE_READ_WITHIN: Duration = Duration::from_secs(1);
/// How long one metadata update of a daemon waits for state pages of slow disks, all together.
pub const PAGE_READ_WITHIN_MAX: Duration = Duration::from_secs(8);

/// How long a staging directory, or a replica directory without a sound page, is left to a process
/// that may be filling it: Kafka's `file.delete.delay.ms`.
pub const UNFINISHED_AFTER: Duration = Duration::from_secs(60);

const fn at_least(long: Duration, times: u32, short: Duration) -> bool {
    long.as_nanos() >= times as u128 * short.as_nanos()
}

// A holder misses several beats before it counts as stopped.
const _: () = assert!(at_least(LOCK_STOPPED_AFTER, 10, LOCK_HEARTBEAT_INTERVAL));
const _: () = assert!(at_least(BROKER_STOPPED_AFTER, 4, BROKER_HEARTBEAT_INTERVAL));
const _: () = assert!(at_least(SYNC_LOCK_STOPPED_AFTER, 2, LOCK_STOPPED_AFTER));
const _: () = assert!(at_least(SYNC_HUNG_AFTER, 2, SYNC_LOCK_STOPPED_AFTER));
// A watcher needs more than one look to call a holder stopped, and a break is longer than a beat.
const _: () = assert!(at_least(LOCK_STOPPED_AFTER, 4, LOCK_WATCH_BREAK));
const _: () = assert!(at_least(LOCK_WATCH_BREAK, 2, LOCK_HEARTBEAT_INTERVAL));
const _: () = assert!(at_least(BROKER_WATCH_BREAK, 2, BROKER_HEARTBEAT_INTERVAL));
const _: () = assert!(at_least(BROKER_STOPPED_AFTER, 1, BROKER_WATCH_BREAK));
// The write probe has an answer, and a second one, before the holder counts as stopped.
const _: () = assert!(at_least(LOCK_QUIET, 2, LOCK_HEARTBEAT_INTERVAL));
const _: () = assert!(at_least(
    LOCK_STOPPED_AFTER,
    1,
    LOCK_QUIET
        .saturating_add(WRITE_PROBE_WITHIN)
        .saturating_add(WRITE_PROBE_INTERVAL)
        .saturating_add(WRITE_PROBE_WITHIN)
));
// A mover beats as a lock holder does: its seal is not taken for left behind before it is.
const _: () = assert!(at_least(SEAL_LEFT_AFTER, 1, LOCK_STOPPED_AFTER));
// A transfer that makes no progress gives up before others take its seal for left behind.
const _: () = assert!(at_least(SEAL_LEFT_AFTER, 1, TRANSFER_STALLED_AFTER));
// One disk that does not answer leaves time for others within a metadata update.
const _: () = assert!(at_least(PAGE_READ_WITHIN_MAX, 2, PAGE_READ_WITHIN));
// A process that is filling a directory beats or is stopped long before the directory is taken away.
const _: () = assert!(at_least(UNFINISHED_AFTER, 10, SYNC_LOCK_STOPPED_AFTER));
