//! What `--tail N` takes, in which order, and what it costs.

use serde_json::json;

use crate::cli::{Shell, TIMEOUT};
use crate::tally::Tally;

/// Partition, timestamp and value of each record.
fn produce(shell: &Shell, topic: &str, records: &[(i32, i64, String)]) {
    let lines: String = records
        .iter()
        .map(|(partition, timestamp, value)| {
            let record = json!({"partition": partition, "timestamp": timestamp, "value": value});
            format!("{record}\n")
        })
        .collect();
    shell.produce(&["-J", "--keep-partition", topic], lines.as_bytes());
}

#[test]
fn among_equal_timestamps_the_distance_from_the_end_decides() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "b", "a", "-p", "3"]);
    for topic in ["a", "b"] {
        let of = |partition: i32, len: i32| {
            (0..len).map(move |n| (partition, 7, format!("{topic}{partition}:{n}")))
        };
        let records: Vec<_> = of(0, 9).chain(of(1, 4)).chain(of(2, 6)).collect();
        produce(&shell, topic, &records);
    }
    let tail = |n: &str| shell.consume_text(&["-e", "-f", "%v ", "--tail", n, "b", "a"]);
    let expected = "a0:7 a1:2 a2:4 b0:7 b1:2 b2:4 a0:8 a1:3 a2:5 b0:8 b1:3 b2:5 ";
    for _ in 0..5 {
        Tally::case();
        assert_eq!(tail("12"), expected);
    }
    assert_eq!(
        tail("8"),
        &expected[20..],
        "the nearer to the end, the newer"
    );
    // Time goes before distance.
    produce(
        &shell,
        "a",
        &[(1, 6, "old".to_owned()), (2, 8, "new".to_owned())],
    );
    assert_eq!(tail("4"), "b0:8 b1:3 b2:5 new ");
    assert!(tail("100").starts_with("old "), "{}", tail("100"));
    assert_eq!(tail("100").split_whitespace().count(), 40);
}

#[test]
fn of_one_partition_the_last_by_offset() {
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let times = [9, 1, 8, 2, 7, 3, 6];
    let records: Vec<_> = times
        .iter()
        .map(|time| (0, *time, time.to_string()))
        .collect();
    produce(&shell, "t", &records);
    let out = shell.consume_text(&["-e", "-f", "%v ", "--tail", "4", "t"]);
    assert_eq!(out, "2 3 6 7 ", "by time");
}

#[test]
fn the_last_that_match_are_found() {
    let _tally = Tally::start();
    for codec in ["none", "zstd"] {
        let shell = Shell::new();
        shell.topics(&["create", "t", "-p", "2"]);
        let lines: String = (0..40_000)
            .map(|n| match n {
                17 | 20_018 | 39_000 | 39_001 => format!("k=needle {n}\n"),
                n if n % 10_000 == 5 => format!("k={n}\n"),
                _ => format!("{}={n}\n", n % 7),
            })
            .collect();
        shell.produce(&["-K", "=", "-p", "1", "-z", codec, "t"], lines.as_bytes());
        shell.produce(&["-p", "0", "t"], b"needle 0\n");
        for (args, expected) in [
            (&["--tail", "1", "--grep", "^needle"][..], "needle 0\n"),
            (
                &["--tail", "3", "--grep", "^needle"],
                "needle 39000\nneedle 39001\nneedle 0\n",
            ),
            (
                &["--tail", "5", "--grep", "^needle"],
                "needle 17\nneedle 20018\nneedle 39000\nneedle 39001\nneedle 0\n",
            ),
            (
                &["--tail", "2", "--key", "k", "--grep", "^[0-9]+$"],
                "20005\n30005\n",
            ),
            (
                &["--tail", "3", "--grep", "^needle", "-c", "2"],
                "needle 39000\nneedle 39001\n",
            ),
            (
                &["--tail", "3", "--grep", "^needle", "-p", "1", "-c", "1"],
                "needle 20018\n",
            ),
            (
                &[
                    "--tail",
                    "2",
                    "--grep",
                    ".....",
                    "--invert-match",
                    "-p",
                    "1",
                ],
                "9998\n9999\n",
            ),
            (&["--tail", "2", "--grep", "nothing"], ""),
        ] {
            Tally::case();
            let out = shell.consume_text(&[&["-e"], args, &["t"]].concat());
            assert_eq!(out, expected, "{codec} {args:?}");
        }
        // More than fit a window, and than are put in order at once.
        let all =
            shell.consume_text(&["-e", "--tail", "30000", "-p", "1", "--grep", "[0-8]$", "t"]);
        let expected: Vec<&str> = lines
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.1))
            .filter(|value| !value.ends_with('9'))
            .collect();
        let last = expected.get(expected.len() - 30_000..).expect("so many");
        assert_eq!(all.lines().collect::<Vec<_>>(), last);
    }
}

