//! Logs that part, one way each.

use mq::client::open_reader;
use mq::disk::Open;
use mq::lifecycle::replace_replica;
use mq::partition::{Committer, Follower, PartitionWriter, Role};
use mq::record::BatchBuilder;
use mq::types::{Compression, TimestampType};

use super::rig::{Cluster, tp};
use crate::common::rig::TIMEOUT;
use crate::common::tally::Tally;

const EACH: &[(&str, &str)] = &[("min.insync.replicas", "2")];
const EACH_ROLLS: &[(&str, &str)] = &[("segment.bytes", "1024"), ("index.interval.bytes", "100")];
const NEVER: &[(&str, &str)] = &[("flush.messages", "never")];
const NEVER_ROLLS: &[(&str, &str)] = &[
    ("flush.messages", "never"),
    ("segment.bytes", "1024"),
    ("index.interval.bytes", "0"),
];
const ALL: [&[(&str, &str)]; 4] = [EACH, EACH_ROLLS, NEVER, NEVER_ROLLS];

/// Each with every kind of topic.
fn for_all(what: &str, case: impl Fn(&mut Cluster, &str)) {
    for pairs in ALL {
        Tally::case();
        let mut cluster = Cluster::new(pairs);
        let what = format!("{what} {pairs:?}");
        case(&mut cluster, &what);
        cluster.settle().unwrap_or_else(|e| panic!("{what}: {e}"));
        cluster.check_identical(&what);
        // And it goes on.
        cluster.produce(3);
        cluster.settle().unwrap_or_else(|e| panic!("{what}: {e}"));
        cluster.check_identical(&what);
    }
}

/// Some records that all have.
fn begin(cluster: &mut Cluster) {
    cluster.produce(5);
    cluster.settle().expect("settled");
}

#[test]
fn followers_copy_their_leader() {
    let _tally = Tally::start();
    for_all("copied", |cluster, what| {
        cluster.produce(10);
        cluster.settle().expect("settled");
        cluster.check_identical(what);
    });
}

#[test]
fn all_is_shown_when_the_leader_syncs_last() {
    let _tally = Tally::start();
    for_all("synced last", |cluster, what| {
        begin(cluster);
        let mut followers = [cluster.follow(1), cluster.follow(2)];
        let mut writer = PartitionWriter::open(&cluster.store, &tp(), TIMEOUT).expect("opened");
        let mut builder = BatchBuilder::new();
        builder.append_value(1, b"late").expect("fits");
        let mut batch = builder
            .finish(Compression::None, TimestampType::CreateTime)
            .expect("a batch");
        writer.append(&mut batch).expect("appended");
        for follower in &mut followers {
            cluster.catch_up(follower).expect("caught up");
        }
        let committer = Committer::open(&cluster.store, &tp(), TIMEOUT);
        committer.expect("opened").commit(6).expect("committed");
        // Each looks once, as the change of the leader's page has it do.
        for follower in &mut followers {
            follower.step(1 << 20).expect("a step");
        }
        assert_eq!(cluster.page(0).high_watermark, 6, "{what}");
    });
}

#[test]
fn a_leader_that_returns_is_cut_by_epoch() {
    let _tally = Tally::start();
    for_all("a leader returned", |cluster, what| {
        begin(cluster);
        let kept = cluster.log(0);
        cluster.produce(4);
        cluster.elect(1, &[1, 2]);
        cluster.produce(2);
        cluster.follow(2);
        cluster.follow(0);
        let notes = cluster.store.take_notes();
        let reported = |note: &String| note.contains("4 records beyond it were dropped");
        assert!(notes.iter().any(reported), "{what}: {notes:?}");
        assert_eq!(cluster.page(0).role, Role::Follower);
        assert!(cluster.log(0).starts_with(&kept), "{what}");
        assert_eq!(cluster.log(0), cluster.log(1), "{what}");
    });
}

#[test]
fn a_leader_that_returns_after_two_elections() {
    let _tally = Tally::start();
    for_all("two elections", |cluster, _| {
        begin(cluster);
        cluster.produce(4);
        cluster.elect(1, &[1, 2]);
        cluster.produce(1);
        cluster.follow(2);
        // Only broker 1 has these.
        cluster.produce(3);
        cluster.elect(2, &[2]);
        cluster.produce(6);
    });
}

#[test]
fn elections_without_a_record() {
    let _tally = Tally::start();
    for_all("no records", |cluster, _| {
        begin(cluster);
        cluster.elect(1, &[1, 2]);
        cluster.follow(0);
        cluster.elect(0, &[0, 1, 2]);
        cluster.follow(1);
        cluster.follow(2);
        cluster.elect(2, &[1, 2]);
    });
}

#[test]
fn an_unclean_leader_has_less() {
    let _tally = Tally::start();
    for_all("unclean", |cluster, _| {
        begin(cluster);
        cluster.change(|partition| partition.isr = vec![0, 1]);
        cluster.produce(6);
        cluster.follow(1);
        cluster.elect(2, &[2]);
        cluster.produce(2);
    });
}

