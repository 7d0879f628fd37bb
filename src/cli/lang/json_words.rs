//! Explains why JSON was refused, in JSON's words: the parser's messages name types of the program.
//! For that, the refused text is parsed once more, as any JSON.

use serde_json::Value;

use super::escape::shown;
use crate::error::{Error, Kind};

/// The most characters of a string that a message quotes.
const SHOWN_CHARS: usize = 24;

const ONE_LINE: &str = "a record is one line: 'jq -c .' prints each object in one";
const AS_TEXT: &str = "a value is text: 'jq -c \".value |= tojson\"' makes it so of any JSON";
const HALF: &str =
    "write both halves, or the bytes as {\"base64\":\"...\"}: key, value and headers take that";
const EMPTY: &str = "--skip-empty passes over empty lines";

/// The value that is expected in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Object,
    Text,
    TextOrNull,
    /// A string, null, or an object of base64.
    Bytes,
    Int32,
    Int64,
    /// Pairs of a name and a value, as in mq's envelope.
    Pairs,
    /// Names and values in turn, or an object of lists, as in kcat.
    InTurn,
}

/// The error for `text`, or for its `field` ("": the whole), where `due` was expected; with the
/// column, and the cure if one is known.
pub(super) fn refused(text: &[u8], e: &serde_json::Error, field: &str, due: Due) -> Error {
    let refuse = |column: usize, what: &str| {
        // The parser counts columns from 1, and reports 0 before the first.
        let column = column.max(1);
        Error::new(Kind::InvalidRecord, format!("column {column}: {what}"))
    };
    if text.trim_ascii().is_empty() {
        return refuse(e.column(), "there is no JSON, it is empty").cure(EMPTY);
    }
    let (mut data, mut syntax) = (None, None);
    if e.is_data() {
        match serde_json::from_str::<Value>(&String::from_utf8_lossy(text)) {
            Ok(whole) => {
                let place = match field {
                    "" => Some(&whole),
                    field => whole.get(field),
                };
                data = place.and_then(|value| wrong(value, due));
            }
            // The whole text is not JSON, after the refused place.
            Err(e) => syntax = Some(e),
        }
    }
    if let Some(what) = data {
        let error = refuse(e.column(), &what);
        return if field == "value" {
            error.cure(AS_TEXT)
        } else {
            error
        };
    }
    let e = syntax.as_ref().unwrap_or(e);
    if e.is_eof() {
        let error = refuse(e.column(), "the JSON is not complete");
        return match text.trim_ascii_start().first() {
            Some(b'{' | b'[') if due != Due::Bytes => error.cure(ONE_LINE),
            _ => error,
        };
    }
    let reported = e.to_string();
    let place = format!(" at line {} column {}", e.line(), e.column());
    let reported = reported.strip_suffix(&place).unwrap_or(&reported);
    if reported == "trailing characters" {
        let error = refuse(e.column(), "more follows the JSON in its line");
        let behind = text.get(e.column().saturating_sub(1)..).unwrap_or_default();
        return match behind.first() {
            Some(b'{' | b'[') => error.cure(ONE_LINE),
            _ => error,
        };
    }
    if is_half(reported) {
        let what = "\\ud800 to \\udfff come in pairs, and this is one alone: no character";
        return refuse(e.column(), what).cure(HALF);
    }
    if e.is_data() {
        refuse(e.column(), reported)
    } else {
        refuse(e.column(), &format!("not JSON: {reported}"))
    }
}

/// Whether the parser complains of a surrogate without its other half.
fn is_half(reported: &str) -> bool {
    matches!(
        reported,
        "lone leading surrogate in hex escape" | "unexpected end of hex escape"
    )
}

