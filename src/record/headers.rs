//! The headers of a record, checked when the record is read and decoded on demand.

use crate::codec::{Malformed, Reader};

/// Fewest bytes of a header: two lengths.
const HEADER_LEN_MIN: usize = 2;

/// A header of a record: a name, which may occur more than once, and a value.
///
/// ```
/// use mq::{Header, RecordRef};
///
/// let trace = Header { key: b"trace", value: Some(b"7f") };
/// let headers = [trace, Header { key: b"retried", value: None }];
/// let record = RecordRef::new("an order").headers(&headers);
/// assert_eq!(record.header_iter().next(), Some(trace));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name: UTF-8 by Kafka's rule, never null; not checked here.
    pub key: &'a [u8],
    /// The value; null is not empty.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in order; a name may occur more than once.
///
/// ```
/// use mq::{NewTopic, RecordRef};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// store.admin().ensure_topic(NewTopic::new("orders"))?;
/// let orders = store.producer("orders").open()?;
/// orders.send(RecordRef::new("an order").header("trace", "7f"))?.wait()?;
/// for record in store.consumer(["orders"]).to_end().open()? {
///     let record = record?;
///     let headers = record.headers();
///     let trace = headers.iter().find(|header| header.key == b"trace");
///     assert_eq!(trace.and_then(|header| header.value), Some(&b"7f"[..]));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    raw: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Checks that `raw` is exactly `count` headers.
    pub(super) fn parse(count: i32, raw: &'a [u8]) -> Result<Self, Malformed> {
        let count =
            usize::try_from(count).map_err(|_| Malformed("the header count is negative"))?;
        if count > raw.len() / HEADER_LEN_MIN {
            return Err(Malformed("more headers than the record has bytes for"));
        }
        let mut reader = Reader::new(raw);
        for _ in 0..count {
            read_header(&mut reader)?;
        }
        if !reader.is_empty() {
            return Err(Malformed("the record is longer than its fields"));
        }
        Ok(Headers { count, raw })
    }

    /// Headers that were parsed before: their count and bytes.
    pub(crate) fn of_parsed(count: usize, raw: &'a [u8]) -> Self {
        Headers { count, raw }
    }

    /// The bytes of all of them.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The number of headers.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Iterates over the headers in order.
    #[inline]
    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter {
            left: self.count,
            reader: Reader::new(self.raw),
        }
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;
    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;
    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Headers`].
///
/// ```
/// use mq::{HeaderIter, Headers};
///
/// fn names(headers: Headers<'_>) -> Vec<String> {
///     let all: HeaderIter<'_> = headers.iter();
///     all.map(|header| String::from_utf8_lossy(header.key).into_owned()).collect()
/// }
/// assert!(names(Headers::default()).is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        read_header(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

fn read_header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, Malformed> {
    let key = reader
        .nullable_bytes()?
        .ok_or(Malformed("the key of a header is null"))?;
    let value = reader.nullable_bytes()?;
    Ok(Header { key, value })
}
