//! The tools on a terminal: questions, progress, colours, widths, Ctrl-C. A real one, by
//! `script(1)`.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cli::{Running, Shell, TIMEOUT};
use crate::tally::Tally;

/// A line of a shell on a terminal of that many columns; `None` without `script(1)`.
fn on_terminal(shell: &Shell, columns: u16, line: &str) -> Option<Running> {
    let tool = shell.command("mq-topics", &[]);
    let tools = std::path::Path::new(tool.get_program())
        .parent()
        .expect("a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new("script");
    command
        .args(["-qec", &format!("stty cols {columns}; {line}"), "/dev/null"])
        .env(
            "PATH",
            format!("{}:{}", tools.display(), path.to_string_lossy()),
        )
        .env("MQ_STORE", shell.store())
        .env("SHELL", "/bin/bash")
        .env_remove("NO_COLOR")
        .current_dir(shell.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => Some(Running::of(child)),
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs script(1)");
            println!("shell: skipped: a terminal, for there is no script(1)");
            None
        }
    }
}

/// What is seen of a line that ends by itself.
fn seen(shell: &Shell, columns: u16, line: &str) -> Option<String> {
    Some(
        on_terminal(shell, columns, line)?
            .end()
            .text()
            .replace('\r', ""),
    )
}

#[test]
fn a_question_is_answered_or_nothing_is_done() {
    let _tally = Tally::start();
    let question = "delete topic t with all data? [y/N] ";
    for (typed, status, is_there) in [
        ("y\n", 0, false),
        ("yes\n", 0, false),
        ("n\n", 1, true),
        ("\n", 1, true),
        ("\u{4}", 1, true),
        ("\u{3}", 130, true),
    ] {
        Tally::case();
        let shell = Shell::new();
        shell.produce(&["t"], b"a\n");
        let Some(mut tool) = on_terminal(&shell, 100, "exec mq-topics delete t") else {
            return;
        };
        tool.says(question);
        tool.feed(typed.as_bytes());
        let done = tool.end_within(TIMEOUT);
        assert_eq!(done.status, status, "{typed:?}: {}", done.text());
        let answered = done.text().replace('\r', "");
        if is_there {
            let reported = "\nmq-topics: not confirmed: nothing was changed\n";
            assert!(answered.contains(reported), "{typed:?}: {answered:?}");
        }
        let left = shell.ok("mq-topics", &["list", "--format", "tsv"], b"");
        assert_eq!(
            left,
            if is_there { &b"t\t1\t1\n"[..] } else { b"" },
            "{typed:?}"
        );
    }
}

/// The table that comes before the question says what is damaged; after the repair another one says
/// what is there now. Data for a program has the result only.
#[test]
fn a_repair_that_was_asked_for_shows_its_result() {
    let _tally = Tally::start();
    for (format, typed, status, damaged, repaired) in [
        ("table", "y\n", 0, 1, 1),
        ("table", "n\n", 1, 1, 0),
        ("tsv", "y\n", 0, 0, 1),
        ("tsv", "n\n", 1, 1, 0),
    ] {
        Tally::case();
        let shell = Shell::new();
        shell.produce(&["t"], b"a\n");
        let log = shell.logs().join("t-0/00000000000000000000.log");
        let mut bytes = std::fs::read(&log).expect("a log");
        bytes[66] ^= 1;
        std::fs::write(&log, bytes).expect("damaged");
        let line = format!("exec mq-topics verify --repair truncate t --format {format} 2> err");
        let Some(mut tool) = on_terminal(&shell, 200, &line) else {
            return;
        };
        let asked = || {
            let said = std::fs::read_to_string(shell.dir().join("err")).unwrap_or_default();
            said.contains("this way? [y/N] ")
        };
        let until = Instant::now() + TIMEOUT;
        while !asked() {
            assert!(Instant::now() < until, "{format}: no question");
            sleep(Duration::from_millis(5));
        }
        tool.feed(typed.as_bytes());
        let done = tool.end_within(TIMEOUT);
        let text = done.text();
        assert_eq!(done.status, status, "{format} {typed:?}: {text}");
        let rows = |state: &str| {
            let cells = text.lines().map(|line| line.split_whitespace().nth(2));
            cells.filter(|cell| *cell == Some(state)).count()
        };
        let seen = (rows("damaged"), rows("repaired"));
        assert_eq!(seen, (damaged, repaired), "{format} {typed:?}: {text}");
    }
}