/// What is wrong with a value where `due` was expected; `None`: nothing, or the parser's own
/// message says it.
fn wrong(value: &Value, due: Due) -> Option<String> {
    let is_due = |due: &str| Some(format!("expected {due}, not {}", found(value)));
    match (due, value) {
        (Due::Object, Value::Object(_))
        | (Due::Text, Value::String(_))
        | (Due::TextOrNull | Due::Bytes, Value::String(_) | Value::Null) => None,
        (Due::Object, _) => is_due("an object"),
        (Due::Text, _) => is_due("a string"),
        (Due::TextOrNull, _) => is_due("a string or null"),
        (Due::Bytes, Value::Object(object)) => {
            let text = object.get("base64").filter(|_| object.len() == 1)?;
            wrong(text, Due::Text).map(|what| format!("base64: {what}"))
        }
        (Due::Bytes, _) => is_due(EXPECTED),
        (Due::Int32 | Due::Int64, Value::Number(number)) => {
            let (least, most) = match due {
                Due::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
                _ => (i64::MIN, i64::MAX),
            };
            match number.as_i64() {
                Some(n) if (least..=most).contains(&n) => None,
                None if number.is_f64() => is_due("an integer"),
                _ => Some(format!("{number} is not within {least} to {most}")),
            }
        }
        (Due::Int32 | Due::Int64, _) => is_due("an integer"),
        (Due::Pairs, Value::Array(pairs)) => pairs.iter().find_map(|pair| match pair {
            Value::Array(parts) => {
                let mut parts = parts.iter().take(2);
                parts.find_map(|part| wrong(part, Due::Bytes))
            }
            other => Some(format!(
                "expected a pair, [\"name\",\"value\"], not {}",
                found(other)
            )),
        }),
        (Due::Pairs, _) => is_due("a list of pairs, [[\"name\",\"value\"], ...]"),
        (Due::InTurn, Value::Array(parts)) => in_turn(parts),
        (Due::InTurn, Value::Object(lists)) => lists.values().find_map(|list| match list {
            Value::Array(values) => values.iter().find_map(|one| wrong(one, Due::TextOrNull)),
            other => Some(format!("expected an array, not {}", found(other))),
        }),
        (Due::InTurn, _) => is_due("an array of names and values in turn"),
    }
}

