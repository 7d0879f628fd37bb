//! `mq-topics trim`: what it removes, what it leaves alone, and when it has every replica.

use crate::cli::Shell;
use crate::scripts::{TWO_BROKERS, bash, bash_ok};

/// Topic `t` with the records 0 to 49, each in a batch of its own, five to a segment.
pub const FIFTY: &str = r"
mq-topics create -q t -c segment.bytes=1024
dir=$MQ_STORE/brokers/0/logs/t-0
fill() { for n in $(seq $1 $2); do printf '%0100d\n' $n; done; }
add() { fill $1 $2 | while read -r line; do echo $line | mq-produce ${3:-t} || exit 9; done; }
plain() { sed 's/^0*\(.\)/\1/' $1; }
add 0 49
";

#[test]
fn a_trim_removes_whole_files_and_keeps_offsets() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r"{FIFTY}
grep -o 'format_version.: .' $MQ_STORE/store.json
mq-topics trim t --to 22 --yes 2> err; echo $?; cat err
grep -o 'format_version.: .' $MQ_STORE/store.json
ls $dir/*.log | wc -l; ls $dir | grep -c index
mq-topics offsets t --format tsv
mq-consume -e t | plain | head -n 1
mq-consume -e t | wc -l
mq-topics verify --deep t --format tsv | cut -f 3,6
mq-topics dump t --format tsv | head -n 1 | cut -f 5
# What was there before the point is nowhere; what was there after it is where it was.
mq-topics offsets t --at start --format tsv
mq-topics offsets t --at @2020-01-01 --format tsv
mq-topics describe t --format json | grep -o '.log_start_offset[^,]*,.high_watermark[^,]*'
echo next | mq-produce -o '%o\n' t
mq-groups commit -q g t:0=30; mq-groups describe g --format tsv | cut -f 4,6,7
"
        ),
    );
    let expected = "format_version\": 1\n0\nmq-topics: removed 22 offsets of t:0, and 3 segment files \
                    (3.0 KiB)\nformat_version\": 2\n6\n12\nt\t0\t22\t50\n22\n28\nok\t32\n18\nt\t0\t22\n\
                    t\t0\t22\n\"log_start_offset\":22,\"high_watermark\":50\n50\n30\t51\t21\n";
    assert_eq!(out, expected);
}

#[test]
fn a_log_trimmed_to_its_end_is_empty_and_goes_on() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r"{FIFTY}
mq-topics trim t --to end --yes 2> err; echo $?; cat err
ls -l $dir/*.log | awk '{{print $5}}'; ls $dir/*.log | xargs -n 1 basename
mq-consume -e t; echo $?
mq-topics offsets t --format tsv
mq-topics verify --deep -q t > out; echo $?
mq-topics dump t --format tsv; echo $?
mq-topics offsets t --at @2020-01-01 --format tsv
mq-topics trim t --to end --yes; echo $?
echo next | mq-produce -o '%o\n' t
mq-consume -e -f '%o %v\n' t
mq-topics verify --deep -q t > out; echo $?
"
        ),
    );
    let expected = "0\nmq-topics: removed 50 offsets of t:0, and 9 segment files (8.3 KiB)\n0\n\
                    00000000000000000050.log\n0\nt\t0\t50\t50\n0\n0\nt\t0\t50\n0\n50\n50 next\n0\n";
    assert_eq!(out, expected);
}

#[test]
fn all_partitions_are_planned_before_one_is_changed() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
mq-topics create -q a b; mq-topics create -q c -p 2
seq 100 | mq-produce a; seq 100 | mq-produce b; seq 10 | mq-produce -p 1 c
# c:0 is empty, c:1 has ten.
mq-topics trim a '[bc]' --to 20 --yes 2> err; echo $?; cat err
mq-topics trim a nothere --to 20 --yes 2> err; echo $?; grep -c UNKNOWN_TOPIC err
mq-topics trim a 'x*' --to 20 --yes 2> err; echo $?; grep -c 'no topic matches' err
mq-topics trim a c:2 --to 5 --yes 2> err; echo $?; grep -c UNKNOWN_TOPIC err
mq-topics offsets '*' --format tsv
grep -o 'format_version.: .' $MQ_STORE/store.json
# A point that each log has for itself.
mq-topics trim '*' --to -5 --yes --format json; echo $?
mq-topics offsets '*' --format tsv
mq-topics trim c:1 --to +2 --yes -q --format tsv --header
",
    );
    let expected = "1\nmq-topics: OFFSET_OUT_OF_RANGE: c:0 has offsets 0 to 0, not 20\n           use a \
                    number from 0 to 0\n1\n1\n1\n1\n1\n1\na\t0\t0\t100\nb\t0\t0\t100\nc\t0\t0\t0\nc\t1\t0\t10\n\
                    format_version\": 1\n\
                    {\"topic\":\"a\",\"partition\":0,\"log_start_offset\":0,\"new_log_start_offset\":95,\
                    \"removed_offsets\":95}\n\
                    {\"topic\":\"b\",\"partition\":0,\"log_start_offset\":0,\"new_log_start_offset\":95,\
                    \"removed_offsets\":95}\n\
                    {\"topic\":\"c\",\"partition\":1,\"log_start_offset\":0,\"new_log_start_offset\":5,\
                    \"removed_offsets\":5}\n0\n\
                    a\t0\t95\t100\nb\t0\t95\t100\nc\t0\t0\t0\nc\t1\t5\t10\n\
                    topic\tpartition\tlog_start_offset\tnew_log_start_offset\tremoved_offsets\n\
                    c\t1\t5\t7\t2\n";
    assert_eq!(out, expected);
}

#[test]
fn nothing_is_removed_without_consent() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
seq 10 | mq-produce -q t
mq-topics trim t --to 4 < /dev/null 2> err; echo $?; grep -c 'must be confirmed' err; grep -c -- --yes err
mq-topics trim t --to 4 --dry-run --format tsv; echo $?
mq-topics offsets t --format tsv; grep -o 'format_version.: .' $MQ_STORE/store.json
# Where there is nothing to remove, there is no question.
mq-topics trim t --to start < /dev/null 2> err; echo $?; cat err
grep -o 'format_version.: .' $MQ_STORE/store.json
mq-topics trim t --to 4 -y -q
mq-topics trim t --to 4 < /dev/null 2> err; echo $?; cat err
mq-topics trim t --to 3 < /dev/null 2> err; echo $?; cat err
mq-topics trim t --to 3 --dry-run --format json 2> err; echo $?; cat err
mq-topics offsets t --format tsv
",
    );
    let nothing = "0\nmq-topics: nothing to remove: no log starts below that point\n";
    let expected = format!(
        "2\n1\n1\nt\t0\t0\t4\t4\n0\nt\t0\t0\t10\nformat_version\": 1\n{nothing}format_version\": 1\n\
         {nothing}{nothing}{nothing}t\t0\t4\t10\n"
    );
    assert_eq!(out, expected);
}

#[test]
fn a_person_is_asked() {
    for (answer, status, start) in [("y", 0, 4), ("n", 1, 0)] {
        let shell = Shell::new();
        let done = bash(
            &shell,
            &format!(
                r#"
command -v script > /dev/null || exit 42
seq 10 | mq-produce -q t
(sleep 0.5; echo {answer}; sleep 1) | script -qec 'mq-topics trim t --to 4' /dev/null > out; echo $?
grep -c 'remove 4 offsets of t:0?' out; grep -c 'NEW LOG START\|NEW START' out
mq-topics offsets t --format tsv | cut -f 3
"#
            ),
        );
        if done.status == 42 {
            assert!(std::env::var_os("CI").is_none(), "CI needs script");
            println!("a person is asked: skipped: there is no script");
            return;
        }
        assert_eq!(
            done.text(),
            format!("{status}\n1\n1\n{start}\n"),
            "{}",
            done.err
        );
    }
}

#[test]
fn a_time_is_the_first_record_that_is_not_older() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
for day in 1 2 3; do seq 5 | mq-produce -q --timestamp 2026-01-0${day}T12:00Z t; done
mq-topics trim t --to @2026-01-02T12:00Z --yes -q; mq-topics offsets t --format tsv
mq-topics trim t --to @2026-01-01 --yes -q; mq-topics offsets t --format tsv
mq-topics trim t --to @2026-01-03 --yes -q; mq-topics offsets t --format tsv
mq-topics offsets t --at @2026-01-02 --format tsv
mq-topics trim t --to @2027-01-01 --yes -q; mq-topics offsets t --format tsv
",
    );
    assert_eq!(
        out,
        "t\t0\t5\t15\nt\t0\t5\t15\nt\t0\t10\t15\nt\t0\t10\nt\t0\t15\t15\n"
    );
}

#[test]
fn a_trim_waits_for_every_in_sync_replica() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r"{TWO_BROKERS}
mq-topics create -q t --assign 1:2 -c segment.bytes=1024
for n in $(seq 40); do printf '%0100d\n' $n | mq-produce t; done
mq-broker health --wait --timeout 20s -q
mq-topics trim t --to 20 --yes; echo $?
# At once, without a wait of the test's own.
mq-consume -e --replica 2 -f '%o\n' t | head -n 1
ls $MQ_STORE/brokers/[12]/logs/t-0/*.log | wc -l
kill -STOP $(cat pid2)
mq-topics trim t --to 30 --yes --timeout 300ms 2> err; echo $?
grep -c 't:0: broker 2$' err
mq-consume -e -f '%o\n' t | head -n 1
# The same command waits again; it has nothing to ask.
mq-topics trim t --to 30 --timeout 300ms < /dev/null 2> err; echo $?
grep -c 't:0: broker 2$' err
# A signal ends the wait; the leader keeps the start.
mq-topics trim t --to 35 --yes 2> err & trim=$!
until mq-topics offsets t --format tsv | grep -q '35.40$'; do sleep 0.05; done; sleep 0.3
kill -TERM $trim; wait $trim; echo $?; grep -c 'interrupted before every in-sync replica' err
kill -CONT $(cat pid2)
# A point below the start stands for the start.
mq-topics trim t --to 30 -q < /dev/null; echo $?
mq-consume -e --replica 2 -f '%o\n' t | head -n 1
mq-topics verify --deep -q t > out; echo $?
"
        ),
    );
    let logs = out.lines().nth(2).expect("a count").to_owned();
    let expected = format!("0\n20\n{logs}\n75\n1\n30\n75\n1\n143\n1\n0\n35\n0\n");
    assert_eq!(out, expected);
    // Five records to a segment: a trim to 20 leaves less than half of 2 times 8.
    assert!(logs.parse::<u32>().expect("a count") <= 10, "{logs}");
}

#[test]
fn a_follower_without_a_daemon_is_trimmed_too() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r"{TWO_BROKERS}
mq-topics create -q t --assign 1:2
seq 40 | mq-produce t
mq-broker health --wait --timeout 20s -q
kill -9 $(cat pid1 pid2); wait
mq-topics trim t --to 20 --yes --timeout 10s -q; echo $?
mq-topics offsets t --format tsv
mq-consume -e --replica 2 -f '%o\n' t | head -n 1
"
        ),
    );
    assert_eq!(out, "0\nt\t0\t20\t40\n20\n");
}

#[test]
fn a_signal_ends_it_between_partitions() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
mq-topics create -q t -p 300; seq 30000 | mq-produce t
mq-topics trim t --to 5 --yes > out 2> err & trim=$!
until [ $(mq-topics offsets t --format tsv | awk '$3 == 5' | wc -l) -gt 3 ]; do kill -0 $trim || exit 9; done
kill -TERM $trim; wait $trim; echo $?
grep -c 'interrupted after [0-9]* of 300 partitions' err
grep -c 'removed [0-9]* offsets of t:0, t:1' err
mq-topics verify --deep -q t > out; echo $?
mq-topics trim t --to 5 --yes -q; echo $?
mq-topics offsets t --format tsv | awk '$3 == 5' | wc -l
",
    );
    assert_eq!(out, "143\n1\n1\n0\n0\n300\n");
}
