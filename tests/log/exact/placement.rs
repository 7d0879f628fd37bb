//! Which partition a record goes to.

use std::collections::BTreeMap;

use crate::cli::Shell;
use crate::tally::Tally;

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
