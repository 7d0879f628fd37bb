//! What mq-produce -J says of lines that it cannot take.

use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn a_line_that_is_refused_names_field_place_and_what_is_due() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let pretty = "{\n  \"value\": \"a\"\n}\n";
    for (input, said, cure) in [
        (
            "{\"value\":\"a\"}\n{\"value\":\"b\",\"partition\":\"0\"}\n",
            "stopped at line 2 of standard input (1 record is acknowledged): partition: column 28: \
             expected an integer, not the string \"0\"",
            "as mq-consume -J prints it",
        ),
        (
            "{\"value\":{\"a\":1}}\n",
            "line 1 of standard input (no record is acknowledged): value: ",
            "{\"base64\"",
        ),
        (
            "{\"value\":[1]}\n",
            "expected a string, null or {\"base64\":\"...\"}, not an array",
            "jq -c \".value |= tojson\"",
        ),
        (
            "{\"id\":5}\n",
            "unknown field 'id'",
            "without -J each line is a value",
        ),
        (
            pretty,
            "line 1 of standard input (no record is acknowledged): column 1: the JSON is not complete",
            "jq -c .",
        ),
        ("[\n1]\n", "line 1 of standard input", "jq -c ."),
        ("\n", "it is empty", "--skip-empty"),
        ("hello\n", "column 1: not JSON: ", "mq-consume -J"),
        (
            "{\"value\":\"a\"}{\"value\":\"b\"}\n",
            "column 14: more follows the JSON in its line",
            "'jq -c .' prints each object in one",
        ),
        (
            "{\"value\":\"\\ud800\"}\n",
            "come in pairs, and this is one alone",
            "{\"base64\":\"...\"}",
        ),
    ] {
        Tally::case();
        let done = shell.run("mq-produce", &["-J", "t"], input.as_bytes());
        assert_eq!(done.status, 1, "{input}: {}", done.err);
        let lines: Vec<&str> = done
            .err
            .lines()
            .filter(|line| !line.contains(": created "))
            .collect();
        assert_eq!(lines.len(), 2, "{input}: {}", done.err);
        assert!(lines[0].contains(said), "{input}: {}", done.err);
        assert!(lines[1].contains(cure), "{input}: {}", done.err);
        for word in ["i64", "i32", "map", "invalid type", "sequence", "EOF"] {
            assert!(!done.err.contains(word), "{input}: {}", done.err);
        }
    }
    Tally::case();
    let done = shell.run(
        "mq-produce",
        &["--input-format", "kcat", "t"],
        b"{\"payload\":5}\n",
    );
    assert!(
        done.err
            .contains("payload: column 12: expected a string or null, not the number 5"),
        "{}",
        done.err
    );
}

#[test]
fn a_byte_order_mark_is_no_json_and_is_data_of_a_line() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let marked = |text: &str| ["\u{feff}", text].concat().into_bytes();
    let one = marked("{\"value\":\"a\"}\n");
    Tally::case();
    // As two such files in a row.
    shell.produce(&["-q", "-J", "t"], &[&one[..], &one].concat());
    let kcat = marked("{\"payload\":\"k\"}\n");
    Tally::case();
    shell.produce(&["-q", "--input-format", "kcat", "t"], &kcat);
    assert_eq!(shell.consume_text(&["-e", "t"]), "a\na\nk\n");
    Tally::case();
    shell.produce(&["-q", "lines"], &marked("a\n"));
    assert_eq!(shell.consume_text(&["-e", "lines"]), "\u{feff}a\n");
}