#[test]
fn what_lies_before_the_last_is_not_read() {
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let lines: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    shell.produce(&["--batch-size", "64KiB", "t"], lines.as_bytes());
    let log = shell.logs().join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).expect("a log");
    bytes[30_000] ^= 1;
    std::fs::write(&log, bytes).expect("written");
    let read = |args: &[&str]| shell.run("mq-consume", &[args, &["-e", "t"]].concat(), b"");
    let small = read(&["--tail", "2"]);
    assert_eq!((small.status, small.text().as_str()), (0, "99998\n99999\n"));
    let near = read(&["--tail", "2", "--grep", "^9.*7$"]);
    assert_eq!((near.status, near.text().as_str()), (0, "99987\n99997\n"));
    // Who has to look there is reported, and gets what was found.
    let far = read(&["--tail", "2", "--grep", "^(5|99999)$"]);
    assert_eq!(
        (far.status, far.text().as_str()),
        (65, "99999\n"),
        "{}",
        far.err
    );
}

#[test]
fn records_of_any_size_are_put_in_order() {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "3"]);
    let mut values = Vec::new();
    for n in 0..60 {
        let value = n.to_string().repeat(if n % 9 == 4 { 200_000 } else { n });
        values.push((n as i32 % 3, 1000 + n as i64, value));
    }
    produce(&shell, "t", &values);
    let out = shell.consume_text(&["-e", "--tail", "50", "t"]);
    let expected: Vec<&str> = values[10..]
        .iter()
        .map(|(_, _, value)| value.as_str())
        .collect();
    assert!(out.lines().eq(expected), "in order, each whole");
}

#[test]
fn nothing_of_it_where_nothing_is_to_be_printed() {
    let shell = Shell::new();
    shell.produce(&["t"], b"a\nb\nc\n");
    for (args, expected) in [
        (&["--tail", "2", "-c", "0"][..], ""),
        (&["--tail", "0", "-e"], ""),
        (&["--tail", "2", "-c", "1"], "b\n"),
        (&["--tail", "2", "-c", "2"], "b\nc\n"),
    ] {
        assert_eq!(
            shell.consume_text(&[args, &["t"]].concat()),
            expected,
            "{args:?}"
        );
    }
}

#[test]
fn its_memory_is_that_of_places_and_it_follows_then() {
    const RECORDS: usize = 300_000;
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "4"]);
    let lines: String = (0..RECORDS).map(|n| format!("{n:0100}\n")).collect();
    shell.produce(&["t"], lines.as_bytes());
    for n in ["10", "300000"] {
        let mut running = shell.start("mq-consume", &["--tail", n, "t"]);
        let records: usize = n.parse().expect("a number");
        let whole = running
            .out
            .until(TIMEOUT, |out| out.len() >= (records - 1) * 101);
        assert!(whole, "{}", String::from_utf8_lossy(&running.err.bytes()));
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id()));
        let status = status.expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        let (kib, allowed) = (kib.expect("a size"), 16 * 1024 + 32 * records / 1024);
        assert!(
            kib <= allowed,
            "--tail {n} took {kib} KiB, {allowed} are allowed"
        );
        shell.produce(&["t"], format!("more after {n}\n").as_bytes());
        running.says(&format!("more after {n}\n"));
        running.signal(rustix::process::Signal::TERM);
        let done = running.end_within(TIMEOUT);
        let text = done.text();
        let mut found: Vec<&str> = text.lines().collect();
        assert_eq!(found.pop(), Some(format!("more after {n}").as_str()));
        found.sort_unstable();
        // One of those before came in between, in the place of the oldest.
        found.retain(|line| !line.starts_with("more"));
        found.dedup();
        assert_eq!(found.len(), records.min(RECORDS - 1), "each once");
    }
}
