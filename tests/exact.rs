//! What goes in comes out: every byte, key, header and timestamp, in order, and nothing else. The
//! real tools on a real disk.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/tally.rs"]
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::{PATIENCE, Shell, by_partition};
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::store::{Replica, StoreDir};
use mq::types::{TopicName, TopicPartition};
use serde_json::{Value, json};
use tally::Tally;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

#[test]
fn lines_of_any_bytes() {
    let _tally = Tally::start();
    let long: Vec<u8> = (0..900 * 1024)
        .map(|n: u32| b'a' + (n % 26) as u8)
        .collect();
    let inputs: Vec<(&str, Vec<u8>, bool)> = vec![
        ("empty lines", b"\n\na\n\n".to_vec(), true),
        ("no final newline", b"a\nb".to_vec(), false),
        ("NUL", b"a\0b\n\0\n".to_vec(), true),
        (
            "invalid UTF-8",
            b"\xff\xfe\n\xc3\n\x80\x80\n".to_vec(),
            true,
        ),
        ("CRLF", b"a\r\nb\r\n\r\n".to_vec(), true),
        (
            "a long line",
            [long.as_slice(), b"\nafter\n"].concat(),
            true,
        ),
        ("nothing", b"".to_vec(), true),
    ];
    let shell = Shell::new();
    for codec in CODECS {
        for (n, (name, input, ended)) in inputs.iter().enumerate() {
            Tally::case();
            let topic = format!("{codec}-{n}");
            shell.produce(&["-z", codec, &topic], input);
            let mut expected = input.clone();
            if !ended {
                expected.push(b'\n');
            }
            let found = shell.consume(&["-e", &topic]);
            assert!(
                found == expected,
                "{name} with {codec}: {} bytes, not {}",
                found.len(),
                expected.len()
            );
        }
    }
}

#[test]
fn delimiters_and_keys_round_trip() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let cases: &[(&[&str], &[u8], &[&str])] = &[
        (&["-D", "||"], b"a\nb||c||", &["-D", "||"]),
        (
            &["-D", "\\x01\\0"],
            b"a\x01b\x01\0\x01\0",
            &["-D", "\\x01\\0"],
        ),
        (&["-0"], b"a\nb\0\0c\0", &["-0"]),
        (&["-K", "="], b"k=v\n=v\nk=\nk=a=b\n", &["-K", "="]),
        (
            &["-K", "::", "-D", ";"],
            b"k::v;::;a::b\nc;",
            &["-K", "::", "-D", ";"],
        ),
        (&["-f", "%k=%v\\n"], b"k=v\n=\na=b=c\n", &["-f", "%k=%v\\n"]),
        (
            &["-f", "%V{big32}%v"],
            b"\0\0\0\x03a\nb\0\0\0\0\0\0\0\x01\xff",
            &["-f", "%V{big32}%v"],
        ),
        (
            &["-f", "%k{hex} %v{base64}\\n"],
            b"00ff YQBi\n YQ==\n",
            &["-f", "%k{hex} %v{base64}\\n"],
        ),
        (
            &["-f", "%d %v{escape}\\n"],
            b"1700000000000 a\\0b\n",
            &["-f", "%d %v{escape}\\n"],
        ),
    ];
    for (n, (into, bytes, out)) in cases.iter().enumerate() {
        Tally::case();
        let topic = format!("t{n}");
        shell.produce(&[into, [topic.as_str()].as_slice()].concat(), bytes);
        let found = shell.consume(&[["-e", topic.as_str()].as_slice(), out].concat());
        assert_eq!(
            found,
            *bytes,
            "{into:?}: {:?}",
            String::from_utf8_lossy(&found)
        );
    }
    Tally::case();
    let whole = b"one\ntwo\0three".to_vec();
    std::fs::write(shell.dir().join("whole.bin"), &whole).expect("written");
    shell.produce(&["--whole", "whole", "whole.bin", "whole.bin"], b"");
    assert_eq!(
        shell.consume(&["-e", "-f", "%v", "whole"]),
        [whole.as_slice(), &whole].concat()
    );
    assert_eq!(shell.consume_text(&["-e", "-f", "%V ", "whole"]), "13 13 ");
}

