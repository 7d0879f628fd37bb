//! The JSON envelope: a record as one line, lossless both ways.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

use super::escape::shown;
use super::input_record::{InputHeader, InputRecord};
use super::json::{JsonBytes, Text, push_bytes, push_string};
use super::json_words::{Due, refused};
use super::number::push_decimal;
use super::output_record::OutputRecord;
use crate::error::{Error, Kind, Result};
use crate::types::{LeaderEpoch, Offset, PartitionId, Timestamp};

/// Appends the envelope of `record` and a newline.
pub fn write_envelope(record: &OutputRecord<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    push_string(record.topic, out);
    out.extend_from_slice(b",\"partition\":");
    push_decimal(i64::from(record.partition), out);
    out.extend_from_slice(b",\"offset\":");
    push_decimal(record.offset, out);
    out.extend_from_slice(b",\"timestamp\":");
    push_decimal(record.timestamp, out);
    out.extend_from_slice(b",\"timestamp_type\":\"");
    out.extend_from_slice(record.timestamp_type.as_str().as_bytes());
    out.extend_from_slice(b"\",\"leader_epoch\":");
    push_decimal(i64::from(record.leader_epoch), out);
    out.extend_from_slice(b",\"key\":");
    push_bytes(record.key, out);
    out.extend_from_slice(b",\"value\":");
    push_bytes(record.value, out);
    out.extend_from_slice(b",\"headers\":[");
    for (nth, header) in record.headers.iter().enumerate() {
        out.extend_from_slice(if nth == 0 { b"[" } else { b",[" });
        push_bytes(Some(header.key), out);
        out.push(b',');
        push_bytes(header.value, out);
        out.push(b']');
    }
    out.extend_from_slice(b"]}\n");
}

/// Reads the envelope that makes up all of `line`. Only `value` is required; `offset`,
/// `timestamp_type` and `leader_epoch` are checked and ignored.
///
/// # Errors
/// [`Kind::InvalidRecord`]: not JSON, not an object, an unknown field, a field that comes twice, a
/// wrong type, or no `value`. The message names field and column.
pub fn read_envelope(line: &[u8]) -> Result<InputRecord<'_>> {
    let (field, is_kcats) = (Cell::new(""), Cell::new(false));
    let mut reader = serde_json::Deserializer::from_slice(line);
    let envelope = Envelope {
        field: &field,
        is_kcats: &is_kcats,
    };
    let read = envelope
        .deserialize(&mut reader)
        .and_then(|record| reader.end().map(|()| record));
    let record = read.map_err(|e| {
        let mut e = refused(line, &e, field.get(), due(field.get()));
        if e.cure_text().is_none() {
            e = e.cure(if is_kcats.get() { KCAT } else { FORM });
        }
        match field.get() {
            "" => e,
            name => e.at(name),
        }
    })?;
    record
        .ok_or_else(|| Error::new(Kind::InvalidRecord, "the envelope has no \"value\"").cure(FORM))
}

/// The form of a line, for messages.
const FORM: &str = "each line is an object as mq-consume -J prints it; \"value\" is required: \
 a string, null or {\"base64\":\"...\"}; without -J each line is a value as it stands";

/// Fields of `kcat -J` that this envelope does not have.
const KCAT_FIELDS: [&str; 4] = ["tstype", "ts", "broker", "payload"];

const KCAT: &str =
    "this looks like the output of kcat -J: --input-format kcat, in place of -J, reads it";

/// The value that a field expects; "" is the whole line.
fn due(field: &str) -> Due {
    match field {
        "topic" | "timestamp_type" => Due::Text,
        "partition" | "leader_epoch" => Due::Int32,
        "offset" | "timestamp" => Due::Int64,
        "key" | "value" => Due::Bytes,
        "headers" => Due::Pairs,
        _ => Due::Object,
    }
}

const FIELDS: [&str; 9] = [
    "topic",
    "partition",
    "offset",
    "timestamp",
    "timestamp_type",
    "leader_epoch",
    "key",
    "value",
    "headers",
];

