//! What a selection selects.

use serde_json::json;

use crate::cli::Shell;
use crate::tally::Tally;

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
        (&["-p", "0", "-o", "@1700000010:@+4s"], "10 12 "),
        (
            &["-o", "0=@1700000010:@+4s,1=@1700000011:@+1s"],
            "10 11 12 ",
        ),
        (&["-p", "0", "-e", "-o", "@1700000096:@+9h"], "96 98 "),
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
        (&["-o", "3:@+4s"], 2),
        (&["-o", ":@+4s"], 2),
    ] {
        Tally::case();
        let done = shell.run("mq-consume", &[args, &["t"]].concat(), b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
    }
}
