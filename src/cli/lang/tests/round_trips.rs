//! What is written is read back unchanged.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{Outcome, format, options, read_in_steps};
use crate::cli::lang::{
    Format, HeaderList, InputFormat, InputRecord, OutputRecord, RecordParser, Renderer,
};
use crate::client::files;
use crate::record::Header;
use crate::types::TimestampType;

/// Templates that preserve any bytes.
const EXACT: [&str; 14] = [
    "json",
    "%d{big64}%p{big32}%K{big32}%k%V{big32}%v%H{big32}%h{%K{big32}%k%V{little32}%v}",
    "%d %p %K %k %V %v\\n%H %h{%K %k %V %v}\\n",
    "%d{hex},%p{hex},%K{big64}%k{hex}%V{big64}%v{base64}%H{big16}%h{%K %k{base64}%V %v{hex}}",
    "%d %p %k{escape},%v{escape}\\n%H %h{%k{escape}=%v{escape};}",
    "%d %p %k{escape}\\t%v{escape}\\t%h{%k{escape}=%v{escape},}\\n",
    "%d %p %k{escape}x%v{escape}N%h{%k{escape}n%v{escape}0}\\x00",
    "%d %p %k{escape}\\xc3%v{escape}\\xff\\xfe%h{%k{escape}é%v{escape}→}\\n",
    "%d %p %k{escape}ab%v{escape}ac%h{%k{escape}=%v{escape}ad}ae",
    "%d %p %k{json}%v{json}%H{big16}%h{%k{json}%v{json}}",
    "%d{ms}%%%p\\0%k{json}%v{json}%h{%{%k{json}%v{json}%}}\\n",
    "%d %p %K{big32}%V{big32}%k{json}%v{escape}%h{ %k{json}: %v{json} }\\n",
    "%t %o %i{hex} %w,%W{little64}%d %p %S{big32}%k{json}%s{base64}%h{ %K{big32}%k%V{big32}%v{escape}}\\n",
    "%d %p\\n%h{%k{escape}\\n%v{json}\\n}.\\n%V %v\\n%K %k\\n.\\n",
];

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..12),
        3 => "[\\\\N\"'=,;abcdenx0 \\n\\t\\r{}é→-]{0,8}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..400),
    ]
}

fn any_records() -> impl Strategy<Value = Vec<InputRecord<'static>>> {
    let bytes = || any_bytes().prop_map(Cow::<'static, [u8]>::Owned);
    let header = (bytes(), proptest::option::of(bytes()));
    let record = (
        proptest::option::of(bytes()),
        proptest::option::of(bytes()),
        proptest::collection::vec(header, 0..4),
        -1..=i64::MAX,
        0..=i32::MAX,
    )
        .prop_map(|(key, value, headers, timestamp, partition)| InputRecord {
            key,
            key_given: true,
            value,
            headers,
            timestamp: Some(timestamp),
            partition: Some(partition),
            topic: None,
        });
    proptest::collection::vec(record, 0..4)
}

fn write(renderer: &Renderer, record: &InputRecord<'_>, out: &mut Vec<u8>) {
    assert!(try_write(renderer, record, out), "rendered");
}

/// Whether the record could be written.
fn try_write(renderer: &Renderer, record: &InputRecord<'_>, out: &mut Vec<u8>) -> bool {
    let headers: Vec<Header<'_>> = record
        .headers
        .iter()
        .map(|(key, value)| Header {
            key,
            value: value.as_deref(),
        })
        .collect();
    let record = OutputRecord {
        topic: "a.topic",
        partition: record.partition.expect("partition"),
        offset: 17,
        timestamp: record.timestamp.expect("timestamp"),
        timestamp_type: TimestampType::CreateTime,
        leader_epoch: 0,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: HeaderList::Slice(&headers),
        count: 3,
        edges: files::LogEdges::default(),
    };
    renderer.render(&record, out).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn records_are_read_as_written(records in any_records(), step in 1_usize..40) {
        for text in EXACT {
            let renderer = Renderer::new(Format::parse(text).expect(text), None, TimeZone::UTC);
            let mut out = Vec::new();
            for record in &records {
                write(&renderer, record, &mut out);
            }
            let read = read_in_steps(options(format(text)), &out, step);
            // Only the envelope gives the topic on input.
            let topic = (text == "json").then_some(Cow::Borrowed("a.topic"));
            let want = records.iter().cloned().map(|record| {
                Ok(InputRecord { topic: topic.clone(), ..record })
            });
            let want: Vec<Outcome> = want.collect();
            prop_assert_eq!(read, want, "{}: {}", text, out.escape_ascii());
        }
    }

    #[test]
    fn no_input_panics_and_cuts_make_no_difference(input in any_bytes(), step in 1_usize..9) {
        let more = ["lines", "whole", "%k\\t%v\\n", "%v{hex}\\n", "%h{%k=%v;}\\n%v\\n", "%d{rfc3339} %v\\n"];
        for text in EXACT.iter().chain(&more) {
            let whole = read_in_steps(options(format(text)), &input, input.len().max(1));
            prop_assert_eq!(read_in_steps(options(format(text)), &input, step), whole, "{}", text);
        }
    }
}

