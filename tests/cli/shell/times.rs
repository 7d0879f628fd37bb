//! Times on the command line.

use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn times_are_taken_as_people_write_them() {
    let _tally = Tally::start();
    let shell = Shell::new();
    // Yesterday, today at 10 in the morning (be it past or to come), and long ago.
    for (time, value) in [
        ("2020-01-01T00:00:00+0100", "old"),
        ("yesterday", "yesterday"),
        ("10:00:30", "today"),
    ] {
        shell.produce(&["--timestamp", time, "t"], format!("{value}\n").as_bytes());
    }
    for (range, printed) in [
        ("@10:00:@10:01", "today\n"),
        ("@10:00:30:@10:00:31", "today\n"),
        ("@10:00:30.5:@10:01", ""),
        ("@today:", "today\n"),
        ("@yesterday:@today", "yesterday\n"),
        ("@2019-12-31T23:00:00Z:@2020-01-01T00:00:01+01", "old\n"),
        (":@2019-12-31 18:00:01-0500", "old\n"),
        (
            "@2020-01-02:@now",
            if is_past_ten() {
                "yesterday\ntoday\n"
            } else {
                "yesterday\n"
            },
        ),
    ] {
        Tally::case();
        let found = shell.consume_text(&["-q", "-e", "-o", range, "t"]);
        assert_eq!(found, printed, "{range}");
    }
    Tally::case();
    let args = ["offsets", "t", "--at", "@10:00:00", "--format", "tsv"];
    let at = shell.ok("mq-topics", &args, b"");
    assert!(String::from_utf8_lossy(&at).contains("\t2"), "{at:?}");
    shell.ok("mq-groups", &["commit", "g", "t:0=0"], b"");
    shell.ok(
        "mq-groups",
        &["reset", "g", "--to", "@10:00:00", "--yes"],
        b"",
    );
    let exported = shell.ok("mq-groups", &["reset", "g", "--export"], b"");
    assert_eq!(String::from_utf8_lossy(&exported), "t,0,2\n");
}

/// Whether it is later than the record of today is; UTC, as the tools are reported.
fn is_past_ten() -> bool {
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .expect("since 1970");
    since.as_secs() % 86_400 > 36_030
}

#[test]
fn a_time_without_its_sign_is_refused_with_the_right_form() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    for (tool, args, cure) in [
        (
            "mq-consume",
            &["-e", "-o", "10:00:00", "t"][..],
            "a time begins with @: @10:00:00",
        ),
        (
            "mq-consume",
            &["-e", "-o", "09:30", "t"],
            "@09:30; offsets have no leading 0",
        ),
        (
            "mq-consume",
            &["-e", "-o", "2026-01-31T10:00", "t"],
            "@2026-01-31T10:00",
        ),
        ("mq-consume", &["-e", "-o", "yesterday", "t"], "@yesterday"),
        ("mq-consume", &["-e", "-o", "-10m", "t"], "@-10m"),
        ("mq-consume", &["-e", "-o", "now", "t"], "@now"),
        (
            "mq-topics",
            &["offsets", "t", "--at", "2026-01-31"],
            "@2026-01-31",
        ),
        (
            "mq-groups",
            &["reset", "g", "--to", "today", "--yes"],
            "@today",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"");
        assert_eq!(done.status, 2, "{args:?}: {}", done.err);
        assert!(
            done.err.trim_end().ends_with(cure),
            "{args:?}: {}",
            done.err
        );
    }
}

/// As the help says: a time stands for an offset.
#[test]
fn a_range_of_times_lies_between_two_offsets() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    for (minute, value) in [(1, "a"), (5, "b"), (2, "late"), (6, "c"), (3, "later")] {
        let time = format!("2026-01-01T10:0{minute}Z");
        shell.produce(
            &["--timestamp", &time, "t"],
            format!("{value}\n").as_bytes(),
        );
    }
    let range = "@2026-01-01T10:05Z:@2026-01-01T10:06Z";
    assert_eq!(shell.consume_text(&["-e", "-o", range, "t"]), "b\nlate\n");
}
