//! Files removed under running processes: what was acknowledged is read, or the loss is reported.

use std::collections::BTreeMap;

use crate::cli::{Shell, run};
use crate::mounts::Mounts;
use crate::scripts::{TWO_BROKERS, bash, page, side_by_side};

/// Each file of a replica but its log, and the directory itself.
const FILES: [&str; 6] = [
    "partition.state",
    "sync.lock",
    "00000000000000000000.index",
    "00000000000000000000.timeindex",
    "leader-epoch-checkpoint",
    "partition.metadata",
];

/// `OFFSET VALUE` lines: no offset has two values.
fn by_offset(lines: &str, what: &str) -> BTreeMap<i64, String> {
    let mut found = BTreeMap::new();
    for line in lines.lines() {
        let (offset, value) = line
            .split_once(' ')
            .unwrap_or_else(|| panic!("{what}: {line}"));
        let offset = offset.parse().unwrap_or_else(|_| panic!("{what}: {line}"));
        let before = found.insert(offset, value.to_owned());
        assert!(
            before.is_none_or(|before| before == value),
            "{what}: {line}"
        );
    }
    found
}

fn read(shell: &Shell, name: &str) -> String {
    std::fs::read_to_string(shell.dir().join(name)).unwrap_or_default()
}

/// What is acknowledged and what was shown, held against what is read afterwards.
fn check(shell: &Shell, what: &str) {
    let all = by_offset(&read(shell, "all"), what);
    for name in ["acks", "shown"] {
        for (offset, value) in by_offset(&read(shell, name), what) {
            assert_eq!(
                all.get(&offset),
                Some(&value),
                "{what}: {name}: {offset} {value}"
            );
        }
    }
    assert!(
        all.values().any(|value| value == "after"),
        "{what}: it goes on"
    );
}

/// A producer of a record every few ms and a reader at work, a file removed in between.
const AT_WORK: &str = r#"
(for i in $(seq 200); do echo v$i; sleep 0.004; done) | mq-produce --timeout 10s -o '%o %v\n' t > acks 2> producer & producer=$!
mq-consume -f '%o %v\n' t > shown 2> reader & reader=$!
until [ "$(wc -l < shown)" -gt 30 ]; do sleep 0.02; done
"#;

#[test]
fn removed_files_of_a_replica_cost_no_acknowledged_record() {
    side_by_side(&FILES, |file| {
        let shell = Shell::new();
        let done = bash(
            &shell,
            &format!(
                r"
mq-topics create -q t -c segment.bytes=4000
{AT_WORK}
rm $MQ_STORE/brokers/0/logs/t-0/{file} || exit 2
wait $producer; status=$?
echo after | mq-produce -q t || exit 3
kill $reader; wait $reader
mq-consume -e -f '%o %v\n' t > all || exit 4
mq-topics verify --deep t > verified; echo $? >> verified
exit $status
"
            ),
        );
        // A page that goes leaves an outcome unknown, which is said.
        assert!(
            matches!(done.status, 0 | 74),
            "{file}: {}: {} {}",
            done.status,
            done.err,
            read(&shell, "producer")
        );
        check(&shell, file);
        let verified = read(&shell, "verified");
        if *file == "partition.metadata" {
            // Nothing makes it again by itself: it is reported, and repaired on request.
            assert!(verified.contains(file), "{verified}");
            shell.topics(&["verify", "--repair", "truncate", "--yes", "t"]);
            shell.topics(&["verify", "--deep", "t"]);
        } else {
            assert!(verified.ends_with("\n0\n"), "{file}: {verified}");
        }
    });
}

#[test]
fn a_log_that_is_removed_is_reported() {
    let shell = Shell::new();
    let done = bash(
        &shell,
        r#"
mq-topics create -q t
seq 100 | mq-produce t
rm $MQ_STORE/brokers/0/logs/t-0/00000000000000000000.log
mq-consume -e t; echo "read $?"
echo x | mq-produce t; echo "produced $?"
mq-topics verify t > /dev/null; echo "verified $?"
"#,
    );
    let text = done.text();
    assert!(text.contains("read 65"), "{text}{}", done.err);
    assert!(!text.contains("produced 0"), "{text}{}", done.err);
    assert!(text.contains("verified 65"), "{text}{}", done.err);
    assert!(
        done.err.contains("00000000000000000000.log"),
        "{}",
        done.err
    );
}

#[test]
fn removed_files_of_either_replica_cost_no_acknowledged_record() {
    // The follower's and the leader's; and the follower's whole directory. The leader's whole
    // directory: in the tests of failover.
    let files = FILES.iter().map(|file| format!("/{file}"));
    let mut cases: Vec<(u32, String)> = files
        .flat_map(|file| [(2, file.clone()), (1, file)])
        .collect();
    cases.push((2, String::new()));
    side_by_side(&cases, |(broker, file)| {
        let shell = Shell::new();
        let what = format!("broker {broker} {file}");
        let done = bash(
            &shell,
            &format!(
                r"{TWO_BROKERS}
mq-topics create -q t --assign 1:2 -c segment.bytes=4000
{AT_WORK}
rm -r $MQ_STORE/brokers/{broker}/logs/t-0{file} || exit 2
wait $producer; status=$?
mq-broker health --wait --timeout 20s > health || exit 5
echo after | mq-produce -q t || exit 3
kill $reader; wait $reader
mq-consume -e -f '%o %v\n' t > all || exit 4
for id in 1 2; do mq-consume --replica $id -e -f '%o %v\n' t | cmp - all || exit 6; done
exit $status
"
            ),
        );
        assert!(
            matches!(done.status, 0 | 74),
            "{what}: {}: {}{}{}",
            done.status,
            done.text(),
            done.err,
            read(&shell, "health")
        );
        check(&shell, &what);
    });
}

