//! Input is divided correctly, wherever the buffer ends.

mod multi_line;
mod round_trips;

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::{
    Delimiter, Format, InputFormat, InputOptions, InputRecord, MissingKey, Now, RecordParser, Step,
};
use crate::error::{Error, Kind, Result};

fn options(format: InputFormat) -> InputOptions {
    InputOptions {
        format,
        key_delimiter: None,
        missing_key: MissingKey::Fail,
        empty_is_null: false,
        null_marker: None,
        skip_empty: false,
        record_bytes_max: 1 << 20,
        now: Now {
            now_ms: 0,
            zone: TimeZone::UTC,
        },
    }
}

fn format(text: &str) -> InputFormat {
    match text {
        "lines" => InputFormat::Lines(Delimiter::newline()),
        "whole" => InputFormat::Whole,
        _ => match Format::parse(text).expect(text) {
            Format::Json => InputFormat::Json,
            Format::Template(template) => InputFormat::Template(template),
        },
    }
}

fn owned(record: InputRecord<'_>) -> InputRecord<'static> {
    let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
    InputRecord {
        key: record.key.map(own),
        key_given: record.key_given,
        value: record.value.map(own),
        headers: record
            .headers
            .into_iter()
            .map(|(k, v)| (own(k), v.map(own)))
            .collect(),
        timestamp: record.timestamp,
        partition: record.partition,
        topic: record.topic.map(|topic| Cow::Owned(topic.into_owned())),
    }
}

type Outcome = Result<InputRecord<'static>, Kind>;

/// Reads `input` in pieces of `step` bytes. Invalid records are outcomes too; an error after which
/// reading cannot continue is the last outcome.
fn read_in_steps(options: InputOptions, input: &[u8], step: usize) -> Vec<Outcome> {
    let mut parser = RecordParser::new(options).expect("a format for input");
    let (mut start, mut end) = (0, 0);
    let mut outcomes = Vec::new();
    loop {
        let eof = end == input.len();
        match parser.next(&input[start..end], eof) {
            Err(e) => {
                outcomes.push(Err(e.kind()));
                return outcomes;
            }
            Ok(Step::End) => {
                assert_eq!(start, input.len());
                return outcomes;
            }
            Ok(Step::NeedMore) => {
                assert!(!eof, "more is asked for at the end");
                end = input.len().min(end + step);
            }
            Ok(Step::Record { record, consumed }) => {
                outcomes.push(Ok(owned(record)));
                start += consumed;
            }
            Ok(Step::Invalid { error, consumed }) => {
                outcomes.push(Err(error.kind()));
                start += consumed;
            }
            Ok(Step::Skip { consumed }) => {
                assert!(consumed > 0);
                start += consumed;
            }
        }
        assert!(start <= end);
    }
}

fn read(options: &InputOptions, input: &[u8]) -> Vec<Outcome> {
    let whole = read_in_steps(options.clone(), input, input.len().max(1));
    for step in [1, 2, 3, 7] {
        assert_eq!(
            read_in_steps(options.clone(), input, step),
            whole,
            "in steps of {step}"
        );
    }
    whole
}

/// `key=value` with `~` for null, `!` for an invalid record, joined by `|`. Headers follow as
/// `;name:value`.
fn shown(outcomes: Vec<Outcome>) -> String {
    let text =
        |bytes: Option<&Cow<'_, [u8]>>| bytes.map_or("~".into(), |b| b.escape_ascii().to_string());
    let one = |outcome: Outcome| match outcome {
        Err(Kind::MessageTooLarge) => "!large".to_string(),
        Err(_) => "!".to_string(),
        Ok(record) => {
            let mut shown = String::new();
            if record.key_given {
                shown += &format!("{}=", text(record.key.as_ref()));
            }
            shown += &text(record.value.as_ref());
            for (name, value) in &record.headers {
                shown += &format!(";{}:{}", name.escape_ascii(), text(value.as_ref()));
            }
            if let Some(timestamp) = record.timestamp {
                shown += &format!("@{timestamp}");
            }
            if let Some(partition) = record.partition {
                shown += &format!("#{partition}");
            }
            shown
        }
    };
    outcomes.into_iter().map(one).collect::<Vec<_>>().join("|")
}

fn check(options: &InputOptions, cases: &[(&[u8], &str)]) {
    for (input, want) in cases {
        assert_eq!(
            &shown(read(options, input)),
            want,
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn lines() {
    check(
        &options(format("lines")),
        &[
            (b"", ""),
            (b"a", "a"),
            (b"a\n", "a"),
            (b"a\nb", "a|b"),
            (b"\n\na\r\n", "||a\\r"),
            (b"\xff\0\n", "\\xff\\x00"),
        ],
    );
    let wide = options(InputFormat::Lines(
        Delimiter::parse("-D", "\\r\\n").expect("delimiter"),
    ));
    check(
        &wide,
        &[
            (b"a\r\nb\r\n", "a|b"),
            (b"a\rb\nc\r", "a\\rb\\nc\\r"),
            (b"\r\n", ""),
            (b"\r\r\n", "\\r"),
        ],
    );
    check(
        &options(InputFormat::Lines(Delimiter::nul())),
        &[(b"a\nb\0c\0", "a\\nb|c")],
    );
    let skipping = InputOptions {
        skip_empty: true,
        ..options(format("lines"))
    };
    check(&skipping, &[(b"\na\n\n\nb", "a|b"), (b"\n", "")]);
    let nulls = InputOptions {
        empty_is_null: true,
        null_marker: Some(b"NULL".to_vec()),
        ..options(format("lines"))
    };
    check(&nulls, &[(b"\nNULL\nNULLs\nx", "~|~|NULLs|x")]);
}

#[test]
fn keys() {
    let keyed = InputOptions {
        key_delimiter: Delimiter::new(b": "),
        ..options(format("lines"))
    };
    check(&keyed, &[(b"a: b: c\n: \nx\nb: ", "a=b: c|=|!|b=")]);
    let lenient = InputOptions {
        missing_key: MissingKey::Null,
        ..keyed.clone()
    };
    check(&lenient, &[(b"a: b\nx\n\n", "a=b|x|")]);
    let nulls = InputOptions {
        empty_is_null: true,
        null_marker: Some(b"-".to_vec()),
        ..keyed.clone()
    };
    check(&nulls, &[(b"-: -\na: \n", "~=~|a=~")]);
    let skipping = InputOptions {
        skip_empty: true,
        ..keyed
    };
    check(&skipping, &[(b"\na: \n: \n", "a=")]);
    let whole = InputOptions {
        key_delimiter: Delimiter::new(b"\n"),
        ..options(format("whole"))
    };
    check(&whole, &[(b"k\nv\nw\n", "k=v\\nw\\n"), (b"", "!")]);
    check(&options(format("whole")), &[(b"", ""), (b"a\nb", "a\\nb")]);
}

#[test]
fn an_empty_file_is_a_record_when_whole() {
    assert_eq!(read(&options(format("whole")), b"").len(), 1);
    assert_eq!(read(&options(format("lines")), b"").len(), 0);
    let mut parser = RecordParser::new(options(format("whole"))).expect("whole");
    for _ in 0..2 {
        assert!(matches!(
            parser.next(b"a", true),
            Ok(Step::Record { consumed: 1, .. })
        ));
        assert!(matches!(parser.next(b"", true), Ok(Step::End)));
        parser.restart();
    }
}

#[test]
fn envelopes() {
    check(
        &options(format("json")),
        &[
            (b"{\"value\":\"a\"}\n{\"key\":\"k\",\"value\":null,\"partition\":3,\"timestamp\":5}", "a|k=~@5#3"),
            (b"{\"value\":1}\n{\"value\":\"b\"}\r\n", "!|b"),
            (b"\n{\"key\":null,\"value\":\"\"}\n", "!|~="),
            (b"{\"value\":\"\",\"headers\":[[\"a\",null],[\"a\",\"\"]]}\n", ";a:~;a:"),
            (b"{\"value\":\"\",\"timestamp\":-2}\n{\"value\":\"\",\"partition\":-1}\n", "@-2|!"),
        ],
    );
    let skipping = InputOptions {
        skip_empty: true,
        empty_is_null: true,
        ..options(format("json"))
    };
    check(
        &skipping,
        &[(
            b"\n{\"value\":\"\"}\n{\"key\":\"k\",\"value\":\"\"}\n\r\n",
            "k=~",
        )],
    );
}

#[test]
fn templates() {
    for (template, input, want) in [
        ("%k\\t%v\\n", &b"a\tb\nc\t\td\n"[..], "a=b|c=\\td"),
        ("%k\\t%v\\n", b"a\tb\nc\td", "a=b|c=d"),
        ("%k\\t%v\\n", b"a\tb\nc", "a=b|!"),
        ("%k, %v\\r\\n", b"a,b, c\r\r\nd, e\r", "a,b=c\\r|d=e\\r"),
        ("%k=%v;", b"a=1;b=2;", "a=1|b=2"),
        ("<%v>\\n", b"<a>\n<b>\nc>\n", "a|b|!"),
        ("%V{big8}%v", b"\x02ab\x00\xff\x01\n", "ab||~|\\n"),
        ("%V{big8}%v", b"\x02a", "!"),
        ("%V{big8}%v", b"\xfe", "!"),
        ("%V %v\\n", b"3 a\nb\n0 \n-1 \n", "a\\nb||~"),
        ("%V %v\\n", b"1 ab\n", "!"),
        ("%V %v\\n", b"1 a", "a"),
        ("%V %v\\n", b"+1 a\n", "!"),
        (
            "%V{little16}%v{hex}%K{big8}%k",
            b"\x04\x00616a\x01k",
            "k=aj",
        ),
        (
            "%o %p %t %d %v\\n",
            b"7 2 topic 12 a\nx 2 t 12 b\n7 -1 t 1 c\n7 1 t x d\n7 1 t 9 e\n",
            "a@12#2|!|!|!|e@9#1",
        ),
        (
            "%d{rfc3339} %v\\n",
            b"1970-01-01T00:00:01Z a\ntoday b\n",
            "a@1000|!",
        ),
        (
            "%d{strftime[%Y-%m-%d]} %v\\n",
            b"1970-01-02 a\n",
            "a@86400000",
        ),
        (
            "%k{json}%v{json}\\n",
            b"\"a\"null\n{\"base64\":\"/w==\"}\"\\n\"\n1\"\"\n",
            "a=~|\\xff=\\n|!",
        ),
        ("%v{json}", b"\"a\"null\"b\"", "a|~|b"),
        ("%v{json}\\n", b"\"\\q\"\n\"b\"\n", "!|b"),
        (
            "%k{escape},%v{escape}\\n",
            b"a\\x2cb,c\\n\n\\N,\\\\N\n\\q,x\na,b",
            "a,b=c\\n|~=\\\\N|!|a=b",
        ),
        ("%v{hex}\\n", b"6A6b\n6\nzz\n\n", "jk|!|!|"),
        ("%v{base64}\\n", b"YQ==\nYQ\n\n", "a|!|"),
        ("%v%%\\n", b"50%\n", "50"),
        (
            "%h{%k=%v;}|%v\\n",
            b"a=1;b=;|x\n|y\na=1|z\n",
            "x;a:1;b:|y|!",
        ),
        (
            "%v\\t%h{%k=%v, }\\n",
            b"x\ta=1, b=2, \ny\t\nz\t",
            "x;a:1;b:2|y|z",
        ),
        (
            "%H %h{%k:%v;}%v\\n",
            b"2 a:1;a:2;x\n0 y\n-1 z\n",
            "x;a:1;a:2|y|!",
        ),
        (
            "%H{big8}%h{%K{big8}%k%V{big8}%v}%V{big8}%v",
            b"\x01\x01a\xff\x01x\x00\x00",
            "x;a:~|",
        ),
        (
            "%h{%k{json}:%v{json},}\\n%v\\n",
            b"\"a\":null,\"b\":\"\\n\",\nx\nnull:\"\",\ny\n",
            "x;a:~;b:\\n|!",
        ),
        ("%h[a] %h[b]{json} %v\\n", b"1 null x\n", "x;a:1;b:~"),
        ("%k\\n", b"a\nb\n", "a=~|b=~"),
        ("%v\\n--\\n", b"a\n--\nb\n-\n--\nc\n-", "a|b\\n-|c\\n-"),
    ] {
        assert_eq!(
            shown(read(&options(format(template)), input)),
            want,
            "{template}"
        );
    }
}

#[test]
fn markers_of_null_in_templates() {
    let marked = |template| InputOptions {
        null_marker: Some(b"NULL".to_vec()),
        ..options(format(template))
    };
    check(
        &marked("%k\\t%v\\n"),
        &[(b"NULL\tNULL\nNULLs\t\n", "~=~|NULLs=")],
    );
    check(
        &marked("%k{hex}\\t%v{base64}\\n"),
        &[(b"NULL\tNULL\n", "~=~")],
    );
    check(&marked("%h{%k=%v;}\\n"), &[(b"NULL=NULL;\n", "~;NULL:~")]);
}

#[test]
fn templates_without_an_end_are_refused() {
    for template in [
        "%v",
        "%k%v\\n",
        "%k\\t%v",
        "%V%v",
        "%K%k%V{big8}%v",
        "%o%v\\n",
        "%d%v\\n",
        "%v{hex}",
        "%v{escape}",
        "%v{escape}\\\\",
        "%v%h{%k=%v;}\\n",
        "%h{%k=%v;}",
        "%h{%k=%v}\\n",
        "%h{=%v;}\\n",
        "%v\\n%h{%k{json}}",
        "%t %o\\n",
        "%%",
        "%V{big8}",
        "%k %k\\n",
        "%v %v\\n",
        "%h{ %k=%v,} %v\\n",
        // Each would come back changed: a header may begin like the end of the headers, or be
        // empty.
        "%h{%k{json}:%v{json},}\"%v{escape}\\n",
        "%h{%k{hex}=%v{hex};}a%v{escape}\\n",
        "%h{%K %k%V %v}1%v{json}",
        "%h{%k{escape};%v{escape};};%v{escape}\\n",
        "%h{%k{escape}}\\n%v{escape}\\n",
        "%h{a%k{escape}=%v{escape};}ab%v{escape}\\n",
        "%h{%K{big32}%k%V{big32}%v}\\n",
        // The end of a field may be part of the field.
        "%V1%v",
        "%V{hex}a%v",
        "%d{rfc3339}:%v\\n",
        "%v{hex}0%k{escape}\\n",
        "%k{base64}==%v{escape}\\n",
        "%h{%k{escape}|x%v{escape};}|%v{escape}\\n",
        // Values that are written twice.
        "%d{s} %d %v\\n",
        "%h[a] %h{%k=%v;}\\n",
        "%h{%k=%v,%k;}\\n",
        "%d{rfc3339}%v\\n",
        "%h{%k{escape}=%v;}\\\\",
    ] {
        let e: Error = RecordParser::new(options(format(template))).expect_err(template);
        assert_eq!(e.kind(), Kind::Usage, "{template}");
        assert!(e.cure_text().is_some(), "{template}");
    }
}

#[test]
fn what_is_too_long_is_refused_early() {
    let small = |text| InputOptions {
        record_bytes_max: 8,
        ..options(format(text))
    };
    check(
        &small("lines"),
        &[(
            b"12345678\n123456789\nab\n0123456789abcdef0123456789\nc",
            "12345678|!large|ab|!large|c",
        )],
    );
    check(&small("lines"), &[(b"0123456789abcdef", "!large")]);
    check(&small("whole"), &[(b"0123456789", "!large")]);
    check(&small("%k=%v;"), &[(b"a=1;0123456789abcdef", "a=1|!large")]);
    check(
        &small("%V{big32}%v"),
        &[(b"\x7f\xff\xff\xff", "!large"), (b"\0\0\0\x09", "!large")],
    );
    check(
        &small("%H{big32}%h{%k=%v;}"),
        &[(b"\x7f\xff\xff\xff", "!large")],
    );
    // The caller's buffer need not grow far beyond the limit.
    let mut parser = RecordParser::new(small("lines")).expect("lines");
    assert!(matches!(
        parser.next(b"12345678", false),
        Ok(Step::NeedMore)
    ));
    assert!(matches!(
        parser.next(b"123456789", false),
        Ok(Step::Invalid { consumed: 9, .. })
    ));
    assert!(matches!(
        parser.next(b"0", false),
        Ok(Step::Skip { consumed: 1 })
    ));
    assert!(matches!(
        parser.next(b"1\nx", false),
        Ok(Step::Skip { consumed: 2 })
    ));
    assert!(matches!(parser.next(b"x", false), Ok(Step::NeedMore)));
}

#[test]
fn a_whole_record_is_never_held_back() {
    for (text, input) in [
        ("lines", &b"a\n"[..]),
        ("json", b"{\"value\":\"a\"}\n"),
        ("%V{big8}%v", b"\x01a"),
        ("%v{json}", b"\"a\""),
        ("%k{escape}=%v{escape};", b"a=b;"),
        (
            "%H{big8}%h{%k{json}%v{json}}%v{json}",
            b"\x01\"k\"\"v\"\"a\"",
        ),
    ] {
        let mut parser = RecordParser::new(options(format(text))).expect(text);
        for end in 0..input.len() {
            assert!(
                matches!(parser.next(&input[..end], false), Ok(Step::NeedMore)),
                "{text} {end}"
            );
        }
        let step = parser.next(input, false).expect(text);
        assert!(
            matches!(step, Step::Record { consumed, .. } if consumed == input.len()),
            "{text}"
        );
    }
}
