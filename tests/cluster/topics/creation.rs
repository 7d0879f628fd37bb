//! Where the replicas of a new topic go, and what is refused.
use super::*;
use mq::store::brokers::claim;

#[test]
fn replicas_are_made_where_they_are_placed() {
    let _tally = Tally::start();
    let mut cluster = Cluster::new();
    for (id, rack) in [(0, "a"), (1, "a"), (2, "b"), (5, "b")] {
        cluster.start(id, |file| file.rack = Some(rack.to_owned()));
    }
    cluster.register(7, |_| {});
    cluster.shell.topics(&["create", "t", "-p", "8", "-r", "2"]);
    let meta = cluster.meta("t");
    let mut leaders = BTreeMap::new();
    for partition in &meta.partitions {
        Tally::case();
        let brokers = brokers(partition);
        let on_a = brokers.iter().filter(|id| **id < 2).count();
        assert_eq!((brokers.len(), on_a), (2, 1), "{brokers:?}");
        assert_eq!(partition.leader, brokers[0]);
        assert_eq!(partition.isr, brokers);
        *leaders.entry(partition.leader).or_insert(0) += 1;
        for replica in &partition.replicas {
            let page = cluster.page("t", partition.partition, replica.broker);
            assert_eq!(page.topic_id, meta.topic_id);
            assert_eq!(page.replica_uuid, replica.uuid);
            assert_eq!(page.synced_version, 1);
            let role = format!("{:?}", page.role);
            let leads = replica.broker == partition.leader;
            assert_eq!(role, if leads { "Leader" } else { "Follower" });
        }
    }
    assert_eq!(leaders, BTreeMap::from([(0, 2), (1, 2), (2, 2), (5, 2)]));
    assert_eq!(cluster.directories(&[0, 1, 2, 5]).len(), 16);
    assert!(cluster.directories(&[7]).is_empty(), "it does not live");

    cluster
        .shell
        .topics(&["create", "u", "--assign", "5:0,2:7"]);
    let placed: Vec<_> = cluster.meta("u").partitions.iter().map(brokers).collect();
    assert_eq!(placed, [[5, 0], [2, 7]]);
}

#[test]
fn one_replica_needs_no_daemon_and_goes_to_one_that_lives() {
    let _tally = Tally::start();
    let mut cluster = Cluster::new();
    cluster.register(1, |_| {});
    cluster.shell.topics(&["create", "alone", "-p", "3"]);
    let placed: Vec<_> = cluster
        .meta("alone")
        .partitions
        .iter()
        .map(brokers)
        .collect();
    assert_eq!(placed, [[0], [0], [0]]);
    Tally::case();
    cluster.start(1, |_| {});
    // The embedded broker has no daemon, and another has.
    cluster.shell.produce(&["auto"], b"one\n");
    assert_eq!(brokers(&cluster.meta("auto").partitions[0]), [1]);
    assert_eq!(cluster.shell.consume_text(&["auto", "-e"]), "one\n");
    Tally::case();
    // Drained, it takes what nobody else can.
    cluster.start(2, |_| {});
    cluster.register(1, |file| file.drained = true);
    cluster.shell.topics(&["create", "drained", "-p", "2"]);
    let placed: Vec<_> = cluster
        .meta("drained")
        .partitions
        .iter()
        .map(brokers)
        .collect();
    assert_eq!(placed, [[2], [2]]);
    cluster.shell.topics(&["create", "both", "-r", "2"]);
    assert_eq!(brokers(&cluster.meta("both").partitions[0]), [2, 1]);
}

