//! Readers of a log whose start rises: before they begin, and while they read.

use crate::cli::Shell;
use crate::scripts::{TWO_BROKERS, bash_ok};
use crate::trims::FIFTY;

/// Starts a reader of the first ten records, stops it, adds the rest, trims to 30, and lets it go on.
/// `$reader` is its process; it prints to `read` and `err`.
const STOPPED: &str = r"
mq-topics create -q t -c segment.bytes=1024
add() { for n in $(seq $1 $2); do printf '%0100d\n' $n | mq-produce t || exit 9; done; }
lines() { for i in $(seq 300); do [ $(wc -l < read) -ge $1 ] && return; sleep 0.05; done; cat err >&2; exit 8; }
reported() { for i in $(seq 300); do grep -q removed err && return; sleep 0.05; done; cat err >&2; exit 7; }
add 0 9; touch read err
behind() {
  mq-consume -f '%o\n' $@ t > read 2> err & reader=$!
  lines 10; sleep 0.2; kill -STOP $reader
  add 10 49; mq-topics trim t --to 30 -y -q
  kill -CONT $reader; reported
}
end() { wait $reader; echo $?; cat err; wc -l < read; tail -n 1 read; }
";

const LINE: &str = "t:0: offsets 10 to 29 were removed before they were read";

#[test]
fn a_reader_that_follows_names_what_is_gone_and_goes_on() {
    for options in ["", "-g g", "--idle-timeout 1m"] {
        let shell = Shell::new();
        let out = bash_ok(
            &shell,
            &format!(
                "{STOPPED} behind {options}; lines 30; kill -TERM $reader; end
                 [ -n '{group}' ] || exit 0
                 mq-groups describe g --format tsv | cut -f 4,6,7; mq-consume -e -g g t; echo $?",
                group = if options == "-g g" { "g" } else { "" }
            ),
        );
        let mut expected = format!("143\nmq-consume: warning: {LINE}\n30\n49\n");
        if options == "-g g" {
            expected.push_str("50\t50\t0\n0\n");
        }
        assert_eq!(out, expected, "{options}");
    }
}

#[test]
fn a_read_with_an_end_goes_on_and_fails() {
    for (options, more, read, last) in [
        ("-o 0:45", "", 25, 44),
        ("-c 25", "", 25, 44),
        ("-g g -o 0:45", "", 25, 44),
        ("-g g -c 25", "", 25, 44),
        ("-o 0=0:45", "", 25, 44),
        // Only what the range asked for is named.
        ("-o 0:20", "19", 10, 9),
        ("-g g -o 0:20", "19", 10, 9),
    ] {
        let shell = Shell::new();
        let out = bash_ok(&shell, &format!("{STOPPED} behind {options}; end"));
        let line = match more {
            "" => LINE.to_owned(),
            to => LINE.replace("29", to),
        };
        let expected = format!("1\nmq-consume: {line}\n{read}\n{last}\n");
        assert_eq!(out, expected, "{options}");
    }
}

#[test]
fn on_missed_fail_ends_there() {
    for options in ["", "-g g", "-c 25", "-g g -o 0:45"] {
        let shell = Shell::new();
        let script = format!(
            "{STOPPED} behind {options} --on-missed fail; wait $reader; echo $?; head -n 1 err; wc -l < read"
        );
        let out = bash_ok(&shell, &script);
        assert_eq!(out, format!("1\nmq-consume: {LINE}\n10\n"), "{options}");
    }
    // The values are listed, and no other is taken.
    let shell = Shell::new();
    let done = shell.run("mq-consume", &["--on-missed", "skip", "t"], b"");
    assert_eq!(done.status, 2);
    assert!(
        done.err.contains("possible values: warn, fail"),
        "{}",
        done.err
    );
}

#[test]
fn commands_go_on_at_the_log_start() {
    for (options, status, sort) in [
        ("-c 25", 1, ""),
        ("--on-missed fail", 1, "fail"),
        ("", 143, "follow"),
    ] {
        let shell = Shell::new();
        let out = bash_ok(
            &shell,
            &format!(
                r#"{STOPPED}
# The command of the tenth record waits until the log start is above the next one.
cat > work.sh <<'END'
n=$(sed 's/^0*\(.\)/\1/'); echo $n >> read
[ $n = 9 ] && until [ -e go ]; do sleep 0.05; done; exit 0
END
mq-consume -g g {options} t --exec 'sh ./work.sh' 2> err & reader=$!
lines 10; add 10 49; mq-topics trim t --to 30 -y -q; touch go; reported
[ '{sort}' = follow ] && lines 30 && kill -TERM $reader
wait $reader; echo $?; head -n 1 err; wc -l < read; tail -n 1 read
mq-groups describe g --format tsv | cut -f 4
"#
            ),
        );
        let (warning, read, last, committed) = match sort {
            "fail" => ("", 10, 9, 10),
            "follow" => ("warning: ", 30, 49, 50),
            _ => ("", 25, 44, 45),
        };
        let expected =
            format!("{status}\nmq-consume: {warning}{LINE}\n{read}\n{last}\n{committed}\n");
        assert_eq!(out, expected, "{options}");
    }
}