#[test]
fn an_unclean_leader_of_an_older_epoch() {
    let _tally = Tally::start();
    for_all("unclean, older", |cluster, _| {
        begin(cluster);
        cluster.elect(1, &[1]);
        cluster.produce(3);
        // Begins an epoch and writes nothing.
        cluster.elect(2, &[2]);
        let mut follower = cluster.follower(1);
        cluster.catch_up(&mut follower).expect("caught up");
        cluster.produce(0);
        cluster.elect(0, &[0]);
        cluster.produce(4);
    });
}

/// Its checkpoint has an epoch without records, beyond one that the next leader has records of.
#[test]
fn an_epoch_that_holds_nothing_gives_way_to_an_older_one() {
    let _tally = Tally::start();
    for_all("an empty epoch", |cluster, what| {
        begin(cluster);
        cluster.elect(1, &[1]);
        cluster.produce(3);
        cluster.elect(2, &[2]);
        cluster.produce(0);
        cluster.elect(1, &[1]);
        cluster.produce(2);
        cluster.follow(2);
        cluster.check_readable(2, what);
    });
}

#[test]
fn all_of_a_log_goes() {
    let _tally = Tally::start();
    for_all("all", |cluster, _| {
        cluster.change(|partition| partition.isr = vec![0]);
        cluster.produce(12);
        cluster.elect(1, &[1]);
        cluster.produce(0);
    });
}

#[test]
fn batches_of_many_records_and_compressed_in_many_segments() {
    let _tally = Tally::start();
    let kinds = [
        Compression::None,
        Compression::Zstd,
        Compression::Lz4,
        Compression::Snappy,
        Compression::Gzip,
    ];
    for_all("batches", |cluster, _| {
        let batches = |count: usize, cluster: &mut Cluster| {
            let all: Vec<_> = (0..count)
                .map(|n| (1 + n % 7, 20 + n % 90, kinds[n % 5]))
                .collect();
            cluster.try_produce(&all).expect("appended");
        };
        batches(10, cluster);
        cluster.settle().expect("settled");
        batches(40, cluster);
        cluster.elect(2, &[2, 1]);
        batches(9, cluster);
    });
}

#[test]
fn the_next_boot_begins_with_the_followers_page() {
    let _tally = Tally::start();
    for_all("another boot", |cluster, what| {
        begin(cluster);
        cluster.produce(4);
        cluster.elect(1, &[1, 2]);
        cluster.produce(2);
        cluster.follow(2);
        let shown = cluster.below(1, cluster.page(1).high_watermark);
        let next = cluster.next(cluster.sim.in_next_boot());
        *cluster = next;
        cluster.settle().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(cluster.log(0).starts_with(&shown), "{what}");
    });
}

/// What becomes of a follower's checkpoint.
fn checkpoint(cluster: &Cluster, text: Option<&[u8]>) {
    let dir = cluster.replica(0).dir().clone();
    let _ = dir.remove("leader-epoch-checkpoint");
    if let Some(text) = text {
        let file = dir
            .open("leader-epoch-checkpoint", Open::CreateNew)
            .expect("made");
        file.write_at(text, 0).expect("written");
    }
}

#[test]
fn a_followers_epoch_checkpoint_is_lost_or_damaged() {
    let _tally = Tally::start();
    let texts: [Option<&[u8]>; 5] = [
        None,
        Some(b""),
        Some(b"0\n1\n0 0"),
        Some(b"0\n0\n"),
        Some(b"0\n1\n0 0\n"),
    ];
    for text in texts {
        for_all(&format!("checkpoint {text:?}"), |cluster, what| {
            begin(cluster);
            cluster.elect(1, &[0, 1, 2]);
            cluster.produce(3);
            let mut follower = cluster.follow(0);
            // While it follows, in this process and in the next.
            checkpoint(cluster, text);
            cluster.produce(2);
            cluster
                .catch_up(&mut follower)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            checkpoint(cluster, text);
            cluster.produce(2);
            let mut next = Follower::open(&cluster.store, &tp(), 0, TIMEOUT).expect("opened");
            cluster
                .catch_up(&mut next)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            // And as it returns with more than its leader.
            cluster.elect(0, &[0]);
            cluster.produce(4);
            cluster.elect(1, &[1]);
            checkpoint(cluster, text);
            cluster.produce(1);
        });
    }
}

#[test]
fn a_follower_has_more_than_its_leader_in_the_same_epoch() {
    let _tally = Tally::start();
    for_all("more", |cluster, what| {
        begin(cluster);
        cluster.produce(6);
        cluster.follow(1);
        // Broker 2 has less, and leads.
        assert!(
            cluster.page(2).tail.end < cluster.page(1).tail.end,
            "{what}"
        );
        cluster.elect(2, &[2]);
        cluster.follow(1);
        assert_eq!(cluster.log(1), cluster.log(2), "{what}");
    });
}

