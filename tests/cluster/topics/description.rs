//! What plans and descriptions say.
use super::*;

#[test]
fn a_plan_says_where() {
    let _tally = Tally::start();
    let cluster = Cluster::of(2);
    for (args, detail) in [
        (
            &["t", "-p", "2", "-r", "2"][..],
            "2 partitions of 2 replicas",
        ),
        (&["t", "--assign", "0:1,1:0"], "2 partitions on 0:1,1:0"),
        (&["t"], "1 partition"),
    ] {
        Tally::case();
        let all = [&["create", "--dry-run", "--format", "tsv"], args].concat();
        let out = cluster.shell.ok("mq-topics", &all, b"");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, format!("t\tcreate\t{detail}\n"));
    }
    let nowhere = Shell::new();
    for (args, status) in [
        ("-r 1", 0),
        ("-r 2", 1),
        ("--assign 0", 0),
        ("--assign 1", 1),
    ] {
        Tally::case();
        let words: Vec<&str> = args.split(' ').collect();
        let all = [&["create", "t", "--dry-run"], &words[..]].concat();
        let done = nowhere.run("mq-topics", &all, b"");
        assert_eq!(done.status, status, "{args}: {}", done.err);
        assert!(!nowhere.store().exists());
    }
}

#[test]
fn describe_shows_followers_and_what_needs_attention() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    cluster.make("t", &[&[0, 1], &[1, 2], &[2, 0]]);
    cluster.make("sound", &[&[2]]);
    cluster.shell.produce(&["sound"], b"a\nb\n");
    let partition = |n: usize| cluster.describe(&["t"])[0]["partitions"][n].clone();
    let first = partition(0);
    let follower = json!({"broker": 1, "log_end_offset": 0, "lag": 0, "in_sync": true});
    assert_eq!(first["preferred_leader"], 0);
    assert_eq!(first["offline"], false);
    assert_eq!(first["followers"], json!([follower]));
    let sound = &cluster.describe(&["sound"])[0]["partitions"][0];
    assert_eq!(
        (&sound["log_end_offset"], &sound["followers"]),
        (&json!(2), &json!([]))
    );
    for filter in ["--under-replicated", "--offline"] {
        Tally::case();
        assert_eq!(cluster.describe(&[filter]), [Value::Null; 0]);
    }

    // A follower that is another's counts for nothing, one that is gone neither.
    let unknown = json!({"broker": 1, "log_end_offset": null, "lag": null, "in_sync": true});
    fs::rename(cluster.logs(1).join("t-0"), cluster.logs(1).join("kept")).expect("lose");
    assert_eq!(partition(0)["followers"], json!([unknown]));
    cluster.make("other", &[&[1]]);
    fs::rename(cluster.logs(1).join("other-0"), cluster.logs(1).join("t-0")).expect("another");
    assert_eq!(partition(0)["followers"], json!([unknown]));
    fs::remove_dir_all(cluster.logs(1).join("t-0")).expect("remove");
    fs::remove_file(cluster.shell.store().join("topics/other.json")).expect("remove");
    fs::rename(cluster.logs(1).join("kept"), cluster.logs(1).join("t-0")).expect("back");

    // Out of sync, behind, and without a leader's log.
    let mut meta = topic_file::read_to_change(&cluster.store, &name("t")).expect("topic");
    meta.partitions[0].isr = vec![0];
    let path = cluster.shell.store().join("topics/t.json");
    meta.version += 1;
    replace(&path, &meta.encode());
    fs::rename(cluster.logs(2).join("t-2"), cluster.logs(2).join("gone")).expect("lose");
    cluster
        .shell
        .produce(&["t", "-p", "0", "--acks", "1"], b"x\ny\n");
    let numbers = |args: &[&str]| -> Vec<(String, i64)> {
        let topics = cluster.describe(args);
        let of = |topic: &Value| {
            let name = topic["topic"].as_str().expect("name").to_owned();
            let all = topic["partitions"].as_array().expect("partitions").clone();
            all.into_iter()
                .map(move |p| (name.clone(), p["partition"].as_i64().expect("number")))
        };
        topics.iter().flat_map(of).collect()
    };
    let t = |n| ("t".to_owned(), n);
    assert_eq!(numbers(&["--under-replicated"]), [t(0)]);
    assert_eq!(numbers(&["--offline"]), [t(2)]);
    assert_eq!(numbers(&["--offline", "--under-replicated"]), [t(0), t(2)]);
    let behind = json!({"broker": 1, "log_end_offset": 0, "lag": 2, "in_sync": false});
    assert_eq!(partition(0)["followers"], json!([behind]));
    let last = partition(2);
    assert_eq!(
        (&last["offline"], &last["log_end_offset"]),
        (&json!(true), &Value::Null)
    );
    let args = ["describe", "t", "--format", "tsv", "--header"];
    let out = cluster.shell.ok("mq-topics", &args, b"");
    let text = String::from_utf8(out).expect("UTF-8");
    let ends: Vec<_> = text
        .lines()
        .map(|line| line.split('\t').skip(10).take(2).collect::<Vec<_>>())
        .collect();
    let expected = [
        ["preferred_leader", "offline"],
        ["0", "false"],
        ["1", "false"],
        ["2", "true"],
    ];
    assert_eq!(ends, expected);
}