fn in_turn(parts: &[Value]) -> Option<String> {
    parts.iter().enumerate().find_map(|(at, part)| {
        let due = if at % 2 == 0 {
            Due::Text
        } else {
            Due::TextOrNull
        };
        wrong(part, due)
    })
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => {
            let (mut chars, mut short) = (text.chars(), String::new());
            short.extend(chars.by_ref().take(SHOWN_CHARS));
            let more = if chars.next().is_some() { "..." } else { "" };
            format!("the string \"{}{more}\"", shown(&short))
        }
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The values that are allowed where bytes are expected.
pub(crate) const EXPECTED: &str = "a string, null or {\"base64\":\"...\"}";

#[cfg(test)]
mod tests {
    use crate::cli::lang::envelope::read_envelope;
    use crate::cli::lang::kcat::read_kcat;
    use crate::error::Error;

    fn says(e: &Error, what: &str, cure: &str) {
        let text = e.to_string();
        assert!(text.contains(what), "{text} has no {what}");
        let reported = e.cure_text().unwrap_or_default();
        assert!(reported.contains(cure), "{text}: {reported} has no {cure}");
        for word in [
            "i64",
            "i32",
            "map",
            "sequence",
            "invalid type",
            "EOF",
            " at line ",
        ] {
            let is_syntax = text.contains("not JSON: ");
            assert!(is_syntax || !text.contains(word), "{text}");
        }
    }

    #[test]
    fn our_envelope_is_refused_in_the_words_of_json() {
        for (line, what, cure) in [
            (
                r#"{"value":1}"#,
                "value: column 10: expected a string, null or {\"base64\":\"...\"}, not the \
                 number 1",
                "tojson",
            ),
            (
                r#"{"value":{"a":1}}"#,
                "must be {\"base64\"",
                "\"value\" is required",
            ),
            (
                r#"{"value":{"base64":1}}"#,
                "base64: expected a string, not the number 1",
                "tojson",
            ),
            (r#"{"value":[1]}"#, "not an array", "tojson"),
            (
                r#"{"value":"a","partition":"0"}"#,
                "partition: column 28: expected an integer, not the string \"0\"",
                "mq-consume -J",
            ),
            (
                r#"{"value":"a","partition":2147483648}"#,
                "2147483648 is not within -2147483648 to 2147483647",
                "",
            ),
            (
                r#"{"value":"a","timestamp":1.5}"#,
                "expected an integer, not the number 1.5",
                "",
            ),
            (
                r#"{"value":"a","timestamp":99999999999999999999}"#,
                "timestamp: ",
                "",
            ),
            (
                r#"{"value":"a","offset":null}"#,
                "expected an integer, not null",
                "",
            ),
            (
                r#"{"value":"a","topic":{}}"#,
                "topic: column 21: expected a string, not an object",
                "",
            ),
            (
                r#"{"value":"a","headers":{"k":"v"}}"#,
                "expected a list of pairs, [[\"name\",\"value\"], ...], not an object",
                "",
            ),
            (
                r#"{"value":"a","headers":["k"]}"#,
                "expected a pair, [\"name\",\"value\"], not the string \"k\"",
                "",
            ),
            (
                r#"{"value":"a","headers":[["k",5]]}"#,
                "headers: column 30: expected a string, null or",
                "",
            ),
            ("[1]", "expected an object, not an array", "without -J"),
            ("5", "expected an object, not the number 5", "without -J"),
            (r#"{"id":5}"#, "unknown field 'id'", "without -J"),
            ("{", "the JSON is not complete", "jq -c ."),
            ("[", "", "jq -c ."),
            ("{\"value\":\"a\",", "the JSON is not complete", "jq -c ."),
            // Invalid JSON after the refused place is reported first.
            ("{\"value\":1, x", "not JSON: ", ""),
            ("hello", "column 1: not JSON: expected value", ""),
            (
                r#"{"value":"a"}{"value":"b"}"#,
                "column 14: more follows the JSON in its line",
                "jq -c .",
            ),
            (
                r#"{"value":"a"} {"value":1}"#,
                "column 15: more follows",
                "jq -c .",
            ),
            (r#"{"value":"\ud800"}"#, "come in pairs", "base64"),
            (r#"{"value":"\ud800\u0041"}"#, "come in pairs", "base64"),
            (r#"{"value":"\udc00x"}"#, "come in pairs", "base64"),
            (r#"{"value":"\ud8"}"#, "not JSON: ", ""),
            ("", "it is empty", "--skip-empty"),
            (" \r", "it is empty", "--skip-empty"),
        ] {
            says(&read_envelope(line.as_bytes()).expect_err(line), what, cure);
        }
        let long = format!("{{\"value\":\"a\",\"partition\":\"{}\"}}", "x".repeat(5000));
        let e = read_envelope(long.as_bytes()).expect_err("long");
        assert!(e.to_string().len() < 120, "{e}");
    }

    #[test]
    fn so_is_that_of_kcat() {
        for (line, what) in [
            (
                &br#"{"payload":1}"#[..],
                "payload: column 12: expected a string or null, not the number 1",
            ),
            (
                b"{\"payload\":\"\xff\",\"ts\":\"5\"}",
                "expected an integer, not the string \"5\"",
            ),
            (
                br#"{"payload":"a","headers":5}"#,
                "expected an array of names and values in turn, not the number 5",
            ),
            (
                br#"{"payload":"a","headers":["k",1]}"#,
                "expected a string or null, not the number 1",
            ),
            (
                br#"{"payload":"a","headers":{"k":"v"}}"#,
                "expected an array, not the string \"v\"",
            ),
            (b"{", "the JSON is not complete"),
        ] {
            says(&read_kcat(line).expect_err("refused"), what, "");
        }
    }
}
