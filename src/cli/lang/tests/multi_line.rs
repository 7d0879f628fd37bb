//! Records of several lines.

use proptest::prelude::*;
use regex::bytes::Regex;

use super::{
    Delimiter, InputFormat, InputOptions, MissingKey, RecordParser, Step, check, options,
    read_in_steps,
};
use crate::cli::lang::MultiLine;

fn begins(regex: &str, lines_max: Option<u64>) -> InputOptions {
    options(InputFormat::MultiLine(MultiLine {
        delimiter: Delimiter::newline(),
        begins: Regex::new(regex).expect(regex),
        lines_max,
    }))
}

#[test]
fn a_line_that_matches_begins_a_record() {
    check(
        &begins("^E", None),
        &[
            (b"", ""),
            (b"\n", ""),
            (b"E1\n at\n\n at\nE2\nE3", "E1\\n at\\n\\n at|E2|E3"),
            (b"E1\n at", "E1\\n at"),
            (b"before\nand\nE1\n", "before\\nand|E1"),
            (b"E1\nE", "E1|E"),
            (b"\n\nE\n\n", "\\n|E\\n"),
        ],
    );
    check(&begins("", None), &[(b"a\nb\n", "a|b")]);
}

#[test]
fn a_record_of_too_many_lines_is_ended() {
    check(
        &begins("^E", Some(2)),
        &[
            (b"E\na\nb\nc\nd\nE\nE\na\n", "E\\na|b\\nc|d|E|E\\na"),
            (b"E\na\nb", "E\\na|b"),
        ],
    );
    check(&begins("^E", Some(1)), &[(b"E\na\nE\n", "E|a|E")]);
}

#[test]
fn the_key_is_in_the_first_line() {
    let keyed = InputOptions {
        key_delimiter: Delimiter::new(b" "),
        missing_key: MissingKey::Null,
        ..begins("^E", None)
    };
    check(&keyed, &[(b"E1 x\n y\nE2\n y\n", "E1=x\\n y|E2\\n y")]);
    let line = InputOptions {
        key_delimiter: Delimiter::new(b"\n"),
        ..keyed
    };
    check(&line, &[(b"E1\n y\n z\n", "E1= y\\n z")]);
}

#[test]
fn what_is_too_long_goes_up_to_the_next_beginning() {
    let short = InputOptions {
        record_bytes_max: 6,
        ..begins("^E", None)
    };
    check(
        &short,
        &[
            (b"E\naaaa\nE\nb\n", "E\\naaaa|E\\nb"),
            (b"E\naaaa\na\na\nE\nb\n", "!large|E\\nb"),
            (b"E\nEaaaaaaaaa\nb\nE\n", "E|!large|E"),
            (b"Eaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nb\nE", "!large|E"),
            (b"E\naaaaaaaaaa", "E|!large"),
        ],
    );
}

#[test]
fn an_idle_input_ends_a_record_of_whole_lines() {
    let mut parser = RecordParser::new(begins("^E", None)).expect("a parser");
    let value = |step: Step<'_>| match step {
        Step::Record { record, consumed } => {
            (record.value.map(std::borrow::Cow::into_owned), consumed)
        }
        other => panic!("{other:?}"),
    };
    assert!(!parser.holds_record());
    assert!(matches!(parser.next(b"E", false), Ok(Step::NeedMore)));
    assert!(!parser.holds_record(), "no line is whole");
    assert!(matches!(
        parser.next(b"E1\n a\n b", false),
        Ok(Step::NeedMore)
    ));
    assert!(parser.holds_record());
    parser.end_record();
    let step = parser.next(b"E1\n a\n b", false).expect("a record");
    assert_eq!(value(step), (Some(b"E1\n a".to_vec()), 6));
    assert!(!parser.holds_record());
    parser.end_record();
    assert!(matches!(parser.next(b" b", false), Ok(Step::NeedMore)));
    let step = parser.next(b" b\nE2", true).expect("a record");
    assert_eq!(value(step), (Some(b" b".to_vec()), 3));
}

proptest! {
    /// In any pieces, the result is the same as lines joined by hand.
    #[test]
    fn records_do_not_depend_on_pieces(
        input in "[Ea\n]{0,60}",
        lines_max in proptest::option::of(1u64..4),
        bytes_max in 1usize..12,
    ) {
        let long = begins("^E", lines_max);
        let short = InputOptions { record_bytes_max: bytes_max, ..long.clone() };
        for options in [&long, &short] {
            let whole = read_in_steps(options.clone(), input.as_bytes(), input.len().max(1));
            for step in 1..5 {
                let pieces = read_in_steps(options.clone(), input.as_bytes(), step);
                prop_assert_eq!(&pieces, &whole, "in steps of {}", step);
            }
        }
        let mut wanted: Vec<Vec<&str>> = Vec::new();
        for line in input.lines() {
            let is_full = |record: &Vec<&str>| lines_max.is_some_and(|max| record.len() as u64 >= max);
            match wanted.last_mut() {
                Some(record) if !line.starts_with('E') && !is_full(record) => record.push(line),
                _ => wanted.push(vec![line]),
            }
        }
        let wanted: Vec<_> = wanted.iter().map(|lines| lines.join("\n").into_bytes()).collect();
        let found: Vec<_> = read_in_steps(long, input.as_bytes(), input.len().max(1))
            .into_iter()
            .map(|one| one.expect("a record").value.expect("a value").into_owned())
            .collect();
        prop_assert_eq!(found, wanted);
    }
}