#[test]
fn progress_is_shown_where_no_data_is() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\nb\n");
    let slow = "(echo a; sleep 1; echo b)";
    for (line, shown) in [
        (format!("{slow} | mq-produce t"), true),
        (format!("{slow} | mq-produce -o x%o t > echo"), true),
        (format!("{slow} | mq-produce -q t"), false),
        (format!("{slow} | mq-produce -o x%o t"), false),
        (format!("{slow} | mq-produce -T t"), false),
        (format!("{slow} | mq-produce t 2> err"), false),
        (
            "mq-consume --idle-timeout 1s -o 0:99999 t > file".to_owned(),
            true,
        ),
        (
            "mq-consume --idle-timeout 1s -o 0:99999 t | cat".to_owned(),
            false,
        ),
        (
            "mq-consume --idle-timeout 1s -o 0:99999 t".to_owned(),
            false,
        ),
        (
            "mq-consume --idle-timeout 1s -o 0:99999 -q t > file".to_owned(),
            false,
        ),
    ] {
        Tally::case();
        let Some(text) = seen(&shell, 100, &line) else {
            return;
        };
        assert_eq!(text.contains(" record"), shown, "{line}: {text:?}");
    }
}

#[test]
fn nothing_is_drawn_over_what_is_typed() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let Some(mut tool) = on_terminal(&shell, 100, "echo ready; exec mq-produce t") else {
        return;
    };
    tool.says("ready");
    tool.feed(b"one\n");
    std::thread::sleep(Duration::from_millis(700));
    tool.feed(b"two\n\x04");
    let done = tool.end_within(TIMEOUT);
    assert_eq!(done.status, 0);
    assert_eq!(done.text().replace('\r', ""), "ready\none\ntwo\n");
    assert_eq!(shell.consume_text(&["-e", "t"]), "one\ntwo\n");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    for (line, coloured) in [
        ("mq-topics list", true),
        ("NO_COLOR=1 mq-topics list", false),
        ("NO_COLOR= mq-topics list", true),
        ("mq-topics list --color never", false),
        ("NO_COLOR=1 mq-topics list --color always", true),
        ("mq-topics list | cat", false),
        ("mq-topics list --color always | cat", true),
        ("mq-topics list --format json", false),
        ("mq-topics list --format tsv --header", false),
    ] {
        Tally::case();
        let Some(text) = seen(&shell, 80, line) else {
            return;
        };
        assert_eq!(text.contains("\u{1b}[1m"), coloured, "{line}: {text:?}");
    }
}

#[test]
fn data_cannot_act_on_a_terminal_and_a_template_may() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let evil = b"red\x1b[31m\xc2\x9b2J\ttab";
    shell.produce(&["-k", "key\x1b", "t"], evil);
    shell.produce(&["-H", "n=v\x07", "h"], b"x");
    shell.ok("mq-groups", &["commit", "g", "t:0=0"], b"");
    let shown = r"red\x1b[31m\u{9b}2J";
    for (line, text) in [
        ("mq-consume -e t", format!("{shown}\ttab\n")),
        (
            "mq-consume -e -f '%k|%v\\n' t",
            format!("key\\x1b|{shown}\ttab\n"),
        ),
        // The user's own text is no data.
        (
            "mq-consume -e -f '\\x1b[1m%t\\x1b[0m\\n' t",
            "\x1b[1mt\x1b[0m\n".to_owned(),
        ),
        (
            "mq-consume -e -D '\\x1b[0m' t",
            format!("{shown}\ttab\x1b[0m"),
        ),
        (
            "mq-consume -e -f '%h{\\x1b[2m%k=%v}.\\n' h",
            "\x1b[2mn=v\\x07.\n".to_owned(),
        ),
        (
            "mq-consume -e --raw t",
            "red\x1b[31m\u{9b}2J\ttab\n".to_owned(),
        ),
        (
            "printf 'a\\033[2J\\n' | mq-produce -T u",
            "a\\x1b[2J\n".to_owned(),
        ),
        (
            "printf 'a\\033[2J\\n' | mq-produce -o '%v;\\x1b[0m\\n' u",
            "a\\x1b[2J;\x1b[0m\n".to_owned(),
        ),
        ("mq-groups peek g -f '%v\\n'", format!("{shown}\ttab\n")),
    ] {
        Tally::case();
        let Some(seen) = seen(&shell, 200, line) else {
            return;
        };
        assert!(seen.ends_with(&text), "{line}: {seen:?}");
    }
}

#[test]
fn tables_fit_narrow_terminals() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let long = "a-topic-whose-name-goes-on-and-on-and-on-and-on-and-never-ends";
    shell.topics(&["create", long, "short"]);
    shell.produce(&[long], b"a\n");
    shell.consume(&["-e", "-g", "a-group", long]);
    for (line, whole) in [
        ("mq-topics list --color never", "PARTITIONS"),
        ("mq-topics describe --color never", "START"),
        ("mq-groups describe --color never", "OFFSET"),
        ("mq-topics verify -q --color never", "PART"),
    ] {
        Tally::case();
        let Some(text) = seen(&shell, 60, line) else {
            return;
        };
        assert!(text.contains(whole), "{line}: {text}");
        // Below a table that leaves columns out.
        let text = text.replace("(more columns: --format json)\n", "");
        // In a block a name stands whole in a line of its own, however long it is.
        let wide = text
            .lines()
            .find(|text| text.len() > 60 && !text.contains(long));
        assert_eq!(wide, None, "{line}: {text}");
    }
}

