//! Configs that change while everything runs: each is in force in every open producer, follower, sync
//! and reader from its next look at the topic file on.

use std::time::{Duration, Instant};

use crate::cli::{Running, Shell};
use crate::scripts::{Page, TWO_BROKERS, bash_ok, can, page};

/// An open producer that is fed by hand, and an open reader; `line TEXT` waits for its acknowledgement.
const AT_WORK: &str = r#"
mkfifo fifo; mq-produce -z zstd --timeout 20s -o '%o\n' t < fifo > acks 2> producer & producer=$!
exec 9> fifo
mq-consume -f '%S\n' t 9>&- > shown 2> reader & reader=$!
sent=0
acked() { for i in $(seq 400); do [ $(wc -l < acks) = $sent ] && return; sleep 0.05; done; cat producer >&2; exit 3; }
line() { sent=$((sent + 1)); echo "$1" >&9; acked; }
leader=$MQ_STORE/brokers/1/logs/t-0; follower=$MQ_STORE/brokers/2/logs/t-0
# The end and the durable offset of the newer copy of a page.
ends() { python3 - "$1/partition.state" <<'PY'
import struct, sys
raw = open(sys.argv[1], 'rb').read()
at = max(0, 4096, key=lambda at: struct.unpack_from('<Q', raw, at + 8)[0])
print(*(struct.unpack_from('<q', raw, at + field)[0] for field in (168, 232)))
PY
}
"#;

fn altered(create: &str, steps: &str) -> String {
    let shell = Shell::new();
    let script = format!(
        r"{TWO_BROKERS}
mq-topics create -q t --assign 1:2 {create}
{AT_WORK}
line first
{steps}
exec 9>&-; wait $producer || {{ cat producer >&2; exit 4; }}
for i in $(seq 100); do [ $(wc -l < shown) = $sent ] && break; sleep 0.05; done
kill $reader; wait $reader; cat reader >&2
[ $(wc -l < shown) = $sent ] || exit 5
"
    );
    bash_ok(&shell, &script)
}

#[test]
fn segment_bytes_reaches_an_open_writer_and_follower() {
    let out = altered(
        "-c flush.messages=never",
        r"
mq-topics alter -q t -c segment.bytes=1024
for i in $(seq 30); do line 'a line of some length, so that there are some segments afterwards'; done
ls $leader | grep -c '[.]log$'; ls $follower | grep -c '[.]log$'
",
    );
    let counts: Vec<u32> = out.lines().map(|n| n.parse().expect("a count")).collect();
    assert!(
        counts.iter().all(|n| *n > 2) && counts[0] == counts[1],
        "{out}"
    );
}

#[test]
fn flush_messages_reaches_open_syncs_on_both_replicas() {
    if !can("flush.messages", &["python3"], false) {
        return;
    }
    let out = altered(
        "-c flush.messages=never",
        r#"
line second
mq-topics alter -q t -c flush.messages=1
for i in 1 2 3; do
  line more
  for replica in $leader $follower; do set -- $(ends $replica); [ $1 = $2 ] || echo "$replica: $1 $2"; done
done
mq-topics alter -q t -c flush.messages=never
for i in 1 2 3; do line unsynced; done
set -- $(ends $leader); [ $1 -gt $2 ] && echo unsynced
"#,
    );
    assert_eq!(out, "unsynced\n");
}

#[test]
fn max_message_bytes_reaches_an_open_reader() {
    // Compressed, the record fits either way: it is the reader that allows what it decompresses to.
    let out = altered(
        "-c max.message.bytes=2000",
        r#"
mq-topics alter -q t -c max.message.bytes=40000000
line "$(head -c 100000 /dev/zero | tr '\0' x)"
for i in $(seq 100); do [ $(wc -l < shown) = $sent ] && break; sleep 0.05; done
tail -n 1 shown
"#,
    );
    assert_eq!(out, "100000\n");
}

#[test]
fn min_insync_replicas_reaches_an_open_producer() {
    let out = altered(
        "",
        r"
mq-topics alter -q t -c min.insync.replicas=2
kill -9 $(cat pid2)
echo waits >&9; sent=$((sent + 1)); sleep 1.5
wc -l < acks
mq-broker start --id 2 > b2 2>&1 9>&- &
acked; wc -l < acks
",
    );
    assert_eq!(out, "1\n2\n");
}

/// Feeds a line to an open producer that tells the offsets; waits until it is acknowledged.
fn feed(producer: &mut Running, offset: usize) {
    producer.feed(format!("r{offset}\n").as_bytes());
    producer.says(&format!("<{offset}>"));
}