/// Literals that may occur in written fields.
fn any_literal() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        Just("\"".to_owned()),
        Just("%{".to_owned()),
        Just("%}".to_owned()),
        Just("\\n".to_owned()),
        Just("\\x00".to_owned()),
        "[ ,:;=na0-9TZN-]".prop_map(String::from),
    ];
    proptest::collection::vec(one, 0..3).prop_map(|parts| parts.concat())
}

/// Fields that preserve any bytes in any surroundings; `letter` is k or v.
fn any_field(letter: char) -> impl Strategy<Value = String> {
    let length = letter.to_ascii_uppercase();
    let measured = move |number: &str, how: &str| format!("%{length}{number}%{letter}{how}");
    let spaced = move |number: &str, literal: &str, how: &str| {
        format!("%{length}{number}{literal}%{letter}{how}")
    };
    prop_oneof![
        Just(format!("%{letter}{{escape}}")),
        Just(format!("%{letter}{{json}}")),
        "(|\\{hex\\}|\\{base64\\}|\\{escape\\})".prop_map(move |how| measured("{big32}", &how)),
        (
            any_literal(),
            "(|\\{hex\\}|\\{json\\})",
            "(|\\{hex\\}|\\{little16\\})"
        )
            .prop_map(move |(literal, how, number)| spaced(&number, &literal, &how)),
    ]
}

/// Key, value and headers in any order, each preserved, and the other fields that have to stay.
fn any_template() -> impl Strategy<Value = String> {
    let literals = proptest::collection::vec(any_literal(), 8);
    let headers = (any_field('k'), any_field('v'), "(|%H |%H\\{big16\\})");
    let fields = (
        any_field('k'),
        any_field('v'),
        headers,
        "(%d %p |%d\\{hex\\},%p\\{big32\\})",
    );
    (literals, fields, 0..6_usize).prop_map(|(l, (key, value, header, first), order)| {
        let (name, of_header, count) = header;
        let headers = format!("{count}%h{{{}{name}{}{of_header}{}}}", l[0], l[1], l[2]);
        let parts = [&key, &value, &headers];
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        let [a, b, c] = orders[order].map(|at| parts[at]);
        format!("{first}{}{a}{}{b}{}{c}{}", l[3], l[4], l[5], l[6])
    })
}

/// How many templates were accepted: a test that refuses all of them would prove nothing.
static ACCEPTED: AtomicUsize = AtomicUsize::new(0);

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    fn what_is_accepted_is_exact(template in any_template(), records in any_records(), step in 1_usize..40) {
        let Ok(Format::Template(compiled)) = Format::parse(&template) else {
            return Ok(());
        };
        let options = options(InputFormat::Template(compiled.clone()));
        if RecordParser::new(options.clone()).is_err() {
            return Ok(());
        }
        let renderer = Renderer::new(Format::Template(compiled), None, TimeZone::UTC);
        let mut out = Vec::new();
        for record in &records {
            let mut one = Vec::new();
            // A value that does not fit a number format is refused when it is written.
            if !try_write(&renderer, record, &mut one) {
                return Ok(());
            }
            out.extend(one);
        }
        ACCEPTED.fetch_add(1, Ordering::Relaxed);
        let read = read_in_steps(options, &out, step);
        let want: Vec<Outcome> = records.iter().cloned().map(Ok).collect();
        prop_assert_eq!(read, want, "{}: {}", template, out.escape_ascii());
    }
}

#[test]
fn templates_that_are_accepted_are_exact() {
    what_is_accepted_is_exact();
    let accepted = ACCEPTED.load(Ordering::Relaxed);
    assert!(accepted > 1_000, "{accepted}");
}
