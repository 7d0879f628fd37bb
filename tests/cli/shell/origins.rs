//! Where records came from, in their keys and headers; headers that are null.

use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn keys_and_headers_say_where_a_record_came_from() {
    let _tally = Tally::start();
    let shell = Shell::new();
    std::fs::create_dir(shell.dir().join("in")).expect("a directory");
    std::fs::write(shell.dir().join("in/a.txt"), "1\n2\n").expect("a file");
    std::fs::write(shell.dir().join("b.txt"), "3\n\n4").expect("a file");
    for (args, input, output) in [
        (
            &[
                "-k",
                "%{file}",
                "-H",
                "at=%{name}:%{line}",
                "t",
                "in/a.txt",
                "-",
                "b.txt",
            ][..],
            "in\nput\n",
            "in/a.txt a.txt:1 1|in/a.txt a.txt:2 2|- -:1 in|- -:2 put|\
             b.txt b.txt:1 3|b.txt b.txt:2 |b.txt b.txt:3 4|",
        ),
        (
            &[
                "--whole",
                "-k",
                "%{name}",
                "-H",
                "at=%%{file}",
                "t",
                "in/a.txt",
                "b.txt",
            ],
            "",
            "a.txt %{file} 1\n2\n|b.txt %{file} 3\n\n4|",
        ),
        (
            &[
                "--begins",
                "[13]",
                "-H",
                "at=%{line}",
                "t",
                "b.txt",
                "in/a.txt",
            ],
            "",
            " 1 3\n\n4| 1 1\n2|",
        ),
        (
            &["--skip-empty", "-H", "at=%{line}", "t", "b.txt"],
            "",
            " 1 3| 3 4|",
        ),
        // A key that the record has comes first, be it empty.
        (&["-K", "=", "-k", "%{line}", "t"], "a=1\n=2\n", "a  1|  2|"),
        (
            &["-K", "=", "--on-missing-key", "null", "-k", "%{line}", "t"],
            "a=1\n2\n",
            "a  1|2  2|",
        ),
    ] {
        Tally::case();
        shell.produce(args, input.as_bytes());
        let held = shell.consume_text(&["-e", "-f", "%k %h[at] %v|", "t"]);
        assert_eq!(held, output, "{args:?}");
        shell.topics(&["delete", "--yes", "t"]);
    }
}

#[test]
fn a_header_without_a_value_is_null() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["-H", "null", "-H", "empty=", "-H", "=", "t"], b"x\n");
    let held = shell.consume_text(&["-e", "-J", "t"]);
    let record: serde_json::Value = serde_json::from_str(&held).expect("JSON");
    let wanted = serde_json::json!([["null", null], ["empty", ""], ["", ""]]);
    assert_eq!(record["headers"], wanted);
}
