//! What is written is read.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{Outcome, format, options, read_in_steps};
use crate::cli::lang::{Format, HeaderList, InputRecord, OutputRecord, Renderer};
use crate::record::Header;
use crate::types::TimestampType;

/// Templates that are exact for any bytes.
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
    "%t %o %d %p %S{big32}%k{json}%s{base64}%h{ %K{big32}%k%V{big32}%v{escape}}\\n",
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
        });
    proptest::collection::vec(record, 0..4)
}

fn write(renderer: &Renderer, record: &InputRecord<'_>, out: &mut Vec<u8>) {
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
    };
    renderer.render(&record, out).expect("rendered");
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
            let want: Vec<Outcome> = records.iter().cloned().map(Ok).collect();
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
