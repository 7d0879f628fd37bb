//! A borrowed record: to be sent, or inside a batch that was read.

use std::fmt;

use crate::client::ProducerRecord;
use crate::error::{Error, Kind, Result};
use crate::record::{Header, Headers};

/// How many headers [`RecordRef::header`] can add; [`RecordRef::headers`] takes more.
const INLINE_HEADERS_MAX: usize = 4;

/// A borrowed record: producers send it, and batches that were read consist of it.
///
/// A value alone is a record, too: a producer takes `"text"`, `b"bytes"`, and a pair `(key, value)`.
///
/// ```
/// use mq::RecordRef;
///
/// let record = RecordRef::new(b"shipped")
///     .key(b"order-7")
///     .header("trace", b"9f2c")
///     .timestamp(1_700_000_000_000);
/// assert_eq!(record.key, Some(&b"order-7"[..]));
/// assert_eq!(record.header_iter().count(), 1);
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RecordRef<'a> {
    /// The partition. `None` in a record to be sent: chosen by the key, or by the producer.
    pub partition: Option<i32>,
    /// Its offset in the partition, in a record that was read. A producer ignores it.
    pub offset: Option<i64>,
    /// Milliseconds since the Unix epoch. `None` in a record to be sent: now.
    pub timestamp: Option<i64>,
    /// The key; `None` is not empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` (a tombstone) is not empty.
    pub value: Option<&'a [u8]>,
    headers: HeaderSource<'a>,
}

/// Where the headers of a record lie.
#[derive(Clone, Copy, Default)]
enum HeaderSource<'a> {
    #[default]
    None,
    Inline([Header<'a>; INLINE_HEADERS_MAX], usize),
    /// More headers than fit were added one by one.
    TooMany,
    Slice(&'a [Header<'a>]),
    Encoded(Headers<'a>),
}

impl fmt::Debug for HeaderSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> HeaderSource<'a> {
    fn parts(&self) -> (&[Header<'a>], Headers<'a>) {
        match self {
            HeaderSource::None | HeaderSource::TooMany => (&[], Headers::default()),
            HeaderSource::Inline(array, count) => {
                (array.get(..*count).unwrap_or_default(), Headers::default())
            }
            HeaderSource::Slice(slice) => (slice, Headers::default()),
            HeaderSource::Encoded(headers) => (&[], *headers),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Header<'a>> {
        let (slice, encoded) = self.parts();
        slice.iter().copied().chain(encoded)
    }
}

impl<'a> RecordRef<'a> {
    /// A record with a value, and without a key.
    #[inline]
    pub fn new<V: AsRef<[u8]> + ?Sized>(value: &'a V) -> Self {
        RecordRef {
            value: Some(value.as_ref()),
            ..RecordRef::default()
        }
    }

    /// A record without a value, which marks its key as deleted.
    #[inline]
    pub fn tombstone<K: AsRef<[u8]> + ?Sized>(key: &'a K) -> Self {
        RecordRef {
            key: Some(key.as_ref()),
            ..RecordRef::default()
        }
    }

    /// With a key. Records of one key go to one partition, in the order of sending.
    #[inline]
    #[must_use]
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// With one more header. Up to four can be added in this way; [`RecordRef::headers`] takes any
    /// number. A record with a fifth is refused when it is sent.
    #[must_use]
    pub fn header<V: AsRef<[u8]> + ?Sized>(mut self, name: &'a str, value: &'a V) -> Self {
        let header = Header {
            key: name.as_bytes(),
            value: Some(value.as_ref()),
        };
        let (slice, encoded) = self.headers.parts();
        let mut array = [header; INLINE_HEADERS_MAX];
        let before = slice.len() + encoded.len();
        let known = slice.iter().copied().chain(encoded);
        for (place, one) in array.iter_mut().zip(known) {
            *place = one;
        }
        self.headers = match self.headers {
            HeaderSource::TooMany => HeaderSource::TooMany,
            _ if before >= INLINE_HEADERS_MAX => HeaderSource::TooMany,
            _ => HeaderSource::Inline(array, before + 1),
        };
        self
    }

    /// With these headers, in place of its present ones.
    #[inline]
    #[must_use]
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = HeaderSource::Slice(headers);
        self
    }

    /// With the headers of a record that was read, in place of its present ones.
    #[must_use]
    pub fn encoded_headers(mut self, headers: Headers<'a>) -> Self {
        self.headers = HeaderSource::Encoded(headers);
        self
    }

    /// With a timestamp, milliseconds since the Unix epoch.
    #[inline]
    #[must_use]
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// To this partition, whatever the key.
    #[inline]
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The headers, in their order; a name may occur more than once.
    pub fn header_iter(&self) -> impl Iterator<Item = Header<'a>> {
        self.headers.iter()
    }

    /// About how many bytes it takes in a batch.
    pub(super) fn size_bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|h| h.key.len() + h.value.map_or(0, <[u8]>::len));
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
    }

    /// Returns the value if the record has nothing else, except perhaps a timestamp: most records
    /// are such.
    #[inline]
    pub(super) fn plain_value(&self) -> Option<&'a [u8]> {
        let plain = self.key.is_none()
            && self.partition.is_none()
            && matches!(self.headers, HeaderSource::None);
        self.value.filter(|_| plain)
    }

    /// Calls `send` with the record in the engine's form.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`] for too many headers; else those of `send`.
    pub(super) fn with_engine_record<T>(
        &self,
        send: impl FnOnce(&ProducerRecord<'_>) -> Result<T>,
    ) -> Result<T> {
        let collected: Vec<Header<'a>>;
        let headers = match &self.headers {
            HeaderSource::Encoded(encoded) => {
                collected = encoded.iter().collect();
                &collected
            }
            HeaderSource::TooMany => {
                let text = format!(
                    "more than {INLINE_HEADERS_MAX} headers were added to a record one by one"
                );
                return Err(Error::new(Kind::InvalidRecord, text)
                    .cure("give them together, with RecordRef::headers"));
            }
            other => other.parts().0,
        };
        send(&ProducerRecord {
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key,
            value: self.value,
            headers,
        })
    }
}