/// Reads an envelope; keeps the name of the field it is in for the message.
struct Envelope<'f> {
    field: &'f Cell<&'static str>,
    /// Set at an unknown field that is one of kcat's.
    is_kcats: &'f Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Envelope<'_> {
    type Value = Option<InputRecord<'de>>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope<'_> {
    /// `None` without a `value`.
    type Value = Option<InputRecord<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a \"value\"")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut record = InputRecord::default();
        let mut seen = [false; FIELDS.len()];
        while let Some(Text(name)) = map.next_key()? {
            let Some(at) = FIELDS.iter().position(|field| *field == name) else {
                self.is_kcats.set(KCAT_FIELDS.contains(&&*name));
                return Err(A::Error::custom(format_args!(
                    "unknown field '{}'; known are {}",
                    shown(&name),
                    FIELDS.join(", ")
                )));
            };
            let field = FIELDS[at];
            if std::mem::replace(&mut seen[at], true) {
                return Err(A::Error::custom(format_args!("'{field}' comes twice")));
            }
            self.field.set(field);
            match field {
                "topic" => record.topic = Some(map.next_value::<Text<'de>>()?.0),
                "timestamp_type" => drop(map.next_value::<Text<'de>>()?),
                "offset" => _ = map.next_value::<Offset>()?,
                "leader_epoch" => _ = map.next_value::<LeaderEpoch>()?,
                "partition" => {
                    record.partition = Some(map.next_value::<PartitionId>()?);
                }
                "timestamp" => record.timestamp = Some(map.next_value::<Timestamp>()?),
                "key" => {
                    record.key = map.next_value::<JsonBytes<'de>>()?.0;
                    record.key_given = true;
                }
                "value" => record.value = map.next_value::<JsonBytes<'de>>()?.0,
                _ => {
                    record.headers = map.next_value::<HeaderPairs<'de>>()?.0;
                }
            }
            self.field.set("");
        }
        let has_value = FIELDS
            .iter()
            .zip(seen)
            .any(|(field, seen)| *field == "value" && seen);
        Ok(has_value.then_some(record))
    }
}

/// The form of headers, for messages.
const HEADERS: &str = "a list of pairs, [[\"name\",\"value\"], ...]";

/// `[["k","v"],...]`.
struct HeaderPairs<'a>(Vec<InputHeader<'a>>);

impl<'de> Deserialize<'de> for HeaderPairs<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = HeaderPairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(HEADERS)
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut headers = Vec::new();
                while let Some(HeaderPair(header)) = seq.next_element()? {
                    headers.push(header);
                }
                Ok(HeaderPairs(headers))
            }
        }
        d.deserialize_seq(Pairs)
    }
}

/// `["k","v"]`; the value may be null.
struct HeaderPair<'a>(InputHeader<'a>);

