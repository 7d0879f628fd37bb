//! `retention.ms` and `retention.bytes`: who removes what, when, and who is asked first.

use std::time::Duration;

use crate::cli::{Shell, TIMEOUT};
use crate::daemons::{brokers, eventually, healthy};
use crate::scripts::{bash, bash_ok};

fn text(shell: &Shell, tool: &str, args: &[&str]) -> String {
    String::from_utf8(shell.ok(tool, args, b"")).expect("text")
}

fn log_start(shell: &Shell, tp: &str) -> i64 {
    let rows = text(shell, "mq-topics", &["offsets", tp, "--format", "tsv"]);
    let start = rows.split('\t').nth(2).expect("a column");
    start.parse().expect("a number")
}

fn cleanup(shell: &Shell, topic: &str) -> serde_json::Value {
    let text = text(shell, "mq-topics", &["describe", topic, "--format", "json"]);
    let topic: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let partition = &topic["partitions"][0];
    let last = partition
        .as_object()
        .and_then(|fields| fields.keys().next_back());
    assert_eq!(last.map(String::as_str), Some("cleanup"));
    partition["cleanup"].clone()
}

#[test]
fn by_size_a_log_keeps_its_limit_and_two_segments_at_most() {
    let shell = Shell::new();
    shell.topics(&[
        "create",
        "t",
        "-c",
        "segment.bytes=10240",
        "-c",
        "retention.bytes=50000",
    ]);
    let script = r"
dir=$MQ_STORE/brokers/0/logs/t-0
for writer in 1 2 3 4 5 6 7 8; do
  (for round in 1 2 3 4 5; do
    seq -f '%0.f of writer '$writer 2000 | mq-produce --batch-size 4KiB t || touch failed
  done) &
done
wait
test ! -e failed || exit 1
cat $dir/*.log | wc -c
mq-topics verify --deep -q t > /dev/null; echo $?
mq-consume -q -e -f '%o\n' t | awk 'NR > 1 && $1 != before + 1 {exit 1} {before = $1} END {print before}'
mq-consume -e -f '%o\n' t 2> err | head -n 1; cat err
";
    let out = bash_ok(&shell, script);
    let lines: Vec<&str> = out.lines().collect();
    let bytes: u64 = lines[0].parse().expect("bytes");
    assert!((50_000..=70_000).contains(&bytes), "{out}");
    assert_eq!(lines[1..3], ["0", "79999"], "{out}");
    let start = log_start(&shell, "t");
    assert!(start > 70_000, "{start}");
    let described = text(&shell, "mq-topics", &["describe", "t"]);
    let most = "takes up to 69 KiB: 1 log of retention.bytes and two segments";
    assert!(described.contains(most), "{described}");
    let cleanup = cleanup(&shell, "t");
    assert!(cleanup["next_removal_offset"].is_null() && cleanup["last_pass"].is_i64());
}

#[test]
fn without_a_daemon_old_records_go_with_the_next_append() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
mq-topics create t -c retention.ms=1500 2> /dev/null
seq 100 | mq-produce t
mq-topics describe t --format json | grep -o 'next_removal_offset.:[^,]*'
mq-consume -e t | wc -l
sleep 2
# A reader removes nothing.
mq-consume -e t | wc -l
echo new | mq-produce t
mq-consume -e -f '%o %v\n' t
mq-topics offsets t --format tsv
mq-topics verify --deep -q t > /dev/null; echo $?
",
    );
    let expected = "next_removal_offset\":100\n100\n100\n100 new\nt\t0\t100\t101\n0\n";
    assert_eq!(out, expected);
}

#[test]
fn a_daemon_removes_what_is_old_of_an_idle_topic() {
    let shell = Shell::new();
    bash_ok(
        &shell,
        "mq-topics create t keeps -c retention.ms=2000 2> /dev/null
         mq-topics alter keeps --unset retention.ms",
    );
    // It finds an empty log first.
    let daemon = brokers(&shell, &[0]);
    bash_ok(
        &shell,
        "sleep 0.5; seq 100 | tee >(mq-produce keeps) | mq-produce t; sleep 0.2",
    );
    eventually(TIMEOUT, "the old records go", || {
        log_start(&shell, "t") == 100
    });
    assert_eq!(log_start(&shell, "keeps"), 0);
    assert_eq!(shell.consume_text(&["-e", "t"]), "");
    // The offsets go on, and the daemon does, too.
    bash_ok(&shell, "echo new | mq-produce t");
    assert_eq!(
        shell.consume_text(&["-e", "-f", "%o %v\\n", "t"]),
        "100 new\n"
    );
    drop(daemon);
}

#[test]
fn followers_take_the_log_start_of_retention() {
    let shell = Shell::new();
    let daemons = brokers(&shell, &[1, 2]);
    bash_ok(
        &shell,
        "mq-topics create -q t -p 1 --replication-factor 2 -c segment.bytes=2000 -c retention.bytes=5000
         for n in 1 2 3 4 5; do seq 300 | mq-produce t || exit 1; done",
    );
    healthy(&shell);
    let bases = |broker: u32| {
        let dir = shell.store().join(format!("brokers/{broker}/logs/t-0"));
        let names = std::fs::read_dir(dir).expect("a replica").flatten();
        let mut logs: Vec<String> = names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(".log"))
            .collect();
        logs.sort_unstable();
        logs
    };
    assert!(log_start(&shell, "t") > 0);
    eventually(Duration::from_secs(20), "both have the same files", || {
        bases(1) == bases(2) && bases(1).len() < 6
    });
    drop(daemons);
}

#[test]
fn an_alter_by_which_records_fall_due_asks() {
    let shell = Shell::new();
    let out = bash(
        &shell,
        r"
mq-topics create t -c segment.bytes=1024 2> /dev/null
seq 500 | mq-produce --batch-size 1KiB t
mq-topics alter t -c retention.bytes=1000 < /dev/null 2> err; echo $?; cat err
mq-topics alter t -c retention.bytes=1000 --dry-run --format tsv; echo $?
mq-topics describe t --format json | grep -o 'retention.bytes.:{.value.:[^,]*'
grep -o 'format_version.: .' $MQ_STORE/store.json
mq-topics offsets t --format tsv
# A creation that is refused changes nothing.
mq-topics create t -c retention.ms=5 2> /dev/null; grep -o 'format_version.: .' $MQ_STORE/store.json
# What removes nothing needs no consent.
mq-topics alter t -c retention.bytes=1000000 < /dev/null; echo $?
mq-topics alter t -c retention.bytes=1000 --yes 2> err; echo $?; cat err
grep -o 'format_version.: .' $MQ_STORE/store.json
mq-topics describe t --format tsv | cut -f 7,13
# What is due already is not asked for again.
mq-topics alter t -c retention.bytes=2000 -c retention.ms=1000000 < /dev/null; echo $?
mq-topics alter t --unset retention.bytes < /dev/null; echo $?
",
    );
    assert_eq!(out.status, 0, "{}", out.err);
    let text = out.text();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[4].split_whitespace().last().expect("an offset");
    let past = end.parse::<i64>().expect("a number") + 1;
    let expected = format!(
        "2\nmq-topics: removing records must be confirmed, and standard input is not a terminal\n           \
         add --yes, or look at the plan with --dry-run\n\
         t\tset\tretention.bytes=1000\nt\tremove\tpartition 0: offsets 0 to {end}\n0\n\
         retention.bytes\":{{\"value\":\"-1\"\nformat_version\": 1\nt\t0\t0\t500\n\
         format_version\": 1\n0\n0\n\
         mq-topics: they are removed with the next append to their partition, or by the broker's daemon\n\
         format_version\": 2\n0\t{past}\n0\n0\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn a_record_too_far_from_the_present_is_refused() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r#"
now=$(date +%s%3N)
stamped() { printf '{"value":"%s","timestamp":%s}\n' $1 $2 | mq-produce -q -J $3; }
mq-topics create week -c retention.ms=604800000 2> /dev/null
mq-topics create free; mq-topics create past -c message.timestamp.before.max.ms=60000
stamped soon $((now + 1800000)) week; echo $?
stamped far $((now + 7200000)) week 2> err; echo $?; grep -c 'INVALID_TIMESTAMP.*message.timestamp.after.max.ms is 3600000' err
stamped far $((now + 7200000)) free; echo $?
stamped old $((now - 30000)) past; echo $?
(printf '{"value":"a"}\n{"value":"b","timestamp":%s}\n' $((now - 3600000))) | mq-produce -q -J past 2> err; echo $?; grep -c 'before.max.ms is 60000' err
mq-topics alter week -c message.timestamp.after.max.ms=never; stamped far $((now + 7200000)) week; echo $?
for t in week free past; do mq-consume -e $t; done
# A time in the future keeps its segment, and is named.
mq-topics describe week 2>&1 > /dev/null | sed 's/(.*)//'
"#,
    );
    let expected = "0\n1\n1\n0\n0\n1\n1\n0\nsoon\nfar\nfar\nold\nmq-topics: warning: week:0: \
                    00000000000000000000.log holds a record of the future : until then retention.ms keeps it \
                    and what follows\n";
    assert_eq!(out, expected);
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    let shell = Shell::new();
    let out = bash(
        &shell,
        r"
for config in retention.ms=-2 retention.ms=week retention.bytes=1GiB cleanup.policy=shrink \
              file.delete.delay.ms=1 message.timestamp.after.max.ms=-1; do
  mq-topics create t -c $config 2> err; echo $?; tail -n 1 err
done
ls $MQ_STORE 2>&1 | wc -l
mq-topics create t -c file.delete.delay.ms=60000 -c cleanup.policy=delete 2> /dev/null; echo $?
",
    );
    let expected = "2\n           retention.ms takes 0 or more ms, or -1: no limit\n\
                    2\n           retention.ms takes 0 or more ms, or -1: no limit\n\
                    2\n           retention.bytes takes 0 or more bytes, or -1: no limit\n\
                    2\n           cleanup.policy takes delete, compact or compact,delete\n\
                    2\n           file.delete.delay.ms takes 60000 only, without effect: files are removed at once\n\
                    2\n           message.timestamp.after.max.ms takes 0 or more ms, or 'never'\n\
                    1\n0\n";
    assert_eq!(out.text(), expected, "{}", out.err);
}

#[test]
fn readers_name_what_retention_removed() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r"
mq-topics create t -c segment.bytes=1024 -c retention.bytes=2000 2> /dev/null
seq 100 | mq-produce t
mq-consume -q -g g -c 10 -e t > /dev/null
for n in 1 2 3 4 5; do seq 200 | mq-produce --batch-size 1KiB t; done
mq-consume -g g -c 1 -e -f '%o\n' t > out 2> err; cat err
",
    );
    let start = log_start(&shell, "t");
    let line = format!("group 'g' left t:0 at offset 10, which is gone: going on from {start}\n");
    assert!(out.ends_with(&line), "{out}");
}