impl<'a, V: AsRef<[u8]> + ?Sized> From<&'a V> for RecordRef<'a> {
    #[inline]
    fn from(value: &'a V) -> Self {
        RecordRef::new(value)
    }
}

impl<'a, K, V> From<(&'a K, &'a V)> for RecordRef<'a>
where
    K: AsRef<[u8]> + ?Sized,
    V: AsRef<[u8]> + ?Sized,
{
    #[inline]
    fn from((key, value): (&'a K, &'a V)) -> Self {
        RecordRef::new(value).key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(record: &RecordRef<'_>) -> Vec<String> {
        let headers = record.header_iter();
        headers
            .map(|h| String::from_utf8_lossy(h.key).into_owned())
            .collect()
    }

    #[test]
    fn headers_keep_their_order_and_a_fifth_is_refused() {
        let record = RecordRef::new("v").header("a", "1").header("b", "2");
        assert_eq!(names(&record), ["a", "b"]);
        let full = record.header("c", "").header("d", "");
        assert!(full.with_engine_record(|r| Ok(r.headers.len())).is_ok());
        let error = full
            .header("e", "")
            .with_engine_record(|_| Ok(()))
            .expect_err("one too many");
        assert_eq!(error.kind(), Kind::InvalidRecord);
        let many: Vec<Header<'_>> = full.header_iter().chain(full.header_iter()).collect();
        let sent = full
            .headers(&many)
            .with_engine_record(|r| Ok(r.headers.len()));
        assert_eq!(sent.expect("any number"), 8);
    }

    #[test]
    fn only_a_bare_value_takes_the_short_way() {
        assert_eq!(RecordRef::from("v").plain_value(), Some(&b"v"[..]));
        assert_eq!(RecordRef::from(("k", "v")).plain_value(), None);
        assert_eq!(RecordRef::new("v").header("h", "").plain_value(), None);
        assert_eq!(RecordRef::new("v").partition(0).plain_value(), None);
        assert_eq!(RecordRef::tombstone("k").plain_value(), None);
    }
}
