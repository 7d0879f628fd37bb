//! A topic copied through the envelope.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::CODECS;
use crate::cli::{Shell, by_partition};
use crate::tally::Tally;

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