#[test]
fn a_backlog_that_is_trimmed_under_its_reader() {
    // The reader is held by a pipe in the middle of what was there when it began.
    for (options, status, first) in [
        ("-e", 1, 0),
        ("-e -g g", 1, 0),
        ("-e --on-missed fail", 1, 0),
        ("", 143, 0),
        // Its records are searched for first, and read again in their order; of those that were to be
        // printed together none is if it fails.
        ("--tail 60000 -e", 1, 20000),
        ("--tail 60000 -e --on-missed fail", 1, 20000),
    ] {
        let shell = Shell::new();
        let out = bash_ok(
            &shell,
            &format!(
                r#"
mq-topics create -q f -c segment.bytes=1048576
seq -f '%0200g' 0 79999 | mq-produce --batch-size 64KiB f
mkfifo fifo
mq-consume {options} f > fifo 2> err & reader=$!
exec 8< fifo
head -c 20100 <&8 > read; sleep 0.3; kill -STOP $reader; sleep 0.1
mq-topics trim f --to 79990 -y -q
kill -CONT $reader
cat <&8 >> read & copier=$!
for i in $(seq 300); do grep -q removed err && break; sleep 0.05; done
[ -n '{options}' ] || {{ for i in $(seq 300); do grep -q 79999 read && break; sleep 0.05; done; kill $reader; }}
wait $reader; status=$?; wait $copier
echo $status
grep -c 'f:0: offsets [0-9]* to 79989 were removed before they were read' err
# Everything up to what is gone, and everything after it, once.
from=$(grep -o 'offsets [0-9]*' err | cut -d ' ' -f 2)
case '{options}' in *tail*fail) seq {first} $((from-1)) | head -n $(wc -l < read);; *fail) seq {first} $((from-1));; *) seq {first} $((from-1)); seq 79990 79999;; esac > wanted
sed 's/^0*\(.\)/\1/' read | cmp - wanted && echo same
"#
            ),
        );
        assert_eq!(out, format!("{status}\n1\nsame\n"), "{options}");
    }
}

/// A slow reader, a producer, and trims without a pause: what is printed and what is named as missed is
/// together each record, once.
#[test]
fn each_record_is_read_or_named() {
    const RACE: &str = r#"
mkfifo fifo
mq-consume $options t > fifo 2> err & reader=$!
(while IFS= read -r l; do echo "$l"; case $l in *00) sleep 0.02;; esac; done < fifo > read) & copier=$!
# It has begun at the first record.
seq 0 299 | mq-produce t; until grep -qx 299 read; do sleep 0.02; done
(for b in $(seq 1 49); do seq -f '%0100g' $((b*300)) $((b*300+299)); sleep 0.03; done) |
  mq-produce --linger 5ms t & producer=$!
while kill -0 $producer 2> /dev/null; do
  mq-topics trim t --to -300 -y -q --timeout 20s 2> trims || { cat trims >&2; exit 9; }
done
wait $producer || exit 8
for i in $(seq 400); do grep -q 14999 read && break; sleep 0.05; done
kill $reader; wait $reader; echo $?; wait $copier
missed() {
  grep -o 'offsets [0-9]* to [0-9]* were' err | while read -r _ from _ to _; do seq $from $to; done
  grep -o 'offset [0-9]* was' err | cut -d ' ' -f 2
}
[ $(missed | wc -l) -gt 0 ] && (sed 's/^0*\(.\)/\1/' read; missed) | sort -n > all; seq 0 14999 | cmp - all && echo each
grep -v removed err
mq-topics verify --deep -q t > out; echo $?
"#;
    let one = "mq-topics create -q t -c segment.bytes=16384 -c flush.messages=never";
    let two = format!("{TWO_BROKERS}\n{one} --assign 1:2 2> /dev/null");
    for (options, topic) in [
        ("", one),
        ("-g g", one),
        ("--replica 2", &two),
        ("-g g", &two),
    ] {
        let shell = Shell::new();
        let out = bash_ok(&shell, &format!("options='{options}'\n{topic}\n{RACE}"));
        assert_eq!(out, "143\neach\n0\n", "{options} {topic}");
    }
}