#[test]
fn null_is_not_empty() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let values = |topic: &str| -> Vec<(Value, Value)> {
        shell
            .consume_text(&["-e", "-J", topic])
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .map(|mut v| (v["key"].take(), v["value"].take()))
            .collect()
    };
    Tally::case();
    shell.produce(&["plain"], b"\na\n");
    assert_eq!(
        values("plain"),
        [(Value::Null, json!("")), (Value::Null, json!("a"))]
    );
    Tally::case();
    shell.produce(&["-Z", "-K", ":", "tomb"], b"k:\nk:v\n:\n");
    assert_eq!(
        values("tomb"),
        [
            (json!("k"), Value::Null),
            (json!("k"), json!("v")),
            (json!(""), Value::Null)
        ]
    );
    Tally::case();
    shell.produce(
        &["--null-marker", "NIL", "-K", ":", "marked"],
        b"NIL:NIL\nNILs:\n",
    );
    assert_eq!(
        values("marked"),
        [(Value::Null, Value::Null), (json!("NILs"), json!(""))]
    );
    assert_eq!(
        shell.consume_text(&["-e", "-K", ":", "--null-marker", "NIL", "marked"]),
        "NIL:NIL\nNILs:\n"
    );
    Tally::case();
    let lines = concat!(
        r#"{"value":null}"#,
        "\n",
        r#"{"value":"","key":""}"#,
        "\n",
        r#"{"value":"v","headers":[["a","1"],["a",null],["","x"],["a",""]]}"#,
        "\n",
    );
    shell.produce(&["-J", "json"], lines.as_bytes());
    assert_eq!(
        values("json"),
        [
            (Value::Null, Value::Null),
            (json!(""), json!("")),
            (Value::Null, json!("v"))
        ]
    );
    let third: Value =
        serde_json::from_str(&shell.consume_text(&["-J", "-o", "2:3", "json"])).expect("JSON");
    assert_eq!(
        third["headers"],
        json!([["a", "1"], ["a", null], ["", "x"], ["a", ""]])
    );
    Tally::case();
    assert_eq!(
        shell.consume_text(&["-e", "--no-tombstones", "-f", "[%v]", "json"]),
        "[][v]"
    );
    shell.produce(&["--skip-empty", "skipped"], b"\na\n\nb\n");
    assert_eq!(shell.consume_text(&["-e", "skipped"]), "a\nb\n");
}

/// Records of every form, as envelopes, with their partitions.
fn mixed(partitions: i64) -> String {
    let mut lines = String::new();
    for n in 0..60_i64 {
        let key = match n % 4 {
            0 => Value::Null,
            1 => json!(""),
            2 => json!(format!("key {n}")),
            _ => json!({"base64": "/wAB"}),
        };
        let value = match n % 5 {
            0 => Value::Null,
            1 => json!(""),
            2 => json!({"base64": "gIH/AA=="}),
            3 => json!(format!("line\r\n\u{0}tab\t\u{1F600} {n}")),
            _ => json!("x".repeat(997 * n as usize)),
        };
        let headers = match n % 3 {
            0 => json!([]),
            1 => json!([["a", "1"], ["a", "2"], ["a", null]]),
            _ => json!([["", ""], ["bin", {"base64": "/w=="}], ["ü", "ß"]]),
        };
        let record = json!({
            "partition": n % partitions, "timestamp": 1_600_000_000_000 + (n * 7919) % 1000,
            "key": key, "value": value, "headers": headers,
        });
        lines.push_str(&format!("{record}\n"));
    }
    lines
}

