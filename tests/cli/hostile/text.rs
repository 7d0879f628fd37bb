//! Text in and out: escapes on a terminal, JSON.

use std::process::{Command, Stdio};

use crate::cli::{Shell, run};
use crate::tally::Tally;

#[test]
fn a_terminal_gets_no_controls_and_a_pipe_gets_all() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let nasty =
        "\u{1b}[2J|\u{1b}]0;title\u{7}|\u{9b}31m|\u{202e}evil|\u{8}|tab\there|ü\n".as_bytes();
    let bytes = [nasty, b"\x9b\x90\x85|\xff\n"].concat();
    shell.produce(&["t"], &bytes);
    Tally::case();
    assert_eq!(shell.consume(&["-e", "t"]), bytes);
    if Command::new("script").arg("--version").output().is_err() {
        println!("hostile: skipped: a real terminal, for there is no script(1)");
        return;
    }
    let on_terminal = |tool: &str, args: &str| {
        let exe = shell.command(tool, &[]);
        let line = format!("{} {args}", exe.get_program().to_string_lossy());
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env("MQ_STORE", shell.store());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        run(command, b"").text()
    };
    let controls = |text: &str| {
        text.chars().any(|c| {
            (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
                || ('\u{202a}'..='\u{202e}').contains(&c)
        })
    };
    for args in ["-e t", "-e -J t", "-e -f '%v%v{escape}\\n' t", "-e -0 t"] {
        Tally::case();
        let seen = on_terminal("mq-consume", args);
        // The delimiter is the user's own.
        let data = seen.replace('\0', "");
        assert!(!controls(&data), "{args}: {seen:?}");
        assert!(
            seen.contains("evil") && seen.contains('ü'),
            "{args}: {seen:?}"
        );
    }
    Tally::case();
    let raw = on_terminal("mq-consume", "-e --raw t");
    assert!(raw.contains("\u{1b}[2J"), "{raw:?}");
    Tally::case();
    let reported = on_terminal("mq-consume", "-e \"$(printf 'x\\033[2Jx')\"");
    assert!(
        reported.contains("mq-consume") && !controls(&reported),
        "{reported:?}"
    );
}

#[test]
fn json_of_the_wrong_form_names_its_line() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    let deep = format!(
        r#"{{"value":"x","headers":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let deeper = format!(r#"{{"value":{}"#, r#"{"a":"#.repeat(100_000));
    let number = format!(r#"{{"value":"x","timestamp":{}}}"#, "9".repeat(10_000));
    let bad: Vec<&[u8]> = vec![
        b"1",
        b"[]",
        b"null",
        b"\"x\"",
        b"{}",
        b"",
        b"{",
        b"nonsense",
        br#"{"key":"k"}"#,
        br#"{"value":1}"#,
        br#"{"value":["x"]}"#,
        br#"{"value":{"base64":"!"}}"#,
        br#"{"value":{"base64":"YQ==","more":1}}"#,
        br#"{"value":"x","key":true}"#,
        br#"{"value":"x","unknown":1}"#,
        br#"{"value":"x","timestamp":"now"}"#,
        br#"{"value":"x","timestamp":1e400}"#,
        br#"{"value":"x","timestamp":1.5}"#,
        br#"{"value":"x","timestamp":99999999999999999999}"#,
        br#"{"value":"x","headers":{"a":"b"}}"#,
        br#"{"value":"x","headers":[["a"]]}"#,
        br#"{"value":"x","headers":[["a","b","c"]]}"#,
        br#"{"value":"x","headers":[[null,"b"]]}"#,
        br#"{"value":"x"} y"#,
        br#"{"value":"x"}{"value":"y"}"#,
        b"{\"value\":\"\xff\"}",
        br#"{"value":"\ud800"}"#,
        deep.as_bytes(),
        deeper.as_bytes(),
        number.as_bytes(),
    ];
    let count = || shell.consume_text(&["-e", "t"]).lines().count();
    for case in &bad {
        Tally::case();
        let shown = String::from_utf8_lossy(&case[..case.len().min(80)]).into_owned();
        let before = count();
        let input = [
            b"{\"value\":\"ok\"}\n{\"value\":\"ok\"}\n".as_slice(),
            case,
            b"\n{\"value\":\"no\"}\n",
        ]
        .concat();
        let done = shell.run("mq-produce", &["-J", "t"], &input);
        assert_eq!(done.status, 1, "{shown}: {}", done.err);
        assert!(
            done.err.contains("line 3 of standard input"),
            "{shown}: {}",
            done.err
        );
        assert!(
            done.err.len() < 2000,
            "{shown}: tells {} bytes",
            done.err.len()
        );
        assert_eq!(count(), before + 2, "{shown}");
    }
    Tally::case();
    let before = count();
    let input: Vec<u8> = bad
        .iter()
        .flat_map(|case| [case, b"\n{\"value\":\"ok\"}\n".as_slice()].concat())
        .collect();
    let done = shell.run("mq-produce", &["-J", "--on-error", "skip", "t"], &input);
    assert_eq!(done.status, 1, "{}", done.err);
    let reported = format!("{} records were skipped", bad.len());
    assert!(done.err.contains(&reported), "{}", done.err);
    assert_eq!(count(), before + bad.len());
    Tally::case();
    let done = shell.run(
        "mq-produce",
        &["-J", "--keep-partition", "t"],
        br#"{"value":"x","partition":7}"#,
    );
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(
        done.err.contains("line 1 of standard input"),
        "{}",
        done.err
    );
}