#[test]
fn what_was_gone_before_is_a_warning_unless_nothing_is_left() {
    let shell = Shell::new();
    bash_ok(&shell, &format!("{FIFTY} mq-topics trim t --to 30 -y -q"));
    let below = "warning: t:0 begins at offset 30, 5 is gone: reading from there";
    let gone = |from, to| format!("t:0: offsets {from} to {to} were removed before they were read");
    let one = "t:0: offset 9 was removed before it was read".to_owned();
    for (options, status, read, words) in [
        ("-o start", 0, 20, String::new()),
        ("", 0, 20, String::new()),
        ("-o -100", 0, 20, String::new()),
        ("-o 30", 0, 20, String::new()),
        ("-o 5", 0, 20, below.to_owned()),
        ("-o 5:40", 0, 10, below.to_owned()),
        ("-o 5 -c 3", 0, 3, below.to_owned()),
        ("-o 5:30", 1, 0, gone(5, 29)),
        ("-o 5:10", 1, 0, gone(5, 9)),
        ("-o 9:10", 1, 0, one),
        ("-o :10", 1, 0, gone(0, 9)),
        ("-o 0:-20", 1, 0, gone(0, 29)),
        ("-o 10:10", 0, 0, below.replace("5 is", "10 is")),
        ("-o 5 --on-missed fail", 1, 0, gone(5, 29)),
        ("-o 5:10 --on-missed fail", 1, 0, gone(5, 9)),
        ("-o start --on-missed fail", 0, 20, String::new()),
        ("--tail 5 --on-missed fail", 0, 5, String::new()),
    ] {
        for group in [false, true] {
            if group && (options.contains("--tail") || options.contains("-o 10:10")) {
                continue;
            }
            let mut args = vec!["-e", "t"];
            args.extend(options.split_whitespace());
            let name = options.replace(' ', "");
            if group {
                args.extend(["-g", &name]);
            }
            if group && name.is_empty() {
                continue;
            }
            let done = shell.run("mq-consume", &args, b"");
            let lines = done.text().lines().count();
            assert_eq!(
                (done.status, lines),
                (status, read),
                "{args:?}: {}",
                done.err
            );
            let first = done.err.lines().next().unwrap_or_default();
            let expected = match words.as_str() {
                "" => String::new(),
                words => format!("mq-consume: {words}"),
            };
            assert_eq!(first, expected, "{args:?}: {}", done.err);
        }
    }
}

#[test]
fn a_group_whose_committed_offset_is_gone() {
    let shell = Shell::new();
    bash_ok(
        &shell,
        &format!(
            "{FIFTY} for g in a b c d e; do mq-groups commit -q $g t:0=5; done; mq-topics trim t --to 30 -y -q"
        ),
    );
    let left = |g| {
        format!(
            "mq-consume: warning: group '{g}' left t:0 at offset 5, which is gone: going on from 30"
        )
    };
    let gone =
        |to| format!("mq-consume: t:0: offsets 5 to {to} were removed before they were read");
    for (options, status, read, words, committed) in [
        ("-g a -e", 0, 20, left("a"), "50"),
        ("-g b -e -o :10", 1, 0, gone(9), "30"),
        ("-g c -e -o :40", 0, 10, left("c"), "40"),
        ("-g d -e --on-missed fail", 1, 0, gone(29), "5"),
        ("-g e --on-missed fail", 1, 0, gone(29), "5"),
    ] {
        let args: Vec<&str> = options.split(' ').chain(["t"]).collect();
        let done = shell.run("mq-consume", &args, b"");
        let lines = done.text().lines().count();
        assert_eq!(
            (done.status, lines),
            (status, read),
            "{options}: {}",
            done.err
        );
        assert_eq!(done.err.lines().next(), Some(words.as_str()), "{options}");
        let out = shell.ok("mq-groups", &["describe", args[1], "--format", "tsv"], b"");
        let out = String::from_utf8(out).expect("text");
        assert_eq!(out.split('\t').nth(3), Some(committed), "{options}: {out}");
    }
    // The cure of the failure does what it says.
    let done = shell.run(
        "mq-consume",
        &["-g", "d", "-e", "--on-missed", "fail", "t"],
        b"",
    );
    assert!(
        done.err
            .contains("mq-groups reset d --to start --topic t:0"),
        "{}",
        done.err
    );
    shell.ok(
        "mq-groups",
        &["reset", "d", "--to", "start", "--topic", "t:0", "--yes"],
        b"",
    );
    let read = shell.consume_text(&["-g", "d", "-e", "--on-missed", "fail", "t"]);
    assert_eq!(read.lines().count(), 20);
}