#[test]
fn what_comes_while_a_follower_joins_is_shown_once_it_has_that_too() {
    let _tally = Tally::start();
    for_all("joining", |cluster, what| {
        begin(cluster);
        cluster.change(|partition| partition.isr = vec![0, 1]);
        cluster.produce(3);
        cluster.follow(1);
        let mut joins = cluster.follow(2);
        let before = cluster.page(0).high_watermark;
        let entered = cluster.page(0).tail.end;
        assert_eq!(before, entered, "{what}: all is shown");
        let version = joins.enter_joining().expect("entered");
        assert_eq!(version, Some(cluster.meta().version), "{what}");
        cluster.produce(2);
        cluster.follow(1);
        // It may be listed any moment, and lead the next.
        assert_eq!(cluster.page(0).high_watermark, before, "{what}");
        cluster.change(|partition| partition.isr = vec![0, 1, 2]);
        cluster.elect(2, &[1, 2]);
        cluster.check_shown(what);
    });
}

#[test]
fn a_follower_that_does_not_join_is_not_waited_for() {
    let _tally = Tally::start();
    for_all("not joining", |cluster, what| {
        begin(cluster);
        cluster.change(|partition| partition.isr = vec![0, 1]);
        cluster.follow(1);
        let mut joins = cluster.follow(2);
        joins.enter_joining().expect("entered").expect("a version");
        cluster.produce(2);
        // Another version than the one it may be listed at.
        cluster.change(|_| {});
        cluster.follow(1);
        let page = cluster.page(0);
        assert_eq!(page.high_watermark, page.tail.end, "{what}");
    });
}

#[test]
fn a_leader_that_lost_records_which_others_have_begins_no_epoch() {
    let _tally = Tally::start();
    for_all("lost", |cluster, what| {
        begin(cluster);
        let (before, epoch) = (cluster.log(0), cluster.partition().leader_epoch);
        let dir = cluster.replica(0).dir().clone();
        // Nor can the page tell that there was more.
        let page = dir.open("partition.state", Open::Write).expect("opened");
        let len = page.len().expect("a length") as usize;
        page.write_at(&vec![0xa5; len], 0).expect("damaged");
        let log = dir.list(".").expect("listed").into_iter();
        let log = log
            .map(|e| e.name)
            .filter(|name| name.ends_with(".log"))
            .max();
        let log = dir
            .open(&log.expect("a segment"), Open::Write)
            .expect("opened");
        log.set_len(log.len().expect("a length") / 2).expect("cut");
        let next = cluster.next(cluster.sim.process());
        let mut writer = PartitionWriter::open(&next.store, &tp(), TIMEOUT).expect("opened");
        let refused = writer.make_ready().expect_err("others have more");
        assert!(refused.to_string().contains("in-sync"), "{what}: {refused}");
        assert_eq!(next.partition().leader_epoch, epoch, "{what}");
        next.elect(1, &[1, 2]);
        next.follow(2);
        next.follow(0);
        assert!(next.log(0) == before, "{what}");
        *cluster = next;
    });
}

#[test]
fn after_a_reboot_any_reader_brings_the_high_watermark_back() {
    let _tally = Tally::start();
    for pairs in [EACH, EACH_ROLLS, NEVER_ROLLS] {
        Tally::case();
        let what = format!("{pairs:?}");
        let mut cluster = Cluster::new(pairs);
        begin(&mut cluster);
        if pairs == NEVER_ROLLS {
            // Whatever is on no disk is gone with the power.
            for broker in 0..3 {
                let end = cluster.page(broker).tail.end;
                let committer = Committer::open_at(&cluster.store, &tp(), broker, TIMEOUT);
                committer.expect("opened").commit(end).expect("synced");
            }
        }
        let before = cluster.page(0).high_watermark;
        let left = cluster.next(cluster.sim.if_crashed(&mut |_| 0));
        let behind = left.page(0).high_watermark;
        assert!(behind < before, "{what}: {behind} was on the disk");
        // No daemon runs.
        let reader = open_reader(&left.store, &tp()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let page = reader.page().expect("a page");
        assert_eq!(page.high_watermark, before, "{what}");
        left.check_identical(&what);
    }
}

/// The leader's log starts within a batch of three records: a replica that is made again copies that
/// batch, and at none of its operations shows a record below the start.
#[test]
fn a_replica_that_is_made_again_shows_nothing_below_its_leaders_start() {
    let _tally = Tally::start();
    for pairs in ALL {
        for n in 1.. {
            Tally::case();
            let mut cluster = Cluster::new(pairs);
            cluster.elect(1, &[1, 2]);
            cluster
                .try_produce(&[(3, 50, Compression::None); 8])
                .expect("appended");
            cluster.follow(2);
            cluster.trim(13).expect("trimmed");
            let uuid = cluster.partition().uuid_of(0).expect("a replica");
            replace_replica(&cluster.store, &tp(), 0, uuid, TIMEOUT).expect("replaced");
            let first = cluster.next(cluster.sim.process());
            first.sim.stop_at(n);
            let _ = first.caught_up(0);
            let page = cluster.page(0);
            let (start, shown) = (page.tail.log_start, page.high_watermark);
            assert!(
                shown <= start || start >= 13,
                "{pairs:?} stopped at {n}: shows {start} to {shown}"
            );
            if !first.sim.is_dead() {
                assert_eq!((start, shown), (13, 24), "{pairs:?}");
                break;
            }
        }
    }
}