#[test]
fn a_copy_is_equal_with_each_codec() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "a", "-p", "6", "-c", "max.message.bytes=2000000"]);
    shell.produce(&["-J", "--keep-partition", "a"], mixed(6).as_bytes());
    let bare = |topic: &str| -> BTreeMap<i64, Vec<Value>> {
        let mut found = by_partition(&shell.consume_text(&["-e", "-J", topic]));
        for (n, record) in found
            .values_mut()
            .flat_map(|records| records.iter_mut().enumerate())
        {
            assert_eq!(record["offset"], json!(n), "offsets have gaps");
            record["topic"].take();
        }
        found
    };
    let given = bare("a");
    assert_eq!(given.values().map(Vec::len).collect::<Vec<_>>(), [10; 6]);
    for line in mixed(6).lines() {
        let wanted: Value = serde_json::from_str(line).expect("JSON");
        let found = given[&wanted["partition"].as_i64().expect("a partition")]
            .iter()
            .any(|record| {
                ["timestamp", "key", "value", "headers"]
                    .iter()
                    .all(|field| record[*field] == wanted[*field])
            });
        assert!(found, "{line} is missing");
    }
    let envelopes = shell.consume(&["-e", "-J", "a"]);
    for codec in CODECS {
        Tally::case();
        let copy = format!("copy-{codec}");
        shell.topics(&["create", &copy, "--like", "a"]);
        shell.produce(&["-J", "--keep-partition", "-z", codec, &copy], &envelopes);
        assert_eq!(bare(&copy), given, "{codec}");
        Tally::case();
        let fixed = format!("topic-{codec}");
        let codec = if codec == "none" {
            "uncompressed"
        } else {
            codec
        };
        let config = format!("compression.type={codec}");
        shell.topics(&["create", &fixed, "--like", "a", "-c", &config]);
        shell.produce(
            &["-J", "--keep-partition", "-z", "gzip", &fixed],
            &envelopes,
        );
        assert_eq!(bare(&fixed), given, "compression.type={codec}");
        shell.topics(&["verify", "--deep", &copy, &fixed]);
    }
}

#[test]
fn partitions_keep_order_and_share_evenly() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "6"]);
    Tally::case();
    let input: String = (0..10_003).map(|n| format!("{n}\n")).collect();
    shell.produce(&["t"], input.as_bytes());
    let out = shell.consume_text(&["-e", "-f", "%p %v\\n", "t"]);
    let mut parts: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in out.lines() {
        let (partition, n) = line.split_once(' ').expect("two");
        parts
            .entry(partition)
            .or_default()
            .push(n.parse().expect("a number"));
    }
    let counts: Vec<usize> = parts.values().map(Vec::len).collect();
    assert_eq!((parts.len(), counts.iter().sum::<usize>()), (6, 10_003));
    let (least, most) = (
        counts.iter().min().expect("some"),
        counts.iter().max().expect("some"),
    );
    assert!(most - least <= 1, "uneven: {counts:?}");
    assert!(
        parts.values().all(|numbers| numbers.is_sorted()),
        "out of order"
    );

    Tally::case();
    shell.topics(&["create", "keyed", "-p", "6"]);
    let input: String = (0..10_000).map(|n| format!("k{}={n}\n", n % 37)).collect();
    shell.produce(&["-K", "=", "keyed"], input.as_bytes());
    let out = shell.consume_text(&["-e", "-f", "%k %p %v\\n", "keyed"]);
    let mut keys: BTreeMap<&str, (&str, Vec<u64>)> = BTreeMap::new();
    for line in out.lines() {
        let mut words = line.split(' ');
        let (key, partition) = (
            words.next().expect("a key"),
            words.next().expect("a partition"),
        );
        let entry = keys.entry(key).or_insert((partition, Vec::new()));
        assert_eq!(entry.0, partition, "{key} is in two partitions");
        entry
            .1
            .push(words.next().and_then(|n| n.parse().ok()).expect("a number"));
    }
    assert_eq!(keys.values().map(|(_, n)| n.len()).sum::<usize>(), 10_000);
    assert!(
        keys.values().all(|(_, n)| n.is_sorted()),
        "a key is out of order"
    );
}