/// The page of a partition once it is as wanted, or as it is after 5 s.
fn page_once(shell: &Shell, replica: &str, wanted: impl Fn(&Page) -> bool) -> Page {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let now = page(&shell.logs().join(replica));
        if wanted(&now) || Instant::now() > until {
            return now;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn flush_ms_reaches_a_sync_that_waits() {
    let shell = Shell::new();
    shell.topics(&[
        "create",
        "-q",
        "t",
        "-c",
        "flush.messages=never",
        "-c",
        "flush.ms=3600000",
    ]);
    let mut producer = shell.start("mq-produce", &["-o", "<%o>", "t"]);
    feed(&mut producer, 0);
    page_once(&shell, "t-0", |now| now.durable == 1);
    // What waits for the next sync when the interval is changed, and what comes then.
    feed(&mut producer, 1);
    shell.topics(&["alter", "-q", "t", "-c", "flush.ms=500"]);
    let now = page(&shell.logs().join("t-0"));
    assert_eq!(
        (now.end, now.durable),
        (2, 2),
        "alter leaves nothing unsynced"
    );
    feed(&mut producer, 2);
    let now = page_once(&shell, "t-0", |now| now.durable == 3);
    assert_eq!((now.end, now.durable), (3, 3));
    shell.topics(&["alter", "-q", "t", "-c", "flush.ms=3600000"]);
    feed(&mut producer, 3);
    std::thread::sleep(Duration::from_millis(1500));
    feed(&mut producer, 4);
    shell.topics(&[
        "alter",
        "-q",
        "t",
        "-c",
        "flush.messages=1",
        "--unset",
        "flush.ms",
    ]);
    let asked = Instant::now();
    feed(&mut producer, 5);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    let now = page(&shell.logs().join("t-0"));
    assert_eq!((now.end, now.durable, now.high_watermark), (6, 6, 6));
}

#[test]
fn a_count_of_flush_messages_waits_for_no_flush_ms() {
    let shell = Shell::new();
    shell.topics(&[
        "create",
        "-q",
        "t",
        "-c",
        "flush.messages=2",
        "-c",
        "flush.ms=3600000",
    ]);
    let mut producer = shell.start("mq-produce", &["-o", "<%o>", "t"]);
    for offset in 0..8 {
        feed(&mut producer, offset);
    }
    let now = page_once(&shell, "t-0", |now| now.end - now.durable < 2);
    assert!(now.end - now.durable < 2, "{} of {}", now.durable, now.end);
}

#[test]
fn flush_ms_counts_for_each_partition() {
    let shell = Shell::new();
    let flush = ["-c", "flush.messages=never", "-c", "flush.ms=1500"];
    shell.topics(&[&["create", "-q", "t", "-p", "6"], &flush[..]].concat());
    let mut producer = shell.start("mq-produce", &["-K", ":", "-o", "%p\n", "t"]);
    let lines: String = (0..60).map(|n| format!("{n}:{n}\n")).collect();
    let mut sent = 0;
    // The second round waits for the syncs of the first.
    for _ in 0..2 {
        producer.feed(lines.as_bytes());
        sent += 60;
        let acked = |out: &[u8]| out.iter().filter(|byte| **byte == b'\n').count() == sent;
        assert!(producer.out.until(crate::cli::TIMEOUT, acked));
        std::thread::sleep(Duration::from_millis(200));
    }
    let until = Instant::now() + Duration::from_millis(2800);
    let mut late = Vec::new();
    for partition in 0..6 {
        let replica = shell.logs().join(format!("t-{partition}"));
        while page(&replica).durable < page(&replica).end && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        if page(&replica).durable < page(&replica).end {
            late.push(partition);
        }
    }
    assert!(late.is_empty(), "{late:?}");
}

#[test]
fn the_same_change_once_more_finishes_one_that_was_killed() {
    if !can("killed alter", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    bash_ok(
        &shell,
        r"
mq-topics create -q t -p 2 -c flush.messages=never; seq 6 | mq-produce t
strace -f -qq -o trace -P $MQ_STORE/brokers/0/logs/t-0/00000000000000000000.log -e trace=fdatasync \
  -e inject=fdatasync:error=EIO:signal=KILL:when=1 mq-topics alter t -c flush.messages=1
[ $? = 137 ] || exit 9
mq-topics alter -q t -c flush.messages=1
",
    );
    for replica in ["t-0", "t-1"] {
        let now = page(&shell.logs().join(replica));
        assert_eq!((now.end, now.durable), (3, 3), "{replica}");
    }
}
