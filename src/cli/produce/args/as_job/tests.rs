use jiff::tz::TimeZone;

use super::*;
use crate::client::{Acks, Keyless};
use crate::record::Partitioner;
use crate::types::Compression;

fn job(line: &[&str]) -> Result<ProduceJob> {
    let now = Now {
        now_ms: 1_767_225_600_000,
        zone: TimeZone::UTC,
    };
    let args = crate::cli::parse::<Args>(
        ["mq-produce"]
            .into_iter()
            .chain(line.iter().copied())
            .map(Into::into),
    );
    match args {
        Ok(args) => args.job(now),
        Err(e) => Err(usage(e.render().to_string(), "")),
    }
}

fn good(line: &[&str]) -> ProduceJob {
    job(line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
}

#[test]
fn by_default_lines_of_standard_input_and_all_acks() {
    let job = good(&["a"]);
    assert_eq!(
        (job.topic.as_ref().map(TopicName::as_str), &*job.sources),
        (Some("a"), &[Source::Stdin][..])
    );
    assert!(matches!(&job.input.format, InputFormat::Lines(d) if d.bytes() == b"\n"));
    assert_eq!(
        (job.delivery.acks, job.delivery.linger),
        (Acks::All, Duration::ZERO)
    );
    assert_eq!(job.create, AutoCreate::WithOne);
    assert!(matches!(job.echo, Echo::Nothing));
    assert!(!job.skip_bad && !job.input.skip_empty && !job.keep_partition);
}

#[test]
fn inputs() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(matches!(good(&["a", "-0"]).input.format, InputFormat::Lines(d) if d.bytes() == b"\0"));
    assert!(
        matches!(good(&["a", "-D", "--"]).input.format, InputFormat::Lines(d) if d.bytes() == b"--")
    );
    assert!(matches!(
        good(&["a", "--whole"]).input.format,
        InputFormat::Whole
    ));
    assert!(matches!(good(&["a", "-J"]).input.format, InputFormat::Json));
    assert!(matches!(
        good(&["a", "-f", "json"]).input.format,
        InputFormat::Json
    ));
    assert!(matches!(
        good(&["a", "-f", "%k=%v\\n"]).input.format,
        InputFormat::Template(_)
    ));
    let kcat = ["--input-format", "kcat", "--each-topic", "--keep-partition"];
    assert!(matches!(good(&kcat).input.format, InputFormat::Kcat));
    let console = good(&["a", "--input-format", "console"]);
    assert!(matches!(console.input.format, InputFormat::Console));
    let job = good(&["-J", "--each-topic", here, "-"]);
    assert_eq!(job.topic, None);
    assert_eq!(*job.sources, [Source::File(here.into()), Source::Stdin]);
    assert_eq!(
        *good(&["--each-topic", "-f", "json"]).sources,
        [Source::Stdin]
    );
    let e = super::tests::job(&["--each-topic", "-J", "orders"]).expect_err("no such file");
    assert!(
        e.cure_text()
            .is_some_and(|cure| cure.contains("all arguments are files")),
        "{e}"
    );
    let job = good(&["a", "--begins", "^E", "-0", "--max-lines", "9"]);
    assert!(matches!(&job.input.format, InputFormat::MultiLine(how)
        if how.delimiter.bytes() == b"\0" && how.lines_max == Some(9) && how.begins.as_str() == "^E"));
    assert_eq!(
        (job.record_idle, job.delivery.linger),
        (Duration::from_secs(1), Duration::ZERO)
    );
    let job = good(&["a", "--begins", "^E", "--linger", "2s"]);
    assert_eq!(
        (job.record_idle, job.delivery.linger),
        (2 * Duration::from_secs(1), job.record_idle)
    );
    let job = good(&[
        "a",
        "-K",
        "=",
        "--on-missing-key",
        "null",
        "-k",
        "x",
        "-Z",
        "--null-marker",
        "-",
    ]);
    assert_eq!(job.input.missing_key, MissingKey::Null);
    let text = |text: &str| OriginText::parse("", text.as_bytes()).ok();
    assert_eq!(job.added.key, text("x"));
    assert_eq!(job.input.null_marker.as_deref(), Some(&b"-"[..]));
    let job = good(&["a", "-H", "n=v=w", "-H", "e=", "-H", "null"]);
    assert_eq!(
        job.added.headers,
        [
            (b"n".to_vec(), text("v=w")),
            (b"e".to_vec(), text("")),
            (b"null".to_vec(), None),
        ]
    );
    let job = good(&["a", here, "-"]);
    assert_eq!(*job.sources, [Source::File(here.into()), Source::Stdin]);
}