/// Kafka's own test vectors of murmur2, by the partition of 1000 that they lead to; crc32 as
/// librdkafka's consistent partitioner.
#[test]
fn keys_go_where_kafka_puts_them() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let hashes: [(&str, i32); 4] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
    ];
    shell.topics(&["create", "m", "-p", "1000"]);
    let input: String = hashes.iter().map(|(key, _)| format!("{key}=\n")).collect();
    shell.produce(&["-K", "=", "m"], input.as_bytes());
    let out = shell.consume_text(&["-e", "-f", "%k %p\\n", "m"]);
    for (key, hash) in hashes {
        Tally::case();
        let partition = (hash & 0x7fff_ffff) % 1000;
        assert!(
            out.contains(&format!("{key} {partition}\n")),
            "{key} is not in {partition}:\n{out}"
        );
    }
    shell.topics(&["create", "c", "-p", "1000"]);
    shell.produce(&["-K", "=", "--partitioner", "crc32", "c"], b"123456789=\n");
    Tally::case();
    let out = shell.consume_text(&["-e", "-f", "%p", "c"]);
    assert_eq!(
        out,
        (0xCBF4_3926_u32 % 1000).to_string(),
        "the check value of CRC-32"
    );
}

#[test]
fn ranges_select_exactly() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    let mut input = String::new();
    for n in 0..100 {
        let at = 1_700_000_000_000_i64 + n * 1000;
        input.push_str(&format!(
            "{}\n",
            json!({"partition": n % 2, "timestamp": at, "value": n.to_string()})
        ));
    }
    shell.produce(&["-J", "--keep-partition", "t"], input.as_bytes());
    let cases: &[(&[&str], &str)] = &[
        (&["-p", "0", "-o", "3:6"], "6 8 10 "),
        (&["-p", "0", "-o", ":2"], "0 2 "),
        (&["-p", "1", "-e", "-o", "48"], "97 99 "),
        (&["-p", "0", "-e", "-o", "-2"], "96 98 "),
        (&["-p", "0", "-e", "-o", "+49"], "98 "),
        (&["-p", "0", "-o", "17:+1"], "34 "),
        (&["-p", "0", "-o", "-3:-1"], "94 96 "),
        (&["-p", "0", "-e", "-o", "end"], ""),
        (&["-p", "0-1", "-o", "0:1"], "0 1 "),
        (&["-o", "0=10:12,1=-1:", "-e"], "20 22 99 "),
        (&["-p", "0", "-o", "@1700000010:@1700000014"], "10 12 "),
        (
            &[
                "-p",
                "0",
                "-o",
                "@2023-11-14T22:13:30Z:@2023-11-14T22:13:34Z",
            ],
            "10 12 ",
        ),
        (&["-p", "1", "-o", "@1700000010000:+2"], "11 13 "),
        (&["-p", "0", "-c", "3"], "0 2 4 "),
        (&["-e", "-c", "2", "--grep", "^9.$", "-p", "1"], "91 93 "),
        (&["--tail", "4", "-e"], "96 97 98 99 "),
        (&["--tail", "3", "-c", "3"], "97 98 99 "),
        (
            &[
                "-e",
                "--grep",
                "7$",
                "--invert-match",
                "-p",
                "1",
                "-o",
                "3:5",
            ],
            "9 ",
        ),
    ];
    for (args, expected) in cases {
        Tally::case();
        let out = shell.consume_text(&[&["-f", "%v "], *args, &["t"]].concat());
        let mut found: Vec<&str> = out.split_whitespace().collect();
        let mut wanted: Vec<&str> = expected.split_whitespace().collect();
        if !args.contains(&"--tail") {
            // Of several partitions no order is promised.
            found.sort_by_key(|n| n.parse::<u64>().ok());
            wanted.sort_by_key(|n| n.parse::<u64>().ok());
        }
        assert_eq!(found, wanted, "{args:?}");
    }
    for (args, status) in [
        (["-e", "-o", "end", "--fail-if-empty"].as_slice(), 4),
        (&["-e", "-c", "101", "--fail-if-empty"], 4),
        (&["-e", "-c", "100", "--fail-if-empty"], 0),
        (&["-e", "--grep", "nothing", "--fail-if-empty"], 4),
        (&["-p", "2", "-e"], 1),
        (&["-o", "x"], 2),
    ] {
        Tally::case();
        let done = shell.run("mq-consume", &[args, &["t"]].concat(), b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
    }
}

