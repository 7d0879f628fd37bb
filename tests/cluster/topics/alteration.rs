//! Reassignment, deletion, and what a dead maker left.
use super::*;

#[test]
fn deletion_reaches_every_broker_and_waits_for_no_lost_disk() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    for topic in ["t", "u"] {
        cluster.make(topic, &[&[0, 1, 2], &[2, 0, 1]]);
    }
    cluster.shell.topics(&["delete", "t", "--yes"]);
    let left = cluster.directories(&[0, 1, 2]);
    assert!(
        left.iter().all(|name| name.contains("/u-")) && left.len() == 6,
        "{left:?}"
    );
    let away = cluster.shell.dir().join("away");
    fs::rename(cluster.logs(1), &away).expect("lose");
    cluster.shell.topics(&["delete", "u", "--yes"]);
    assert!(cluster.directories(&[0, 2]).is_empty());
    // It is back, and the proof is still there: the next creator takes its place.
    fs::rename(&away, cluster.logs(1)).expect("bring back");
    assert_eq!(names(&cluster.shell.store().join("deleted")).len(), 1);
    cluster.shell.topics(&["create", "u", "--assign", "1"]);
    assert_eq!(cluster.directories(&[1]), ["1/u-0", "1/u-1"]);
}

#[test]
fn a_reassignment_is_begun_and_taken_back() {
    let _tally = Tally::start();
    let cluster = Cluster::of(4);
    cluster.make("t", &[&[0, 1], &[1, 0]]);
    let start = |changes: &[(i32, &[BrokerId])]| {
        let changes: Vec<_> = changes
            .iter()
            .map(|(n, to)| (tp("t", *n), to.to_vec()))
            .collect();
        start_reassignment(&cluster.store, &changes, Some(1000), TIMEOUT)
    };
    let changed = start(&[(0, &[2, 1]), (1, &[1, 0])]).expect("begun");
    assert_eq!(changed.len(), 1);
    let meta = cluster.meta("t");
    assert_eq!(meta, changed[0]);
    assert_eq!(meta.version, 2);
    let first = &meta.partitions[0];
    assert_eq!(brokers(first), [2, 1, 0]);
    assert_eq!((first.leader, first.isr.as_slice()), (0, &[0, 1][..]));
    assert_eq!(
        (first.preferred_leader(), first.replication_factor()),
        (2, 2)
    );
    let under_way = first.reassignment.as_ref().expect("under way");
    assert_eq!(under_way.before, [0, 1]);
    assert_eq!(under_way.throttle, Some(1000));
    // As it was already.
    assert!(meta.partitions[1].reassignment.is_none());
    let page = cluster.page("t", 0, 2);
    assert_eq!(Some(page.replica_uuid), first.uuid_of(2));
    assert_eq!(
        (format!("{:?}", page.role).as_str(), page.synced_version),
        ("Follower", 2)
    );

    for (changes, kind, reported) in [
        (
            &[(0, &[3][..])][..],
            Kind::BrokerState,
            "REASSIGNMENT_IN_PROGRESS",
        ),
        (&[(1, &[9])], Kind::BrokerState, "there is no broker 9"),
        (&[(1, &[3, 3])], Kind::Usage, "broker 3 twice"),
        (&[(1, &[])], Kind::Usage, "has no broker"),
        (&[(1, &[3]), (1, &[2])], Kind::Usage, "is there twice"),
        (&[(5, &[3])], Kind::UnknownTopic, "t has no partition 5"),
        (
            &[(1, &[3]), (0, &[3])],
            Kind::BrokerState,
            "REASSIGNMENT_IN_PROGRESS",
        ),
    ] {
        Tally::case();
        let e = start(changes).expect_err(reported);
        assert_eq!(e.kind(), kind, "{e}");
        assert!(e.to_string().contains(reported), "{e}");
        assert_eq!(cluster.meta("t"), meta);
        assert!(cluster.directories(&[3]).is_empty());
    }
    let cancel = |n| cancel_reassignment(&cluster.store, &[tp("t", n)], TIMEOUT);
    let e = cancel(1).expect_err("none");
    assert_eq!(e.kind(), Kind::BrokerState);
    assert!(e.to_string().contains("NO_REASSIGNMENT_IN_PROGRESS"), "{e}");

    let new = first.uuid_of(2);
    cancel(0).expect("taken back");
    let back = cluster.meta("t");
    assert_eq!(brokers(&back.partitions[0]), [0, 1]);
    assert_eq!(back.partitions[0].reassignment, None);
    assert_eq!(back.partitions[0].isr, [0, 1]);
    let retired: Vec<_> = back
        .retired
        .iter()
        .map(|r| (r.partition, r.broker, Some(r.uuid)))
        .collect();
    assert_eq!(retired, [(0, 2, new)]);

    // Its place is taken by the next one: what was retired is no stray.
    start(&[(0, &[0, 2])]).expect("again");
    assert_eq!(cluster.directories(&[2]), ["2/t-0"]);
    assert_ne!(cluster.meta("t").partitions[0].uuid_of(2), new);

    start(&[(1, &[1, 3])]).expect("begun");
    cancel(1).expect("taken back");
    assert_eq!(cluster.directories(&[3]), ["3/t-1"]);

    // The leader came with the reassignment.
    let mut meta = cluster.meta("t");
    (meta.partitions[0].leader, meta.partitions[0].isr) = (2, vec![2, 0]);
    meta.version += 1;
    replace(&cluster.shell.store().join("topics/t.json"), &meta.encode());
    let e = cancel(0).expect_err("its leader would go");
    assert_eq!(e.kind(), Kind::BrokerState);
    assert_eq!(cluster.meta("t"), meta);

    // Deleted meanwhile, it leaves nothing, retired directories included.
    cluster.shell.topics(&["delete", "t", "--yes"]);
    assert!(cluster.directories(&[0, 1, 2, 3]).is_empty());
}