#[test]
fn a_table_stays_a_table_at_80_columns() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "orders", "-p", "3"]);
    let lines: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    shell.produce(&["orders"], lines.as_bytes());
    shell.consume(&["-e", "-g", "billing", "orders"]);
    let long = "events-of-the-shop-in-the-country-and-of-the-year";
    shell.produce(&[long], b"a\n");
    shell.consume(&["-e", "-g", "long", long]);
    let of_long = |line: &str| line.replace("LONG", long);
    // What heads it: in full where there is room, short at 80 columns, fewer where these do not fit.
    for (line, at_80, at_120) in [
        ("mq-topics describe orders", "PART", "LEADER"),
        ("mq-topics dump orders:0", "BASE", "FILE"),
        ("mq-groups describe billing", "OFFSET", "COMMITTED OFFSET"),
        ("mq-topics verify -q orders", "PART", "PARTITION"),
        (
            "mq-topics offsets orders",
            "HIGH WATERMARK",
            "HIGH WATERMARK",
        ),
        ("mq-broker status", "STATE", "STATE"),
        ("mq-broker list", "STATE", "STATE"),
        ("mq-groups list", "STATE", "STATE"),
        ("mq-topics list --sizes", "OFFSETS", "OFFSETS"),
        ("mq-topics dump LONG", "BASE", "BASE"),
        ("mq-topics describe LONG", "PART", "LEADER"),
        ("mq-groups describe long", "OFFSET", "OFFSET"),
    ] {
        for (columns, heading, color) in [
            (80, at_80, "never"),
            (80, at_80, "always"),
            (120, at_120, "never"),
            (120, at_120, "always"),
        ] {
            Tally::case();
            let line = format!("{} --color {color}", of_long(line));
            let Some(text) = seen(&shell, columns, &line) else {
                return;
            };
            let bold = text.contains("\x1b[1m");
            assert_eq!(bold, color == "always", "{line}");
            let text = text.replace("\x1b[1m", "").replace("\x1b[0m", "");
            let head = text.lines().find(|line| line.contains(heading));
            // A heading of a block stands alone in its line.
            let is_table =
                head.is_some_and(|head| head.split("  ").filter(|w| !w.is_empty()).count() > 3);
            assert!(is_table, "{columns}: {line}\n{text}");
            let wide = text
                .lines()
                .find(|line| line.chars().count() > usize::from(columns));
            assert_eq!(wide, None, "{columns}: {line}\n{text}");
        }
    }
}

#[test]
fn ctrl_c_drains_counts_and_dies_by_the_signal() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let Some(mut tool) = on_terminal(&shell, 100, "yes | exec mq-produce -o '%o\\n' t > echo")
    else {
        return;
    };
    Tally::case();
    let echo = shell.dir().join("echo");
    let begun = || std::fs::metadata(&echo).is_ok_and(|meta| meta.len() > 0);
    let until = std::time::Instant::now() + TIMEOUT;
    while !begun() {
        assert!(std::time::Instant::now() < until, "no echo");
        std::thread::sleep(Duration::from_millis(20));
    }
    tool.feed(b"\x03");
    let done = tool.end_within(TIMEOUT);
    assert_eq!(done.status, 130, "{}", done.text());
    let echoed = std::fs::read_to_string(&echo)
        .expect("an echo")
        .lines()
        .count();
    let reported = format!("mq-produce: stopped: {echoed} records are acknowledged");
    assert!(
        done.text().contains(&reported),
        "{reported}: {:?}",
        done.text()
    );
    let there = shell
        .consume(&["-e", "t"])
        .iter()
        .filter(|b| **b == b'\n')
        .count();
    assert_eq!(there, echoed);

    for (lines, reported) in [
        (&b""[..], "stopped: no record is acknowledged"),
        (b"a\nhalf", "stopped: 1 record is acknowledged"),
    ] {
        Tally::case();
        let mut tool = shell.start("mq-produce", &["-o", "%v\\n", "t"]);
        tool.feed(lines);
        if lines.is_empty() {
            std::thread::sleep(Duration::from_millis(300));
        } else {
            tool.says("a\n");
        }
        tool.signal(Signal::INT);
        let done = tool.end();
        assert_eq!(
            (done.status, done.err),
            (130, format!("mq-produce: {reported}\n"))
        );
    }
}