#[test]
fn a_log_that_goes_under_an_open_producer_is_not_appended_to() {
    // What is done to the log, and the records that are acknowledged then.
    for (change, acknowledged, status) in [
        ("rm $log", "a1\n", 65),
        ("cp -p $log x; mv x $log", "a1\na2\na3\n", 0),
    ] {
        let shell = Shell::new();
        let done = bash(
            &shell,
            &format!(
                r"
mq-topics create -q t
trap '' PIPE
log=$MQ_STORE/brokers/0/logs/t-0/00000000000000000000.log
mkfifo in
mq-produce -o '%v\n' t < in > acks 2> producer & producer=$!
exec 7> in
echo a1 >&7
until [ -s acks ]; do sleep 0.01; done
{change}
echo a2 >&7; sleep 0.3; echo a3 >&7
exec 7>&-
wait $producer; status=$?
mq-consume -e t > all
exit $status
"
            ),
        );
        assert_eq!(
            done.status,
            status,
            "{change}: {}",
            read(&shell, "producer")
        );
        assert_eq!(read(&shell, "acks"), acknowledged, "{change}");
        if status == 0 {
            assert_eq!(read(&shell, "all"), acknowledged, "{change}");
        }
    }
}

#[test]
fn an_idle_followers_log_that_is_removed_or_cut_is_recreated() {
    for change in ["rm $log", ": > $log"] {
        let shell = Shell::new();
        let done = bash(
            &shell,
            &format!(
                r"{TWO_BROKERS}
mq-topics create -q t --assign 1:2
seq 1000 | mq-produce t
mq-broker health --wait --timeout 20s > /dev/null || exit 5
log=$MQ_STORE/brokers/2/logs/t-0/00000000000000000000.log
{change}
for i in $(seq 120); do [ $(cat $log 2> /dev/null | wc -c) -gt 5000 ] && break; sleep 0.05; done
[ $i -lt 120 ] || exit 6
grep -c 'recreated the replica' b2
mq-broker health --wait --timeout 20s > /dev/null || exit 7
kill -9 $(cat pid1)
mq-consume -e t | wc -l
"
            ),
        );
        assert_eq!(done.text(), "1\n1000\n", "{change}: {}", done.err);
    }
}

#[test]
fn a_leaders_page_that_is_older_than_its_log_costs_no_record() {
    // As after a mount was lost: the log was synced, its page was not. `2` copies nothing meanwhile,
    // where the records are acknowledged by the leader alone.
    for acks in ["all", "1"] {
        let shell = Shell::new();
        let done = bash(
            &shell,
            &format!(
                r"{TWO_BROKERS}
mq-topics create -q t --assign 1:2 -c flush.messages=1
page=$MQ_STORE/brokers/1/logs/t-0/partition.state
seq 2 | mq-produce t
mq-broker health --wait --timeout 20s > /dev/null || exit 5
cp $page old
[ {acks} = all ] || kill -STOP $(cat pid2)
seq 3 5 | mq-produce --acks {acks} t
kill -9 $(cat pid1)
[ {acks} = 1 ] || kill -9 $(cat pid2)
cat old > $page
if [ {acks} = all ]; then
    mq-broker start --id 2 > c2 2>&1 & pid2=$!
    until grep -q ready: c2; do sleep 0.02; done
else
    kill -CONT $(cat pid2)
fi
for i in $(seq 200); do [ $(jq .partitions[0].leader $MQ_STORE/topics/t.json) = 2 ] && break; sleep 0.05; done
mq-consume -e t | tr '\n' ' '
mq-broker start --id 1 > c1 2>&1 & pid1=$!
mq-broker health --wait --timeout 20s > /dev/null || exit 7
mq-consume -e t | tr '\n' ' '
kill $(jobs -p)
"
            ),
        );
        assert_eq!(done.text(), "1 2 3 4 5 1 2 3 4 5 ", "{acks}: {}", done.err);
        // Nor was its own log cut by the old page, and filled again.
        let replica = shell.store().join("brokers/2/logs/t-0");
        assert_eq!(page(&replica).generation, 1, "{acks}");
    }
}

/// What makes room must not need room: a disk with no block left for a directory, as one without a
/// free inode has it.
#[test]
fn a_topic_is_deleted_from_a_disk_with_nothing_left() {
    let shell = Shell::new();
    let disk = shell.dir().join("disk");
    let options = "size=8m,nr_inodes=300";
    let Some(_mounts) = Mounts::with(std::iter::once(disk.as_path()), options) else {
        println!("removals: skipped: no file system may be mounted here");
        return;
    };
    let store = disk.join("store");
    let tool = |name: &str, args: &[&str], input: &[u8]| {
        let mut command = shell.command(name, args);
        command.env("MQ_STORE", &store);
        run(command, input)
    };
    for topic in ["kept", "big"] {
        let done = tool("mq-produce", &[topic], b"a record\n");
        assert_eq!(done.status, 0, "{}", done.err);
    }
    let made = (0..300).take_while(|n| std::fs::write(disk.join(n.to_string()), "").is_ok());
    assert!(made.count() > 50, "the inodes were to end");
    let refused = tool("mq-topics", &["create", "more"], b"");
    assert_eq!(refused.status, 1, "{}", refused.err);
    let deleted = tool("mq-topics", &["delete", "big", "--yes"], b"");
    assert_eq!(deleted.status, 0, "{}", deleted.err);
    assert!(!store.join("brokers/0/logs/big-0").exists());
    let made = tool("mq-produce", &["kept"], b"there is room\n");
    assert_eq!(made.status, 0, "{}", made.err);
    let read = tool("mq-consume", &["-e", "kept"], b"");
    assert_eq!(read.text(), "a record\nthere is room\n");
}
