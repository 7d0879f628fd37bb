//! A reader over bytes from outside: every step is checked against the remaining length.

use super::varint::{VARINT_LEN_MAX, VARLONG_LEN_MAX, unzigzag};

/// Why bytes could not be read; says what was wrong, not where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

const SHORT: Malformed = Malformed("the bytes end within a field");

/// Takes fields off the front of a slice. Numbers are big-endian.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// The unread bytes.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The number of unread bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses trailing bytes.
    #[inline]
    pub fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes are left over"))
        }
    }

    /// The next `len` bytes.
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two bytes.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// Four bytes.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// Four bytes.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A zigzag varint of at most 5 bytes and 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, Malformed> {
        let (folded, rest) = match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => (u64::from(a), rest),
            [a, b, ref rest @ ..] if b < 0x80 => (u64::from(a & 0x7f) | u64::from(b) << 7, rest),
            _ => {
                let folded = self.long(VARINT_LEN_MAX)?;
                if folded > u64::from(u32::MAX) {
                    return Err(Malformed("a varint has more than 32 bits"));
                }
                (folded, self.rest)
            }
        };
        self.rest = rest;
        Ok(unzigzag(folded) as i32)
    }

    /// A zigzag varint of at most 10 bytes and 64 bits.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, Malformed> {
        let (folded, rest) = match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => (u64::from(a), rest),
            [a, b, ref rest @ ..] if b < 0x80 => (u64::from(a & 0x7f) | u64::from(b) << 7, rest),
            _ => (self.long(VARLONG_LEN_MAX)?, self.rest),
        };
        self.rest = rest;
        Ok(unzigzag(folded))
    }

    /// Bytes after their varint length; length -1 means null.
    #[inline]
    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.varint()? {
            -1 => Ok(None),
            len => match usize::try_from(len) {
                Ok(len) => self.bytes(len).map(Some),
                Err(_) => Err(Malformed("a length is below -1")),
            },
        }
    }

    #[inline(never)]
    fn long(&mut self, len_max: usize) -> Result<u64, Malformed> {
        let mut folded = 0u64;
        for (n, &byte) in self.rest.iter().take(len_max).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if n == VARLONG_LEN_MAX - 1 && bits > 1 {
                return Err(Malformed("a varint has more than 64 bits"));
            }
            folded |= bits << (7 * n);
            if byte < 0x80 {
                self.rest = self.rest.get(n + 1..).unwrap_or_default();
                return Ok(folded);
            }
        }
        if self.rest.len() < len_max {
            Err(SHORT)
        } else {
            Err(Malformed("a varint is longer than its type allows"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_that_are_too_long_are_refused() {
        assert!(
            Reader::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01])
                .varint()
                .is_err()
        );
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x10])
                .varint()
                .is_err()
        );
        assert!(Reader::new(&[0xff; 11]).varlong().is_err());
        let mut ten = [0xff; 10];
        ten[9] = 0x01;
        assert_eq!(Reader::new(&ten).varlong(), Ok(i64::MIN));
        ten[9] = 0x02;
        assert!(Reader::new(&ten).varlong().is_err());
    }

    #[test]
    fn nothing_is_read_past_the_end() {
        let mut reader = Reader::new(&[0, 1, 2]);
        assert!(reader.i32().is_err());
        assert!(reader.bytes(4).is_err());
        assert_eq!(reader.i16(), Ok(1));
        assert_eq!(reader.finish(), Err(Malformed("bytes are left over")));
        assert_eq!(reader.u8(), Ok(2));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn null_is_not_empty() {
        assert_eq!(Reader::new(&[0x01]).nullable_bytes(), Ok(None));
        assert_eq!(Reader::new(&[0x00]).nullable_bytes(), Ok(Some(&[][..])));
        assert!(Reader::new(&[0x03]).nullable_bytes().is_err());
        assert!(Reader::new(&[0x04, b'x']).nullable_bytes().is_err());
    }
}