#[test]
fn what_a_dead_maker_left_is_taken_away_and_what_a_living_one_holds_is_not() {
    let _tally = Tally::start();
    let cluster = Cluster::new();
    cluster.register(1, |_| {});
    let topic_id = cluster.make("t", &[&[1], &[1]]).topic_id;
    cluster.shell.produce(&["t"], b"a\nb\n");
    let make = |partition| {
        let tp = tp("t", partition);
        make_replica(&cluster.store, &tp, 0, topic_id, TIMEOUT).expect("made")
    };
    // Its lock goes as with its process.
    drop(make(0));
    let held = make(1);
    assert_eq!(cluster.directories(&[0]), ["0/t-0", "0/t-1"]);
    // A sweep goes on beside all else, and a stop ends it.
    let sweep = |left: &str| {
        let broker = cluster.shell.start("mq-broker", &["start"]);
        broker.says(" ready: ");
        std::thread::sleep(Duration::from_millis(300));
        let until = Instant::now() + TIMEOUT;
        while cluster.directories(&[0]) != [left] && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        cluster.shell.ok("mq-broker", &["stop"], b"");
        assert_eq!(broker.end().status, 0);
        assert_eq!(cluster.directories(&[0]), [left]);
    };
    sweep("0/t-1");
    assert_eq!(cluster.directories(&[1]), ["1/t-0", "1/t-1"]);
    discard(&cluster.store, vec![held]);
    assert!(cluster.directories(&[0]).is_empty());
    // Or the next maker takes its place.
    drop(make(0));
    let changes = [(tp("t", 0), vec![0])];
    start_reassignment(&cluster.store, &changes, None, TIMEOUT).expect("begun");
    assert_eq!(cluster.directories(&[0]), ["0/t-0"]);
    // What a topic file names is nobody's leftover, though its partition is led elsewhere.
    sweep("0/t-0");
    let e = make_replica(&cluster.store, &tp("t", 0), 0, topic_id, TIMEOUT).expect_err("named");
    assert_eq!(e.kind(), Kind::TopicExists, "{e}");
    assert_eq!(cluster.shell.consume_text(&["t", "-e"]).lines().count(), 2);
}
