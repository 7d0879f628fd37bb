//! Lines as kafka-console-producer reads them with parse.headers and parse.key, and as
//! kafka-console-consumer prints them with print.headers and print.key: headers, key and value with a
//! tab between, `name:value` with a comma between for headers. Kafka: `LineMessageReader.java`.

use std::borrow::Cow;

use super::input_record::{InputHeader, InputRecord};
use crate::error::{Error, Kind, Result};

/// What the consumer prints for a record without headers.
const NO_HEADERS: &[u8] = b"NO_HEADERS";

/// The form of a line, for messages.
const FORM: &str =
    "a line is HEADERS TAB KEY TAB VALUE, with headers as name:value,name:value or empty";

/// Reads a line. Text equal to the marker is null: headers, a header's value, key and value.
///
/// # Errors
/// [`Kind::InvalidRecord`] if a separator is missing, or a header's name is the marker.
pub(super) fn read_console<'b>(line: &'b [u8], marker: Option<&[u8]>) -> Result<InputRecord<'b>> {
    // Java also reads lines that end as on Windows.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let invalid = |what: &str| Error::new(Kind::InvalidRecord, what).cure(FORM);
    let text = |bytes: &'b [u8]| Some(Cow::Borrowed(bytes)).filter(|_| Some(bytes) != marker);
    let (headers, rest) =
        split(line, b'\t').ok_or_else(|| invalid("there is no tab after the headers"))?;
    let (key, value) =
        split(rest, b'\t').ok_or_else(|| invalid("there is no tab after the key"))?;
    let mut record = InputRecord {
        key: text(key),
        key_given: true,
        value: text(value),
        ..InputRecord::default()
    };
    if headers.is_empty() || headers == NO_HEADERS || Some(headers) == marker {
        return Ok(record);
    }
    // As Java's split: empty parts at the end are no headers.
    let last = headers.iter().rposition(|byte| *byte != b',');
    let pairs = last.and_then(|last| headers.get(..=last));
    let pairs = pairs
        .into_iter()
        .flat_map(|pairs| pairs.split(|byte| *byte == b','));
    for pair in pairs {
        let header: InputHeader<'b> = match split(pair, b':') {
            Some((name, _)) if Some(name) == marker => {
                return Err(invalid("a header's name cannot be null"));
            }
            Some((name, value)) => (Cow::Borrowed(name), text(value)),
            None => {
                return Err(invalid(&format!(
                    "there is no colon in the header '{}'",
                    pair.escape_ascii()
                )));
            }
        };
        record.headers.push(header);
    }
    Ok(record)
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let found = memchr::memchr(at, bytes)?;
    Some((bytes.get(..found)?, bytes.get(found + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(line: &str, marker: Option<&str>) -> String {
        let record = match read_console(line.as_bytes(), marker.map(str::as_bytes)) {
            Ok(record) => record,
            Err(e) => {
                assert_eq!(e.kind(), Kind::InvalidRecord);
                return format!("!{e}");
            }
        };
        let text = |bytes: Option<&Cow<'_, [u8]>>| {
            bytes.map_or("~".to_owned(), |bytes| bytes.escape_ascii().to_string())
        };
        let mut reported = format!(
            "{}={}",
            text(record.key.as_ref()),
            text(record.value.as_ref())
        );
        for (name, value) in &record.headers {
            reported += &format!(";{}:{}", name.escape_ascii(), text(value.as_ref()));
        }
        reported
    }

    #[test]
    fn lines_are_read_as_kafka_does() {
        for (line, wanted) in [
            ("h0:v0,h1:v1\tk\tv", "k=v;h0:v0;h1:v1"),
            (":\t\t", "=;:"),
            ("h:\tk\tv\tw", "k=v\\tw;h:"),
            ("h:a:b\tk\tv\r", "k=v;h:a:b"),
            ("h:v,,\tk\tv", "k=v;h:v"),
            ("NO_HEADERS\tk\tv", "k=v"),
            ("\tk\tv", "k=v"),
            (",,\tk\tv", "k=v"),
            (",h:v\tk\tv", "!there is no colon in the header ''"),
            ("h-v\tk\tv", "!there is no colon in the header 'h-v'"),
            (
                "h:v,\u{0}x\tk\tv",
                "!there is no colon in the header '\\x00x'",
            ),
            ("h:v\tkv", "!there is no tab after the key"),
            ("v", "!there is no tab after the headers"),
            ("", "!there is no tab after the headers"),
        ] {
            assert_eq!(reported(line, None), wanted, "{line:?}");
        }
        for (line, wanted) in [
            ("NULL\tk\tNULL", "k=~"),
            ("h:NULL,i:NULLs\tNULL\tNULLs", "~=NULLs;h:~;i:NULLs"),
            ("NULL:v\tk\tv", "!a header's name cannot be null"),
            ("\t\t", "="),
        ] {
            assert_eq!(reported(line, Some("NULL")), wanted, "{line:?}");
        }
    }
}
