//! Every duration that one part of mq relies on another to keep, and how they relate.
//!
//! A duration that only one file knows stays in that file. What stands here is a promise between
//! two parts: a lock holder with a heartbeat and a watcher that waits, a mover and the writers that it
//! keeps out.
//! The assertions at the end hold at compile time.

use std::time::Duration;

/// Between two heartbeats of a lock that is held. The heartbeat thread polls its locks. A lock that is
/// held at two polls in a row gets a heartbeat.
pub const LOCK_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);
/// How long the counter of a lock stands still before its holder counts as stopped.
pub const LOCK_STOPPED_AFTER: Duration = Duration::from_secs(2);
/// Most time that a watcher of a lock counts between two polls: a watcher that was stopped itself
/// observed nothing.
pub const LOCK_WATCH_BREAK: Duration = Duration::from_millis(500);
/// A holder's line that stood still for less asks for no write probe: most holders have a heartbeat, or
/// hold the lock for a moment.
pub const LOCK_QUIET: Duration = Duration::from_millis(400);

/// A write probe that takes longer was not served in time: the file system is slow, not the holder.
pub const WRITE_PROBE_WITHIN: Duration = Duration::from_millis(500);
/// Between two write probes.
pub const WRITE_PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// How long the counter of `sync.lock`'s holder may stand still. A holder has a heartbeat
/// during the syncs of a slow disk, and a mistake costs a copy of the bytes. So it is given longer than
/// the holder of a lock that only renames.
pub const SYNC_LOCK_STOPPED_AFTER: Duration = Duration::from_secs(5);
/// How long one sync may take before its holder counts as hung, though it has a heartbeat.
pub const SYNC_HUNG_AFTER: Duration = Duration::from_secs(30);

/// Between two heartbeats of a daemon's liveness lock.
pub const BROKER_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How long a liveness lock's counter stands still before its daemon counts as hung.
pub const BROKER_STOPPED_AFTER: Duration = Duration::from_secs(2);
/// A watcher of daemons with a longer gap between two polls was stopped itself, and begins again.
pub const BROKER_WATCH_BREAK: Duration = Duration::from_millis(1500);

/// How long a log stays sealed for a leadership transfer whose mover has no heartbeat, before the seal
/// counts as abandoned.
pub const SEAL_LEFT_AFTER: Duration = Duration::from_secs(2);
/// How long the target of a leadership transfer may come no nearer before the transfer has failed. The
/// mover has a heartbeat meanwhile, so its seal does not count as abandoned, however long this is.
pub const TRANSFER_STALLED_AFTER: Duration = Duration::from_secs(2);
/// How long a replica may be about to join the in-sync set: its leader's writers wait for it meanwhile.
pub const JOIN_WITHIN: Duration = Duration::from_secs(2);

/// How long a metadata update waits for a state page of a disk.
pub const PAGE_READ_WITHIN: Duration = Duration::from_secs(1);
/// How long one metadata update of a daemon waits for state pages of slow disks, all together.
pub const PAGE_READ_WITHIN_MAX: Duration = Duration::from_secs(8);

/// How long a process retries to lock a file that a probe of another process may have locked. A probe
/// holds the lock for a moment only.
pub const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// How long the heartbeat counter of a group's member may stand still, unless an option says
/// otherwise: as in Kafka.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// The shortest session timeout. With a shorter one, a member on a busy machine would count as dead.
pub const SESSION_TIMEOUT_MIN: Duration = Duration::from_millis(500);
/// Heartbeats in one session timeout, if that is short.
pub const SESSION_HEARTBEATS: u32 = 5;
/// The maximum time between two heartbeats of a group's member.
pub const MEMBER_HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// A watcher of members with a gap longer than this part of the session between two probes was
/// suspended: it starts again.
pub const SESSION_WATCH_BREAK: u32 = 3;
/// How often a group's member commits, unless an option says otherwise.
pub const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a staging directory, or a replica directory without a sound page, is left to a process
/// that may be filling it: Kafka's `file.delete.delay.ms`.
pub const UNFINISHED_AFTER: Duration = Duration::from_secs(60);

const fn at_least(long: Duration, times: u32, short: Duration) -> bool {
    long.as_nanos() >= times as u128 * short.as_nanos()
}

// A holder misses several heartbeats before it counts as stopped.
const _: () = assert!(at_least(LOCK_STOPPED_AFTER, 10, LOCK_HEARTBEAT_INTERVAL));
const _: () = assert!(at_least(BROKER_STOPPED_AFTER, 4, BROKER_HEARTBEAT_INTERVAL));
const _: () = assert!(at_least(SYNC_LOCK_STOPPED_AFTER, 2, LOCK_STOPPED_AFTER));
const _: () = assert!(at_least(SYNC_HUNG_AFTER, 2, SYNC_LOCK_STOPPED_AFTER));
// A watcher needs more than one poll to call a holder stopped, and a break is longer than the interval
// between two heartbeats.
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
// A mover has the heartbeat of a lock holder. Its seal counts as abandoned no sooner than a lock holder
// counts as stopped.
const _: () = assert!(at_least(SEAL_LEFT_AFTER, 1, LOCK_STOPPED_AFTER));
// A daemon that works shows several heartbeats before its replica has failed to join.
const _: () = assert!(at_least(JOIN_WITHIN, 4, BROKER_HEARTBEAT_INTERVAL));
// One disk that does not answer leaves time for others within a metadata update.
const _: () = assert!(at_least(PAGE_READ_WITHIN_MAX, 2, PAGE_READ_WITHIN));
// The directory of a process that waits for a probe to end is not removed meanwhile.
const _: () = assert!(at_least(UNFINISHED_AFTER, 10, PROBE_WITHIN));
// A member misses several heartbeats before it counts as hung, in the shortest session too, in which
// its heartbeats come no faster than those of a lock.
const _: () = assert!(at_least(
    SESSION_TIMEOUT,
    SESSION_HEARTBEATS,
    MEMBER_HEARTBEAT_MAX
));
const _: () = assert!(at_least(
    SESSION_TIMEOUT_MIN,
    SESSION_HEARTBEATS,
    LOCK_HEARTBEAT_INTERVAL
));
const _: () = assert!(at_least(SESSION_TIMEOUT, 2, SESSION_TIMEOUT_MIN));
// A watcher needs more than one gap without a heartbeat to call a member hung, and a gap is longer than
// the interval between two heartbeats.
const _: () = assert!(SESSION_WATCH_BREAK >= 2 && SESSION_WATCH_BREAK < SESSION_HEARTBEATS);
// A member commits often within its session: the next owner of its partitions repeats little.
const _: () = assert!(at_least(SESSION_TIMEOUT, 10, COMMIT_INTERVAL));
// A process that is filling a directory has a heartbeat, or counts as stopped long before the directory
// is removed.
const _: () = assert!(at_least(UNFINISHED_AFTER, 10, SYNC_LOCK_STOPPED_AFTER));
