//! Records in the format of `kcat -J`: a JSON object per line.
//!
//! kcat writes the bytes of strings unchanged, so bytes that are not UTF-8 are read as they are.
//! Headers are a list of alternating names and values, or an object of lists. What kcat decoded by
//! a schema is JSON instead of a string; it is refused, since the original bytes are missing.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

use super::escape::shown;
use super::input_record::{InputHeader, InputRecord};
use super::json::Text;
use super::json_words::{Due, refused};
use crate::error::{Error, Kind, Result};
use crate::types::{Offset, PartitionId, Timestamp};

/// The form of a line, for messages.
const FORM: &str =
    "each line is an object as kcat -J prints it; \"payload\" is required: a string or null";

/// The value that a field expects; "" is the whole line.
fn due(field: &str) -> Due {
    match field {
        "topic" | "tstype" | "key_error" | "payload_error" => Due::Text,
        "partition" => Due::Int32,
        "offset" | "ts" => Due::Int64,
        "key" | "payload" => Due::TextOrNull,
        "headers" => Due::InTurn,
        _ => Due::Object,
    }
}

const FIELDS: [&str; 13] = [
    "topic",
    "partition",
    "offset",
    "tstype",
    "ts",
    "broker",
    "headers",
    "key",
    "payload",
    "key_schema_id",
    "value_schema_id",
    "key_error",
    "payload_error",
];

/// Reads the object that makes up all of `line`. Only `payload` is required.
///
/// # Errors
/// [`Kind::InvalidRecord`], as for mq's own envelope.
pub(super) fn read_kcat(line: &[u8]) -> Result<InputRecord<'_>> {
    let field = Cell::new("");
    let mut reader = serde_json::Deserializer::from_slice(line);
    let read = Envelope { field: &field }
        .deserialize(&mut reader)
        .and_then(|record| reader.end().map(|()| record));
    let record = read.map_err(|e| {
        let mut e = refused(line, &e, field.get(), due(field.get()));
        if e.cure_text().is_none() {
            e = e.cure(FORM);
        }
        match field.get() {
            "" => e,
            name => e.at(name),
        }
    })?;
    record.ok_or_else(|| Error::new(Kind::InvalidRecord, "there is no \"payload\"").cure(FORM))
}

struct Envelope<'f> {
    /// The field that is being read, for messages.
    field: &'f Cell<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Envelope<'_> {
    type Value = Option<InputRecord<'de>>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope<'_> {
    /// `None` without a payload.
    type Value = Option<InputRecord<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a \"payload\"")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut record = InputRecord::default();
        let mut seen = [false; FIELDS.len()];
        let mut is_timed = true;
        while let Some(Text(name)) = map.next_key()? {
            let Some(at) = FIELDS.iter().position(|field| *field == name) else {
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
                "partition" => record.partition = Some(map.next_value::<PartitionId>()?),
                "offset" => _ = map.next_value::<Offset>()?,
                "tstype" => is_timed = map.next_value::<Text<'de>>()?.0 != "unknown",
                "ts" => record.timestamp = Some(map.next_value::<Timestamp>()?),
                "broker" | "key_schema_id" | "value_schema_id" => {
                    _ = map.next_value::<IgnoredAny>()?;
                }
                "headers" => record.headers = map.next_value::<Headers<'de>>()?.0,
                "key" => {
                    record.key = bytes(map.next_value()?);
                    record.key_given = true;
                }
                "payload" => record.value = bytes(map.next_value()?),
                _ => {
                    let why: Text<'de> = map.next_value()?;
                    return Err(A::Error::custom(format_args!(
                        "kcat could not decode it: {}",
                        shown(&why.0)
                    )));
                }
            }
            self.field.set("");
        }
        if !is_timed {
            record.timestamp = None;
        }
        let is_whole = FIELDS
            .iter()
            .zip(seen)
            .any(|(field, seen)| *field == "payload" && seen);
        Ok(is_whole.then_some(record))
    }
}

fn bytes(read: Option<Bytes<'_>>) -> Option<Cow<'_, [u8]>> {
    read.map(|bytes| bytes.0)
}

/// A string, of any bytes.
struct Bytes<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Bytes<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = Bytes<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }
            fn visit_borrowed_bytes<E>(
                self,
                bytes: &'de [u8],
            ) -> std::result::Result<Self::Value, E> {
                Ok(Bytes(Cow::Borrowed(bytes)))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Self::Value, E> {
                Ok(Bytes(Cow::Owned(bytes.to_vec())))
            }
        }
        d.deserialize_bytes(Anything)
    }
}

/// `["k","v",...]`, or `{"k":["v",...],...}`.
struct Headers<'a>(Vec<InputHeader<'a>>);

