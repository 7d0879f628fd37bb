//! Values, keys and nulls of any bytes.

use serde_json::{Value, json};

use super::CODECS;
use crate::cli::Shell;
use crate::tally::Tally;

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