#[test]
fn the_echo_keeps_the_input_order() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "4"]);
    let input: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    Tally::case();
    let out = shell.ok("mq-produce", &["-T", "t"], input.as_bytes());
    assert!(
        out == input.as_bytes(),
        "the tee is not the input: {} bytes",
        out.len()
    );
    Tally::case();
    let out = shell.ok("mq-produce", &["-o", "%v %p %o\\n", "t"], input.as_bytes());
    let out = String::from_utf8(out).expect("text");
    let values: String = out
        .lines()
        .map(|line| format!("{}\n", line.split(' ').next().expect("a value")))
        .collect();
    assert!(values == input, "the echo is out of order");
    let stored = shell.consume_text(&["-e", "-f", "%v %p %o\\n", "-o", "5000", "t"]);
    let (mut told, mut stored): (Vec<&str>, Vec<&str>) =
        (out.lines().collect(), stored.lines().collect());
    told.sort_unstable();
    stored.sort_unstable();
    assert!(told == stored, "the echo names other places than the log");
}

#[test]
fn a_bad_record_ends_or_is_counted() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-c", "max.message.bytes=2000"]);
    let input = [b"a\nb\n".as_slice(), &vec![b'x'; 3000], b"\nc\n"].concat();
    Tally::case();
    for args in [["t"].as_slice(), &["-z", "none", "-H", "a=b", "t"]] {
        let before = shell.consume_text(&["-e", "t"]);
        let done = shell.run("mq-produce", args, &input);
        assert_eq!(done.status, 1, "{}", done.err);
        assert!(
            done.err.contains("MESSAGE_TOO_LARGE") && done.err.contains("line 3 of standard input"),
            "{}",
            done.err
        );
        assert_eq!(shell.consume_text(&["-e", "t"]), before + "a\nb\n");
    }
    Tally::case();
    shell.topics(&["create", "s", "--like", "t"]);
    let done = shell.run("mq-produce", &["--on-error", "skip", "s"], &input);
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("1 record was skipped") && done.err.contains("line 3"),
        "{}",
        done.err
    );
    assert_eq!(shell.consume_text(&["-e", "s"]), "a\nb\nc\n");
    Tally::case();
    let done = shell.run(
        "mq-produce",
        &["-K", "=", "--on-error", "skip", "s"],
        b"k=v\nbad\nbad\nk=w\n",
    );
    assert_eq!(done.status, 1);
    assert!(done.err.contains("2 records were skipped"), "{}", done.err);
    assert_eq!(shell.consume_text(&["-e", "-o", "3", "s"]), "v\nw\n");
    Tally::case();
    let done = shell.run("mq-produce", &["-K", "=", "s"], b"k=x\nbad\nk=y\n");
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("line 2 of standard input"),
        "{}",
        done.err
    );
    assert_eq!(shell.consume_text(&["-e", "-o", "5", "s"]), "x\n");
}

#[test]
fn log_append_time_is_the_leaders() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for codec in CODECS {
        Tally::case();
        let before = now_ms();
        shell.topics(&[
            "create",
            codec,
            "-c",
            "message.timestamp.type=LogAppendTime",
        ]);
        shell.produce(
            &["--timestamp", "2001-01-01", "-z", codec, codec],
            b"a\nb\n",
        );
        for line in shell.consume_text(&["-e", "-J", codec]).lines() {
            let record: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(record["timestamp_type"], json!("LogAppendTime"));
            let at = record["timestamp"].as_i64().expect("a time");
            assert!((before..=now_ms()).contains(&at), "{at} is not now");
        }
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("in range")
}