#[test]
fn what_cannot_be_made_is_refused_in_one_line_and_changes_nothing() {
    let _tally = Tally::start();
    let cluster = Cluster::of(2);
    cluster
        .shell
        .topics(&["create", "old", "-r", "2", "-c", "min.insync.replicas=2"]);
    cluster.make("mixed", &[&[0, 1], &[1, 0]]);
    let before = (cluster.meta("old"), cluster.meta("mixed"));
    let directories = cluster.directories(&[0, 1]);
    for (args, status, reported) in [
        (
            "create t -r 3",
            1,
            "INVALID_REPLICATION_FACTOR: 3 replicas need as many live brokers, and 2 can take one now",
        ),
        ("create t -r 3 --dry-run", 1, "INVALID_REPLICATION_FACTOR"),
        ("create t -r 0", 2, "INVALID_REPLICATION_FACTOR: '0'"),
        (
            "create t -r 40000",
            2,
            "INVALID_REPLICATION_FACTOR: '40000'",
        ),
        (
            "create t -c min.insync.replicas=2",
            2,
            "min.insync.replicas=2, but a partition has 1 replica",
        ),
        (
            "create t -r 2 -c min.insync.replicas=3",
            2,
            "min.insync.replicas=3, but a partition has 2 replicas",
        ),
        (
            "create t --assign 0:1 -c min.insync.replicas=3",
            2,
            "a partition has 2 replicas",
        ),
        (
            "create t --like old -r 1",
            1,
            "min.insync.replicas=2, but a partition has 1 replica",
        ),
        (
            "create t --assign 0:9",
            1,
            "INVALID_REPLICA_ASSIGNMENT: there is no broker 9",
        ),
        ("create t --assign 0:9 --dry-run", 1, "there is no broker 9"),
        (
            "create t --assign 0:0",
            2,
            "INVALID_REPLICA_ASSIGNMENT: partition 0 of it has broker 0 twice",
        ),
        (
            "create t --assign 0:1,1",
            2,
            "INVALID_REPLICA_ASSIGNMENT: partition 1 of it has 1 replica, and partition 0 has 2",
        ),
        (
            "create t --assign 0:1,",
            2,
            "INVALID_REPLICA_ASSIGNMENT: '0:1,' names no brokers",
        ),
        ("create t --assign 0:-1", 2, "names no brokers"),
        (
            "create t --assign 0:1,1:0 -p 3",
            2,
            "INVALID_REPLICA_ASSIGNMENT: -p 3, but --assign has 2",
        ),
        (
            "create t --assign 0:1,1:0 -r 1",
            2,
            "INVALID_REPLICA_ASSIGNMENT: -r 1, but --assign has 2",
        ),
        (
            "alter mixed -c min.insync.replicas=3",
            1,
            "a partition has 2 replicas",
        ),
        (
            "alter mixed -c min.insync.replicas=3 --dry-run",
            1,
            "a partition has 2 replicas",
        ),
    ] {
        Tally::case();
        let words: Vec<&str> = args.split(' ').collect();
        let done = cluster.shell.run("mq-topics", &words, b"");
        assert_eq!(done.status, status, "{args}: {}", done.err);
        assert!(done.err.contains(reported), "{args}: {}", done.err);
        assert!(
            done.err.lines().count() <= 2 && done.out.is_empty(),
            "{args}: {}",
            done.err
        );
        assert_eq!(cluster.directories(&[0, 1]), directories, "{args}");
        assert_eq!(
            (cluster.meta("old"), cluster.meta("mixed")),
            before,
            "{args}"
        );
        assert!(
            !cluster.shell.store().join("topics/t.json").exists(),
            "{args}"
        );
    }
}

#[test]
fn a_copy_keeps_the_replication_factor_while_enough_brokers_live() {
    let _tally = Tally::start();
    let mut cluster = Cluster::of(3);
    cluster.shell.topics(&[
        "create",
        "t",
        "-p",
        "2",
        "-r",
        "3",
        "-c",
        "min.insync.replicas=2",
    ]);
    cluster.shell.topics(&["create", "copy", "--like", "t"]);
    let copy = cluster.meta("copy");
    assert!(copy.partitions.iter().all(|p| p.replicas.len() == 3));
    cluster
        .shell
        .topics(&["create", "less", "--like", "t", "-r", "2"]);
    cluster.live.remove(&2);
    let done = cluster
        .shell
        .run("mq-topics", &["create", "late", "--like", "t"], b"");
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("INVALID_REPLICATION_FACTOR"),
        "{}",
        done.err
    );
    let done = cluster
        .shell
        .run("mq-topics", &["alter", "t", "--partitions", "3"], b"");
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("INVALID_REPLICATION_FACTOR"),
        "{}",
        done.err
    );
    assert_eq!(cluster.meta("t").partitions.len(), 2);
    cluster
        .shell
        .topics(&["alter", "less", "--partitions", "5"]);
    let grown = cluster.meta("less");
    assert_eq!(grown.partitions.len(), 5);
    let added: Vec<_> = grown.partitions[2..].iter().map(brokers).collect();
    assert!(
        added.iter().all(|of| of.len() == 2 && !of.contains(&2)),
        "{added:?}"
    );
    let leaders: BTreeSet<_> = added.iter().map(|of| of[0]).collect();
    assert_eq!(leaders, BTreeSet::from([0, 1]));
}