#[test]
fn placement_and_delivery() {
    assert_eq!(good(&["a", "-p", "3"]).partition, Some(3));
    assert!(good(&["a", "-J", "--keep-partition"]).keep_partition);
    assert!(good(&["a", "-f", "%p %v\\n", "--keep-partition"]).keep_partition);
    assert_eq!(
        good(&["a", "--timestamp", "-1s"]).timestamp,
        Some(1_767_225_599_000)
    );
    let line = [
        "a",
        "--acks",
        "1",
        "-z",
        "zstd",
        "--timeout",
        "5s",
        "--batch-size",
        "64k",
        "--linger",
        "5ms",
        "--partitioner",
        "crc32",
        "--keyless",
        "sticky",
    ];
    let delivery = good(&line).delivery;
    assert_eq!(delivery.acks, Acks::Leader);
    assert_eq!(delivery.compression, Compression::Zstd);
    assert_eq!(delivery.timeout, Duration::from_secs(5));
    assert_eq!(delivery.linger, Duration::from_millis(5));
    assert_eq!(
        (delivery.batch_bytes, delivery.partitioner),
        (64 << 10, Partitioner::Crc32)
    );
    assert_eq!(delivery.keyless, Keyless::Sticky);
    assert_eq!(good(&["a", "--no-create"]).create, AutoCreate::Never);
    assert_eq!(
        good(&["a", "--create-partitions", "6"]).create,
        AutoCreate::With(6)
    );
    assert!(matches!(good(&["a", "-T"]).echo, Echo::Tee));
    assert!(matches!(
        good(&["a", "-o", "%o\\n"]).echo,
        Echo::Template(_)
    ));
    assert!(good(&["a", "--on-error", "skip"]).skip_bad);
}

#[test]
fn what_is_refused_says_what_is_allowed() {
    for (line, says) in [
        (&[][..], "<TOPIC>"),
        (&["a/b"], "A-Z a-z 0-9 . _ -"),
        (&["a", "-0", "-D", ","], "cannot be used with"),
        (&["a", "-J", "-f", "%v\\n"], "cannot be used with"),
        (&["a", "-J", "-K", "="], "cannot be used with"),
        (&["a", "--whole", "-0"], "cannot be used with"),
        (&["a", "--begins", "E", "-J"], "cannot be used with"),
        (
            &["a", "--begins", "E", "-f", "%v\\n"],
            "cannot be used with",
        ),
        (&["a", "--begins", "E", "--whole"], "cannot be used with"),
        (&["a", "--begins", "E("], "--begins 'E(' is not a regular"),
        (&["a", "--max-lines", "2"], "--begins"),
        (&["a", "--begins", "E", "--max-lines", "0"], "at least 1"),
        (
            &["a", "--input-format", "kcat", "-J"],
            "cannot be used with",
        ),
        (
            &["a", "--input-format", "console", "-K", ":"],
            "cannot be used with",
        ),
        (
            &["a", "--input-format", "console", "--begins", "E"],
            "cannot be used with",
        ),
        (
            &["a", "--input-format", "json"],
            "possible values: kcat, console",
        ),
        (
            &["a", "--input-format", "console", "--keep-partition"],
            "-J",
        ),
        (
            &["--input-format", "console", "--each-topic"],
            "use it with -J",
        ),
        (&["--each-topic"], "use it with -J"),
        (&["--each-topic", "--whole"], "use it with -J"),
        (&["--each-topic", "-f", "%t %v\\n"], "use it with -J"),
        (&["a", "-D", ""], "cannot be empty"),
        (&["a", "-f", "x"], "use value, json"),
        (&["a", "-f", "%k%v\\n"], "%k"),
        (&["a", "--on-missing-key", "null"], "-K"),
        (&["a", "-H", ""], "-H NAME=VALUE"),
        (&["a", "-H", "x=%{nam}"], "use %{file}, %{name}"),
        (&["a", "-k", "%{file}"], "standard input has no name"),
        (&["a", "-H", "x=%{name}", "-"], "standard input has no name"),
        (&["a", "-p", "0", "--keep-partition"], "cannot be used with"),
        (
            &["a", "-p", "0", "--keyless", "sticky"],
            "cannot be used with",
        ),
        (&["a", "--keep-partition"], "-J"),
        (&["a", "--keep-partition", "-f", "%v\\n"], "has %p"),
        (&["a", "--keep-partition", "-f", "value"], "has %p"),
        (
            &["a", "--partitioner", "md5"],
            "possible values: murmur2, crc32",
        ),
        (&["a", "--keyless", "x"], "possible values"),
        (&["a", "--timestamp", "soon"], "use 2026"),
        (&["a", "--acks", "2"], "possible values: 0, 1, all"),
        (
            &["a", "-z", "rar"],
            "possible values: none, gzip, snappy, lz4, zstd",
        ),
        (&["a", "--timeout", "5"], "it has no unit"),
        (&["a", "--batch-size", "x"], "use bytes"),
        (&["a", "--batch-size", "5"], "16KiB"),
        (&["a", "--batch-size", "100GiB"], "at most 1GiB"),
        (
            &["a", "--no-create", "--create-partitions", "2"],
            "cannot be used with",
        ),
        (&["a", "--create-partitions", "0"], "use 1 to 10000"),
        (&["a", "-T", "-o", "%o"], "cannot be used with"),
        (&["a", "-o", "%o %W\\n"], "are not known"),
        (&["a", "-o", "%h{%k %w}\\n"], "are not known"),
        (&["a", "--on-error", "retry"], "possible values"),
        (&["a", "--follow", "x"], "unexpected argument"),
    ] {
        let e = job(line).expect_err("refused");
        let reported = format!("{e} | {}", e.cure_text().unwrap_or_default());
        assert_eq!(
            crate::cli::exit::status(e.kind()),
            crate::cli::exit::USAGE,
            "{line:?}"
        );
        assert!(reported.contains(says), "{line:?}: {reported}");
    }
}
