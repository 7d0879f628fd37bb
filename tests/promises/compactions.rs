//! `mq-topics compact`: what is left, what is refused, and what goes on meanwhile.

use crate::cli::Shell;
use crate::scripts::{TWO_BROKERS, bash, bash_ok};

/// Batches of eight keys each, some twelve to a segment.
const USERS: &str = r#"
dir=$MQ_STORE/brokers/0/logs/u-0
batch() { for k in $(seq 8); do printf 'k%s\tv%s-%s-%040d\n' $k $1 $k 0; done; }
write() { for n in $(seq $1 $2); do batch $n | mq-produce -q -K '\t' ${3:-u} || exit 9; done; }
forget() { printf "$1\t\n" | mq-produce -q -K '\t' --null-marker '' ${2:-u}; }
latest() { mq-consume -q -e -f '%o %k %v\n' "$@" | sed 's/-0*$//'; }
"#;

#[test]
fn the_last_record_of_each_key_is_left() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{USERS}
mq-topics create -q u -c segment.bytes=2048
grep -o 'format_version.: .' $MQ_STORE/store.json
write 1 6; forget k3
# From now on producers that roll compact it, too.
mq-topics alter u -c cleanup.policy=compact
mq-topics compact u 2> err; echo $?; cut -d , -f 1 err
grep -o 'format_version.: .' $MQ_STORE/store.json
latest u
mq-topics offsets u --format tsv
mq-topics verify --deep -q u > out; echo $?
# Each kind of read passes the batches without records.
latest -o 30 u | head -n 1; latest -o 0:41 u; latest -o -3 u | head -n 1; latest -o end u; latest -c 1 u
mq-topics offsets u --at @2020-01-01 --format tsv; mq-topics offsets u --at start --format tsv
mq-consume -q -e -g g u | wc -l; mq-groups describe g --format tsv | cut -f 4,6,7
echo 'k9 next' | mq-produce -q -K ' ' -o '%o\n' u
mq-consume -q -e -g g -f '%o\n' u
# Nothing is left to remove; the policy is what allows it.
mq-topics compact u 2> err; echo $?; cut -d , -f 1 err
mq-topics compact -q u > out 2>&1; echo $?; cat out
ls $dir | grep -c cleaned$ || true
"#
        ),
    );
    let left = "40 k1 v6-1\n41 k2 v6-2\n43 k4 v6-4\n44 k5 v6-5\n45 k6 v6-6\n46 k7 v6-7\n47 k8 v6-8\n48 k3 \n";
    let expected = format!(
        "format_version\": 1\n0\nmq-topics: compacted 1 partition: 41 records of 49 removed\n\
         format_version\": 2\n{left}u\t0\t0\t49\n0\n40 k1 v6-1\n40 k1 v6-1\n46 k7 v6-7\n40 k1 v6-1\n\
         u\t0\t40\nu\t0\t0\n8\n49\t49\t0\n49\n49\n0\n\
         mq-topics: compacted 1 partition: 0 records of 9 removed\n0\n0\n"
    );
    assert_eq!(out, expected);
}

#[test]
fn what_a_policy_does_not_allow_is_refused() {
    let shell = Shell::new();
    let out = bash(
        &shell,
        r#"
mq-topics create -q d -c cleanup.policy=delete; mq-topics create -q c -c cleanup.policy=compact
seq 3 | mq-produce -q d
mq-topics compact d; echo $?; mq-topics compact d c; echo $?; mq-topics compact none; echo $?
mq-topics trim c --to end --yes; echo $?
# A record without a key, by its line; those before it are stored.
printf 'a\tb\nplain\n' | mq-produce -q -K '\t' --on-missing-key null c; echo $?
seq 2 | mq-produce -q c; echo $?
mq-consume -q -e -f '%k %v\n' c
# One that was written before the policy stays, and is counted.
mq-topics alter d -q -c cleanup.policy=compact
mq-topics compact d; echo $?; mq-consume -q -e d | wc -l
"#,
    );
    let text = format!("{}{}", out.text(), out.err);
    let says = |what: &str, times: usize| {
        assert_eq!(text.matches(what).count(), times, "{what}: {text}");
    };
    says("POLICY_VIOLATION: topic d is not compacted", 2);
    says("'mq-topics alter d -c cleanup.policy=compact'", 2);
    says("POLICY_VIOLATION: topic c is compacted only", 1);
    says("'mq-topics alter c -c cleanup.policy=compact,delete'", 1);
    says(
        "stopped at line 2 of standard input (1 record is acknowledged): INVALID_RECORD",
        1,
    );
    says(
        "stopped at line 1 of standard input (no record is acknowledged): INVALID_RECORD",
        1,
    );
    says("3 records without a key stay", 1);
    assert_eq!(out.text(), "1\n1\n1\n1\n1\n1\na b\n0\n3\n");
}