impl<'de> Deserialize<'de> for Headers<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Headers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names and values in turn, [\"name\",\"value\", ...]")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut headers = Vec::new();
                while let Some(Bytes(name)) = seq.next_element()? {
                    let Some(value) = seq.next_element::<Option<Bytes<'de>>>()? else {
                        return Err(A::Error::custom("the last header has a name and no value"));
                    };
                    headers.push((name, bytes(value)));
                }
                Ok(Headers(headers))
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut headers = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    let name: Cow<'de, [u8]> = match name {
                        Cow::Borrowed(name) => Cow::Borrowed(name.as_bytes()),
                        Cow::Owned(name) => Cow::Owned(name.into_bytes()),
                    };
                    let values: Vec<Option<Bytes<'de>>> = map.next_value()?;
                    let values = values.into_iter().map(bytes);
                    headers.extend(values.map(|value| (name.clone(), value)));
                }
                Ok(Headers(headers))
            }
        }
        d.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: Option<&Cow<'_, [u8]>>) -> String {
        bytes.map_or("~".to_owned(), |bytes| bytes.escape_ascii().to_string())
    }

    fn reported(line: &[u8]) -> String {
        let record = read_kcat(line).unwrap_or_else(|e| panic!("{}: {e}", line.escape_ascii()));
        let mut reported = format!(
            "{} {:?} {:?} {} {}",
            record.topic.as_deref().unwrap_or("-"),
            record.partition,
            record.timestamp,
            text(record.key.as_ref()),
            text(record.value.as_ref())
        );
        for (name, value) in &record.headers {
            reported += &format!(";{}={}", name.escape_ascii(), text(value.as_ref()));
        }
        reported
    }

    #[test]
    fn what_kcat_prints_is_read() {
        for (line, wanted) in [
            (
                &br#"{"topic":"t","partition":1,"offset":7,"tstype":"create","ts":5,"broker":1,"headers":["a","1","b",null,"a",""],"key":"k","payload":"v\n\"x"}"#[..],
                "t Some(1) Some(5) k v\\n\\\"x;a=1;b=~;a=",
            ),
            (
                br#"{"topic":"t","partition":0,"offset":0,"tstype":"logappend","ts":9,"broker":-1,"key":null,"payload":null}"#,
                "t Some(0) Some(9) ~ ~",
            ),
            (br#"{"tstype":"unknown","ts":0,"payload":""}"#, "- None None ~ "),
            (
                br#"{"headers":{"a":["1",null],"b":["x"]},"payload":"v"}"#,
                "- None None ~ v;a=1;a=~;b=x",
            ),
            (br#"{"headers":[],"key":"","payload":"v"}"#, "- None None  v"),
            // kcat's output for bytes that are not UTF-8.
            (b"{\"key\":\"\xff\",\"payload\":\"a\xfe\\u0001\"}", "- None None \\xff a\\xfe\\x01"),
            (b"{\"payload\":\"x\"}\r", "- None None ~ x"),
        ] {
            assert_eq!(reported(line), wanted, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        for (line, part) in [
            ("", "column"),
            ("[]", "an object"),
            ("{}", "no \"payload\""),
            ("{\"value\":\"x\"}", "unknown field 'value'"),
            ("{\"payload\":1}", "payload: "),
            ("{\"payload\":{\"a\":1}}", "a string or null"),
            ("{\"payload\":[1]}", "payload: "),
            ("{\"payload\":\"a\",\"payload\":\"b\"}", "twice"),
            ("{\"payload\":\"a\"} x", "more follows"),
            ("{\"payload\":\"a", "payload: "),
            ("{\"payload\":\"a\",\"headers\":[\"k\"]}", "no value"),
            ("{\"payload\":\"a\",\"headers\":[null,\"v\"]}", "headers: "),
            (
                "{\"payload\":\"a\",\"headers\":[[\"k\",\"v\"]]}",
                "headers: ",
            ),
            ("{\"payload\":\"a\",\"headers\":{\"k\":\"v\"}}", "headers: "),
            (
                "{\"payload\":null,\"payload_error\":\"no schema\"}",
                "decode it: no schema",
            ),
        ] {
            let e = read_kcat(line.as_bytes()).expect_err(line);
            assert_eq!(e.kind(), Kind::InvalidRecord, "{line}");
            assert!(e.to_string().contains(part), "{line}: {e}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(
            bytes: Vec<u8>,
            grammar in "\\{(\"(payload|key|headers|ts|a)\"[:,]|null|[\\[\\]{}\",0-9-]|\"a\"){0,12}\\}?",
        ) {
            for line in [&bytes[..], grammar.as_bytes()] {
                if let Err(e) = read_kcat(line) {
                    prop_assert_eq!(e.kind(), Kind::InvalidRecord);
                }
            }
        }
    }
}
