//! Configs that change while everything runs: each is in force in every open producer, follower, sync
//! and reader from its next look at the topic file on.

use crate::cli::Shell;
use crate::scripts::{TWO_BROKERS, bash_ok};

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
    if !crate::scripts::can("flush.messages", &["python3"], false) {
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
