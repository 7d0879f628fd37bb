//! Which records `mq-consume` prints.

use std::ffi::OsString;

use regex::bytes::Regex;

use crate::cli::common::{bytes_as_given, usage};
use crate::error::Result;
use crate::record::Record;

/// Conditions that a printed record meets, all of them; the default has none.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The key is this.
    pub key: Option<Vec<u8>>,
    /// There is a key, and it matches.
    pub key_regex: Option<Regex>,
    /// For each of these the record has such a header.
    pub headers: Vec<HeaderIs>,
    /// There is a value, and it matches.
    pub grep: Option<Regex>,
    /// At least one of the conditions above is not met.
    pub invert: bool,
    /// There is a value, `invert` or not.
    pub no_tombstones: bool,
}

/// A header of this name; where `value` is given, with this value. A name may come more than once in a
/// record: any of them will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderIs {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl HeaderIs {
    /// Parses `NAME` or `NAME=VALUE`: the first `=` ends the name, as in `mq-produce -H`.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage) for an empty text.
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

    /// Whether there is anything that `invert` turns round.
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
