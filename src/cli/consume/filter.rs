//! Which records `mq-consume` prints.

use std::ffi::OsString;

use regex::bytes::Regex;

use crate::cli::common::{bytes_as_given, usage};
use crate::error::Result;
use crate::record::Record;

/// Conditions that a printed record meets, all of them; the default has none.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The key is equal to this.
    pub key: Option<Vec<u8>>,
    /// The record has a key, and it matches.
    pub key_regex: Option<Regex>,
    /// The record has each of these headers.
    pub headers: Vec<HeaderIs>,
    /// The record has a value, and it matches.
    pub grep: Option<Regex>,
    /// Passes records that fail at least one of the conditions above.
    pub invert: bool,
    /// The record has a value; `invert` does not change this condition.
    pub no_tombstones: bool,
}

/// A header of this name and, where `value` is given, of this value. A record may have several
/// headers of the same name; one that matches is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderIs {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl HeaderIs {
    /// Parses `NAME` or `NAME=VALUE`: the first `=` ends the name, as in `mq-produce -H`.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage) for an empty name.
    pub fn parse(given: OsString) -> Result<Self> {
        let bytes = bytes_as_given("--header", given)?;
        if bytes.is_empty() {
            return Err(usage(
                "--header '' names no header",
                "say --header NAME=VALUE, or --header NAME for any value",
            ));
        }
        Ok(match memchr::memchr(b'=', &bytes) {
            None => HeaderIs {
                name: bytes,
                value: None,
            },
            Some(equals) => HeaderIs {
                name: bytes[..equals].to_vec(),
                value: Some(bytes[equals + 1..].to_vec()),
            },
        })
    }

    fn is_in(&self, record: &Record<'_>) -> bool {
        record.headers.iter().any(|header| {
            let value = self.value.as_deref();
            header.key == self.name && value.is_none_or(|value| header.value == Some(value))
        })
    }
}

impl Filter {
    /// Whether every record passes.
    pub fn is_open(&self) -> bool {
        !self.has_condition() && !self.no_tombstones
    }

    /// Whether there is a condition that `invert` can negate.
    pub fn has_condition(&self) -> bool {
        self.key.is_some()
            || self.key_regex.is_some()
            || !self.headers.is_empty()
            || self.grep.is_some()
    }

    /// Whether a record passes.
    pub fn passes(&self, record: &Record<'_>) -> bool {
        if self.no_tombstones && record.value.is_none() {
            return false;
        }
        !self.has_condition() || self.matches(record) != self.invert
    }

    fn matches(&self, record: &Record<'_>) -> bool {
        let is_key = |key: &Vec<u8>| record.key == Some(key.as_slice());
        self.key.as_ref().is_none_or(is_key)
            && matches(self.key_regex.as_ref(), record.key)
            && self.headers.iter().all(|header| header.is_in(record))
            && matches(self.grep.as_ref(), record.value)
    }
}

/// Null matches no expression, not even one that matches the empty text.
fn matches(regex: Option<&Regex>, bytes: Option<&[u8]>) -> bool {
    regex.is_none_or(|regex| bytes.is_some_and(|bytes| regex.is_match(bytes)))
}