/// A batch that a running producer has built before an `alter` is refused at its append.
#[test]
fn an_altered_policy_holds_for_a_producer_that_runs() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r#"
mq-topics create -q t
mkfifo in; mq-produce -q t < in 2> err & exec 3> in
echo one >&3; until [ "$(mq-consume -q -e t)" = one ]; do sleep 0.05; done
mq-topics alter -q t -c cleanup.policy=compact
echo two >&3; exec 3>&-; wait $!; echo $?
grep -c INVALID_RECORD err; mq-consume -q -e t
"#,
    );
    assert_eq!(out, "1\n1\none\n");
}

/// Readers and producers that commit each record go on while segments are replaced and joined.
#[test]
fn reads_and_appends_go_on_meanwhile() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r#"
mq-topics create -q u -c cleanup.policy=compact -c segment.bytes=1024 -c delete.retention.ms=0
producer() { for n in $(seq 60); do printf "$1-%s\t%040d\n" $((n % 7)) $n | mq-produce -q -K '\t' u || echo "producer $1: $?"; done; }
reader() { while [ ! -e stop ]; do mq-consume -q -e u > read-$1 || echo "reader $1: $?"; done; }
for id in 1 2 3; do producer $id & producers="$producers $!"; done
for id in 1 2; do reader $id & readers="$readers $!"; done
mq-consume -q -f '%o\n' u > followed 2> follower-err & follower=$!
passes=0
while kill -0 $producers 2> /dev/null; do
  mq-topics compact -q u 2> pass-err; status=$?; passes=$((passes + 1))
  [ $status = 0 ] || { echo "pass: $status"; cat pass-err; }
done
wait $producers; touch stop; wait $readers
until [ "$(tail -n 1 followed)" = 179 ]; do sleep 0.05; kill -0 $follower || break; done
kill -TERM $follower; wait $follower; echo "follower $?"; cat follower-err
[ $passes -gt 3 ] || echo "$passes passes"
sort -nc followed && echo in order
mq-topics compact -q u; mq-consume -q -e -f '%k\n' u | sort | uniq -d; mq-consume -q -e u | wc -l
mq-topics verify --deep -q u > out; echo $?
"#,
    );
    assert_eq!(out, "follower 143\nin order\n21\n0\n");
}

#[test]
fn a_follower_that_was_away_comes_back() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{USERS}{TWO_BROKERS}
mq-topics create -q u --assign 1:2 -c cleanup.policy=compact -c segment.bytes=1024 -c replica.lag.time.max.ms=300
write 1 3
mq-broker health --wait --timeout 20s -q
kill -9 $(cat pid2); wait $(cat pid2)
# What it has ends within what a later pass joins.
write 4 8
mq-topics compact -q u; mq-topics compact -q u; mq-topics compact -q u
mq-topics dump u --format tsv | head -n 1 | cut -f 5-7
uuid() {{ grep replica $MQ_STORE/brokers/2/logs/u-0/partition.metadata; }}
before=$(uuid)
mq-broker start --id 2 > b2 2>&1 & echo $! > pid2
mq-broker health --wait --timeout 20s -q; echo $?
# It has older values that the leader has not.
last() {{ latest --replica $1 u | awk '{{ last[$2] = $0 }} END {{ for (key in last) print last[key] }}' | sort; }}
last 1 > one; last 2 > two; cmp one two && wc -l < two
[ "$before" = "$(uuid)" ] && echo the same replica
mq-topics verify --deep -q u > out; echo $?
"#
        ),
    );
    assert_eq!(out, "0\t55\t0\n0\n8\nthe same replica\n0\n");
}

/// A deletion that is gone by then would leave its value there for ever.
#[test]
fn a_follower_that_missed_deletions_is_replaced() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{USERS}{TWO_BROKERS}
mq-topics create -q u --assign 1:2 -c cleanup.policy=compact -c segment.bytes=1024 -c replica.lag.time.max.ms=300 -c delete.retention.ms=0
write 1 1
mq-broker health --wait --timeout 20s -q
kill -9 $(cat pid2); wait $(cat pid2)
forget k3; forget k5; write 9 9 | cat > /dev/null; forget k7
mq-topics compact -q u; mq-topics compact -q u
latest --replica 1 u | cut -d ' ' -f 2 | tr '\n' ' '; echo
mq-broker start --id 2 > b2 2>&1 & echo $! > pid2
mq-broker health --wait --timeout 20s -q; echo $?
latest --replica 1 u > one; latest --replica 2 u > two; cmp one two && wc -l < two
# The one that was replaced leads: still nothing comes back.
kill -9 $(cat pid1); until latest u > three 2> /dev/null; do sleep 0.1; done; cmp one three && echo the same
cat $MQ_STORE/brokers/2/logs/u-0/deletions-offset-checkpoint | tail -n 1
"#
        ),
    );
    assert_eq!(out, "k1 k2 k3 k4 k5 k6 k8 \n0\n7\nthe same\nu 0 19\n");
}

