//! What kcat and Kafka's console tools print, read by mq-produce.

use serde_json::{Value, json};

use crate::cli::Shell;
use crate::tally::Tally;

fn records(shell: &Shell, topic: &str) -> Vec<Value> {
    let text = shell.consume_text(&["-e", "-J", topic]);
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn kcats_envelope_is_read() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "u", "-p", "2"]);
    let lines = [
        json!({"topic": "t", "partition": 1, "offset": 4, "tstype": "create", "ts": 1_700_000_000_000_i64,
            "broker": 1, "headers": ["a", "1", "b", null], "key": "k", "payload": "v"}),
        json!({"topic": "u", "partition": 0, "offset": 0, "tstype": "logappend", "ts": 5, "broker": 1,
            "key": null, "payload": null}),
    ];
    let mut input: Vec<u8> = lines
        .iter()
        .flat_map(|l| format!("{l}\n").into_bytes())
        .collect();
    Tally::case();
    let args = ["--input-format", "kcat", "--keep-partition", "--each-topic"];
    shell.produce(&args, &input);
    let of = |record: &Value| {
        ["partition", "timestamp", "key", "value", "headers"].map(|field| record[field].clone())
    };
    let (t, u) = (records(&shell, "t"), records(&shell, "u"));
    assert_eq!(
        of(&t[0]),
        [
            json!(1),
            json!(1_700_000_000_000_i64),
            json!("k"),
            json!("v"),
            json!([["a", "1"], ["b", null]])
        ]
    );
    assert_eq!(
        of(&u[0]),
        [json!(0), json!(5), Value::Null, Value::Null, json!([])]
    );
    // As kcat prints bytes that are no UTF-8; and one topic for all.
    Tally::case();
    input.extend_from_slice(b"{\"key\":\"\xff\",\"payload\":\"\xfe\xff\"}\n{\"value\":\"ours\"}\n");
    let done = shell.run("mq-produce", &["--input-format", "kcat", "all"], &input);
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("line 4 of standard input"),
        "{}",
        done.err
    );
    assert!(done.err.contains("unknown field 'value'"), "{}", done.err);
    let held = shell.consume(&["-e", "-f", "%k=%v|", "--null-marker", "~", "all"]);
    assert_eq!(held, b"k=v|~=~|\xff=\xfe\xff|");
}

#[test]
fn lines_of_kafkas_console_are_read() {
    let _tally = Tally::start();
    let shell = Shell::new();
    Tally::case();
    let args = ["--input-format", "console", "--null-marker", "NULL", "t"];
    let input = b"h1:v1,h2:NULL\tk1\tv1\r\nNO_HEADERS\tNULL\tv\t2\n\tk3\tNULL";
    shell.produce(&args, input);
    let template = "%k=%v;%h{%k:%v,}|";
    let held = shell.consume_text(&["-e", "-f", template, "--null-marker", "~", "t"]);
    assert_eq!(held, "k1=v1;h1:v1,h2:~,|~=v\t2;|k3=~;|");
    Tally::case();
    let args = [
        "--input-format",
        "console",
        "--on-error",
        "skip",
        "-H",
        "x=y",
        "u",
    ];
    let done = shell.run("mq-produce", &args, b"a:b\tk\tv\nno tabs\n");
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("line 2 of standard input"),
        "{}",
        done.err
    );
    assert_eq!(
        shell.consume_text(&["-e", "-f", template, "u"]),
        "k=v;a:b,x:y,|"
    );
}