impl<'de> Deserialize<'de> for HeaderPair<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = HeaderPair<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(HEADERS)
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let parts = |count: &str| {
                    A::Error::custom(format_args!("a header of {count}, expected {HEADERS}"))
                };
                let Some(JsonBytes(key)) = seq.next_element()? else {
                    return Err(parts("no parts"));
                };
                let Some(JsonBytes(value)) = seq.next_element()? else {
                    return Err(parts("one part"));
                };
                if seq.next_element::<IgnoredAny>()?.is_some() {
                    return Err(parts("more than two parts"));
                }
                key.map(|key| HeaderPair((key, value)))
                    .ok_or_else(|| A::Error::custom("a header's name cannot be null"))
            }
        }
        d.deserialize_seq(Pair)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::cli::lang::output_record::HeaderList;
    use crate::record::Header;
    use crate::types::TimestampType;

    #[test]
    fn an_envelope_is_written_as_specified() {
        let headers = [
            Header {
                key: b"k",
                value: Some(b"v"),
            },
            Header {
                key: b"",
                value: None,
            },
        ];
        let record = OutputRecord {
            topic: "t",
            partition: 1,
            offset: 2,
            timestamp: -1,
            timestamp_type: TimestampType::LogAppendTime,
            leader_epoch: 4,
            key: None,
            value: Some(b"\xff"),
            headers: HeaderList::Slice(&headers),
            count: 0,
            edges: crate::client::files::LogEdges::default(),
        };
        let mut out = Vec::new();
        write_envelope(&record, &mut out);
        assert_eq!(
            String::from_utf8(out).expect("json"),
            "{\"topic\":\"t\",\"partition\":1,\"offset\":2,\"timestamp\":-1,\
             \"timestamp_type\":\"LogAppendTime\",\"leader_epoch\":4,\"key\":null,\
             \"value\":{\"base64\":\"/w==\"},\"headers\":[[\"k\",\"v\"],[\"\",null]]}\n"
        );
    }

    #[test]
    fn only_a_value_is_required() {
        let record = read_envelope(b" {\"value\":\"x\"}\r").expect("value");
        assert_eq!(
            record,
            InputRecord {
                value: Some(Cow::Borrowed(b"x")),
                ..Default::default()
            }
        );
        let record = read_envelope(b"{\"key\":null,\"value\":null,\"timestamp\":5}").expect("null");
        assert_eq!(
            (record.key, record.key_given, record.value),
            (None, true, None)
        );
        assert_eq!(record.timestamp, Some(5));
    }

    #[test]
    fn what_is_refused_is_named() {
        for (line, part) in [
            ("", "column"),
            ("1", "an object"),
            ("[]", "an object"),
            ("{}", "no \"value\""),
            ("{\"value\":1}", "value: "),
            ("{\"value\":true}", "a string, null or"),
            ("{\"value\":[]}", "value: "),
            ("{\"value\":{\"base64\":\"?\"}}", "base64"),
            ("{\"value\":{\"hex\":\"00\"}}", "base64"),
            ("{\"value\":{}}", "base64"),
            ("{\"value\":\"a\",\"value\":\"b\"}", "twice"),
            ("{\"value\":\"a\",\"Key\":\"b\"}", "unknown field 'Key'"),
            ("{\"value\":\"a\"} x", "more follows"),
            ("{\"value\":\"a\",\"partition\":\"0\"}", "partition: "),
            ("{\"value\":\"a\",\"partition\":2147483648}", "partition: "),
            ("{\"value\":\"a\",\"timestamp\":1.5}", "timestamp: "),
            ("{\"value\":\"a\",\"timestamp\":null}", "timestamp: "),
            ("{\"value\":\"a\",\"offset\":\"x\"}", "offset: "),
            (
                "{\"value\":\"a\",\"headers\":{}}",
                "[[\"name\",\"value\"], ...]",
            ),
            (
                "{\"value\":\"a\",\"headers\":[\"k\"]}",
                "expected a pair, [\"name\",\"value\"]",
            ),
            (
                "{\"value\":\"a\",\"headers\":[[\"k\"]]}",
                "a header of one part",
            ),
            (
                "{\"value\":\"a\",\"headers\":[[\"k\",\"v\",1]]}",
                "a header of more than two parts",
            ),
            (
                "{\"value\":\"a\",\"headers\":[[null,\"v\"]]}",
                "name cannot be null",
            ),
            ("{\"value\":\"\\ud800\"}", "value: "),
            ("{\"value\":\"a\"", "column"),
        ] {
            let e = read_envelope(line.as_bytes()).expect_err(line);
            assert_eq!(e.kind(), Kind::InvalidRecord, "{line}");
            assert!(e.to_string().contains(part), "{line}: {e}");
            assert!(!e.to_string().contains("line 1"), "{line}: {e}");
        }
        let deep = format!("{{\"value\":{}", "[".repeat(100_000));
        assert!(read_envelope(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(
            bytes: Vec<u8>,
            grammar in "\\{(\"(value|key|headers|base64|timestamp)\"[:,]|null|[\\[\\]{}\",0-9-]|\"a\"){0,12}\\}?",
        ) {
            for line in [&bytes[..], grammar.as_bytes()] {
                if let Err(e) = read_envelope(line) {
                    prop_assert_eq!(e.kind(), Kind::InvalidRecord);
                }
            }
        }
    }
}