#[test]
fn replicas_on_one_device_are_warned_of() {
    let _tally = Tally::start();
    let cluster = Cluster::of(2);
    let warned = |cluster: &Cluster, topic: &str, assign: &str| {
        let args = ["create", topic, "--assign", assign];
        let done = cluster.shell.run("mq-topics", &args, b"");
        assert_eq!(done.status, 0, "{}", done.err);
        done.err
    };
    assert_eq!(warned(&cluster, "one", "0,1"), "");
    let reported = warned(&cluster, "two", "0:1,1:0");
    assert!(
        reported.contains("warning: brokers 0, 1 keep replicas of two on one device"),
        "{reported}"
    );
    assert_eq!(reported.lines().count(), 1, "{reported}");
    let done = cluster
        .shell
        .run("mq-topics", &["alter", "two", "--partitions", "3"], b"");
    assert!(
        done.err.contains("keep replicas of two on one device"),
        "{}",
        done.err
    );
    let Some(other) = another_device(cluster.shell.store()) else {
        return;
    };
    cluster.register(2, |_| {});
    let claimed = claim::claim(&cluster.store, 2, other.path()).expect("claim");
    let place = claimed.log_dir().map(str::to_owned);
    cluster.register(2, |file| file.log_dir = place);
    claimed.keep();
    assert_eq!(warned(&cluster, "three", "0:2,2:1"), "");
    assert!(other.path().join("three-0").exists());
}

/// A directory on another device than `path`, where the machine has one.
fn another_device(path: &Path) -> Option<tempfile::TempDir> {
    let other = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |path: &Path| OsDisk.open_dir(path).and_then(|dir| dir.own_id());
    let differs = device(other.path()).ok()?.device != device(path).ok()?.device;
    differs.then_some(other)
}

#[test]
fn a_creation_that_fails_leaves_no_replica_anywhere() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    fs::remove_dir(cluster.logs(2)).expect("lose");
    let done = cluster
        .shell
        .run("mq-topics", &["create", "t", "--assign", "0:1,1:2"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(cluster.directories(&[0, 1]).is_empty());
    // The last replica cannot be put in place: somebody's file is there.
    fs::create_dir(cluster.logs(2)).expect("make");
    fs::write(cluster.logs(2).join("t-1"), b"").expect("in the way");
    let done = cluster
        .shell
        .run("mq-topics", &["create", "t", "--assign", "0:1,1:2"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    assert_eq!(cluster.directories(&[0, 1, 2]), ["2/t-1"]);
    fs::remove_file(cluster.logs(2).join("t-1")).expect("out of the way");
    cluster
        .shell
        .topics(&["create", "t", "--assign", "0:1,1:2"]);
    assert_eq!(
        cluster.directories(&[0, 1, 2]),
        ["0/t-0", "1/t-0", "1/t-1", "2/t-1"]
    );
}

#[test]
fn creators_of_one_topic_with_other_brokers_do_not_wait_for_each_other_for_good() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    for round in 0..20 {
        Tally::case();
        let topic = format!("t{round}");
        let assignments = [[0, 1], [1, 0], [2, 1], [0, 2]];
        let made = std::thread::scope(|scope| {
            let racing: Vec<_> = assignments
                .iter()
                .map(|brokers| {
                    let new = NewTopic {
                        name: name(&topic),
                        assignment: vec![brokers.to_vec(); 3],
                        configs: BTreeMap::new(),
                    };
                    let store = &cluster.store;
                    scope.spawn(move || create_topic(store, &new, TIMEOUT))
                })
                .collect();
            racing
                .into_iter()
                .map(|racer| racer.join().expect("racer"))
                .collect::<Vec<_>>()
        });
        let winners: Vec<_> = made.iter().filter_map(|made| made.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1);
        for e in made.iter().filter_map(|made| made.as_ref().err()) {
            assert_eq!(e.kind(), Kind::TopicExists, "{e}");
        }
        let meta = cluster.meta(&topic);
        assert_eq!(&meta, winners[0]);
        let mut expected: Vec<_> = meta
            .partitions
            .iter()
            .flat_map(|p| brokers(p).into_iter().map(move |id| (id, p.partition)))
            .map(|(id, partition)| format!("{id}/{topic}-{partition}"))
            .collect();
        expected.sort_unstable();
        let mut found = cluster.directories(&[0, 1, 2]);
        found.retain(|path| path.contains(&format!("/{topic}-")));
        assert_eq!(found, expected);
    }
}

#[test]
fn fewer_replicas_than_must_be_in_sync_are_refused() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    cluster
        .shell
        .topics(&["create", "t", "-r", "2", "-c", "min.insync.replicas=2"]);
    let changes = [(tp("t", 0), vec![2])];
    let e = start_reassignment(&cluster.store, &changes, None, TIMEOUT).expect_err("too few");
    assert_eq!(e.kind(), Kind::InvalidConfig, "{e}");
    // What is to be counts: a third replica on the way allows three.
    let changes = [(tp("t", 0), vec![0, 1, 2])];
    start_reassignment(&cluster.store, &changes, None, TIMEOUT).expect("begun");
    cluster
        .shell
        .topics(&["alter", "t", "-c", "min.insync.replicas=3"]);
    // Another config is not refused for it.
    cluster.shell.topics(&["alter", "t", "-c", "segment.ms=5"]);
}