/// A group that goes on below deletions that are gone is notified, once; a read from the start is not.
#[test]
fn a_group_that_missed_deletions_is_notified() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{USERS}
mq-topics create -q u -c cleanup.policy=compact -c segment.bytes=1024 -c delete.retention.ms=0
write 1 2; mq-consume -q -g g -o start -c 3 -f '%o\n' u
write 3 3; forget k1; forget k2; echo 'k9 last' | mq-produce -q -K ' ' u
mq-topics compact -q u; mq-topics compact -q u
mq-consume -e u 2> err | wc -l; grep -c deletions err || true
mq-consume -e -g g u 2> err | wc -l; grep -c 'u:0: deletions of keys below offset 26 were compacted away before they were read from offset 3 on' err
echo 'k9 more' | mq-produce -q -K ' ' u; mq-consume -e -g g u 2> err | wc -l; grep -c deletions err || true
"#
        ),
    );
    assert_eq!(out, "0\n1\n2\n7\n0\n7\n1\n1\n0\n");
}

#[test]
fn a_stopped_pass_blocks_compaction_only() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{USERS}
mq-topics create -q u -c cleanup.policy=compact -c segment.bytes=2048
write 1 4; mq-topics compact -q u
exec 9<> $dir/compact.lock; flock -n 9 || exit 8
mq-topics compact u 2> err; echo $?; grep -c 'another process compacts it' err
mq-broker locks --format tsv | cut -f 1,2
write 5 5; latest u | wc -l
"#
        ),
    );
    assert_eq!(out, "75\n1\ncompaction\tu:0\n16\n");
}

/// Without daemons the command compacts each replica; they go on afterwards.
#[test]
fn each_replica_is_compacted_without_its_daemon() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{USERS}{TWO_BROKERS}
mq-topics create -q u --assign 1:2 -c cleanup.policy=compact -c segment.bytes=1024
write 1 5; write 6 6
mq-broker health --wait --timeout 20s -q
kill -9 $(cat pid1 pid2); wait
mq-topics compact -q u; echo $?
for id in 1 2; do latest --replica $id u | wc -l; ls $MQ_STORE/brokers/$id/logs/u-0 | grep cleaner; done
for id in 1 2; do mq-broker start --id $id > b$id 2>&1 & echo $! > pid$id; done
mq-broker health --wait --timeout 20s -q; write 7 7
for id in 1 2; do latest --replica $id u | tail -n 1; done
mq-topics verify --deep -q u > out; echo $?
"#
        ),
    );
    let each = "8\ncleaner-offset-checkpoint\n";
    let expected = format!("0\n{each}{each}55 k8 v7-8\n55 k8 v7-8\n0\n");
    assert_eq!(out, expected);
}

/// A replica that was compacted by records that it loses has lost the values before them, too.
#[test]
fn a_replica_cut_below_what_was_compacted_is_replaced() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        &format!(
            r#"{USERS}{TWO_BROKERS}
mq-topics create -q u --assign 1:2 -c cleanup.policy=compact -c segment.bytes=1024 -c replica.lag.time.max.ms=300
write 1 2
mq-broker health --wait --timeout 20s -q
kill -9 $(cat pid2); wait $(cat pid2)
write 3 6; mq-topics compact -q u
uuid() {{ grep replica $MQ_STORE/brokers/1/logs/u-0/partition.metadata; }}
before=$(uuid)
# Its disk is away while the other one leads.
kill -9 $(cat pid1); wait $(cat pid1); mv $MQ_STORE/brokers/1/logs away
mq-broker start --id 2 > b2 2>&1 & echo $! > pid2
for try in $(seq 100); do mq-broker elect unclean u:0 --to 2 --yes > /dev/null 2> elect && break; sleep 0.1; done; [ $try -lt 100 ] || {{ cat elect; exit 7; }}
write 7 7; mv away $MQ_STORE/brokers/1/logs
mq-broker start --id 1 > b1 2>&1 & echo $! > pid1
mq-broker health --wait --timeout 20s -q; echo $?
latest --replica 1 u > one; latest --replica 2 u > two; cmp one two && tail -n 1 two
[ "$before" = "$(uuid)" ] || echo another replica
mq-topics verify --deep -q u > out; echo $?
"#
        ),
    );
    assert_eq!(out, "0\n23 k8 v7-8\nanother replica\n0\n");
}