#[test]
fn a_deleted_topic_ends_those_who_use_it() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"old 1\nold 2\n");
    let consumer = shell.start("mq-consume", &["t"]);
    consumer.says("old 2");
    let mut producer = shell.start("mq-produce", &["-T", "t"]);
    producer.feed(b"old 3\n");
    producer.says("old 3");
    consumer.says("old 3");
    Tally::case();
    shell.topics(&["delete", "t", "--yes"]);
    shell.topics(&["create", "t"]);
    shell.produce(&["t"], b"new\n");
    let done = consumer.end();
    assert_eq!(
        (done.status, done.text().as_str()),
        (1, "old 1\nold 2\nold 3\n"),
        "{}",
        done.err
    );
    assert_eq!(told(&done.err), 1, "{}", done.err);
    Tally::case();
    producer.feed(b"late\n");
    let done = producer.end();
    assert_ne!(done.status, 0, "{}", done.err);
    assert_eq!(told(&done.err), 1, "{}", done.err);
    Tally::case();
    assert_eq!(shell.consume_text(&["-e", "t"]), "new\n");
}

/// Failures told, without their cures.
fn told(err: &str) -> usize {
    err.lines()
        .filter(|line| line.starts_with("mq-") && !line.contains("made topic"))
        .count()
}

#[test]
fn a_follower_sees_what_comes() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "app.a"]);
    let mut follower = shell.start("mq-consume", &["-f", "%t %p %v\\n", "app.*"]);
    shell.produce(&["app.a"], b"first\n");
    follower.says("app.a 0 first");
    // Each is to take less than a second; the deadline is for machines that are busy.
    let mut slowest = Duration::ZERO;
    let mut timed = |what: &str| {
        Tally::case();
        let started = Instant::now();
        follower.says(what);
        slowest = slowest.max(started.elapsed());
    };
    shell.produce(&["app.a"], b"later\n");
    timed("app.a 0 later");
    shell.topics(&["alter", "app.a", "--partitions", "3"]);
    shell.produce(&["-p", "2", "app.a"], b"wider\n");
    timed("app.a 2 wider");
    shell.produce(&["app.b"], b"new topic\n");
    timed("app.b 0 new topic");
    println!("exact: the slowest sight took {slowest:?}");
    if std::env::var_os("MQ_LONG").is_some() {
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    }
    Tally::case();
    follower.signal(rustix::process::Signal::INT);
    let done = follower.end_within(PATIENCE);
    assert_eq!(done.status, 130, "{}", done.err);
    assert_eq!(done.text().lines().count(), 4);
}

#[test]
fn an_idle_producer_keeps_to_new_partitions_and_end_of_input() {
    let _tally = Tally::start();
    let shell = Shell::new();
    Tally::case();
    let mut producer = shell.start("mq-produce", &["-T", "t"]);
    for n in 0..5 {
        // Each record is out before the next one is given.
        producer.feed(format!("{n}\n").as_bytes());
        producer.says(&format!("{n}\n"));
        assert_eq!(
            shell.consume_text(&["-e", "-o", "-1", "t"]),
            format!("{n}\n")
        );
    }
    producer.close_stdin();
    assert_eq!(producer.end().status, 0);
}

#[test]
fn every_flush_mode_is_synced_at_the_end() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (n, configs) in [
        ["-c", "flush.messages=1"].as_slice(),
        &["-c", "flush.messages=never"],
        &["-c", "flush.messages=7"],
        &["-c", "flush.messages=never", "-c", "flush.ms=20"],
    ]
    .iter()
    .enumerate()
    {
        Tally::case();
        let topic = format!("t{n}");
        shell.topics(&[["create", topic.as_str()].as_slice(), configs].concat());
        let input: String = (0..1000).map(|n| format!("{n}\n")).collect();
        shell.produce(&[&topic], input.as_bytes());
        assert_eq!(shell.consume_text(&["-e", &topic]), input, "{configs:?}");
        let store = StoreDir::open(
            Arc::new(OsDisk),
            Arc::new(SystemClock::default()),
            shell.store(),
        );
        let tp = TopicPartition::new(TopicName::new(topic).expect("a name"), 0);
        let replica = Replica::open(&Arc::new(store.expect("a store")), &tp, 0).expect("a replica");
        let page = replica.read_page().expect("read").expect("sound");
        assert_eq!(page.tail.end, 1000, "{configs:?}");
        // Never alone leaves it to the kernel: that is what was asked for.
        if configs != &["-c", "flush.messages=never"] {
            assert_eq!(page.durable.offset, 1000, "{configs:?}");
        }
    }
}
