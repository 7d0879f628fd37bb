//! Bytes that end a field or a record.

use memchr::memmem::Finder;

use super::escape::unescape;
use super::usage;
use crate::error::Result;

/// A string of one or more bytes, prepared for searching.
#[derive(Debug, Clone)]
pub struct Delimiter(Box<Finder<'static>>);

impl Delimiter {
    /// Parses the argument of `-D` or `-K` (named by `flag`), with template escapes.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage) for an unknown escape, or an empty text.
    pub fn parse(flag: &str, text: &str) -> Result<Self> {
        let bytes = unescape(text).map_err(|e| e.at(flag))?;
        Self::new(&bytes).ok_or_else(|| {
            usage(
                format!("{flag}: a delimiter cannot be empty"),
                "use one or more characters, such as '\\t'",
            )
        })
    }

    /// These bytes; `None` if there are none.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Delimiter(Box::new(Finder::new(bytes).into_owned())))
    }

    /// A newline: the end of a line.
    pub fn newline() -> Self {
        Delimiter(Box::new(Finder::new(b"\n").into_owned()))
    }

    /// NUL, for `-0`.
    pub fn nul() -> Self {
        Delimiter(Box::new(Finder::new(b"\0").into_owned()))
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.0.needle()
    }

    /// The first position in `hay`.
    #[inline]
    pub fn find(&self, hay: &[u8]) -> Option<usize> {
        match self.0.needle() {
            [byte] => memchr::memchr(*byte, hay),
            _ => self.0.find(hay),
        }
    }
}
