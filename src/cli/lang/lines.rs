//! Input as lines, with any delimiter.

use super::delimiter::Delimiter;
use super::step::{Step, too_large};

/// Divides a stream at a delimiter.
#[derive(Debug)]
pub(super) struct LineReader {
    delimiter: Delimiter,
    /// How many of the bytes were searched without finding a delimiter.
    searched: usize,
    /// Whether the rest of a line that was too long is being dropped.
    dropping: bool,
}

/// The next part of the input.
pub(super) enum Line<'b> {
    /// A line, and its length including the delimiter.
    Whole {
        line: &'b [u8],
        consumed: usize,
    },
    /// A line longer than the limit begins with so many bytes.
    TooLong {
        max: usize,
        consumed: usize,
    },
    /// So many further bytes of that line.
    Dropped {
        consumed: usize,
    },
    More,
    End,
}

impl LineReader {
    pub(super) fn new(delimiter: Delimiter) -> Self {
        LineReader {
            delimiter,
            searched: 0,
            dropping: false,
        }
    }

    pub(super) fn restart(&mut self) {
        (self.searched, self.dropping) = (0, false);
    }

    #[inline]
    pub(super) fn next<'b>(&mut self, buf: &'b [u8], eof: bool, max: usize) -> Line<'b> {
        let width = self.delimiter.bytes().len();
        let from = self.searched.min(buf.len());
        if let Some(found) = self.delimiter.find(&buf[from..]) {
            let end = from + found;
            self.searched = 0;
            return self.line(&buf[..end], end + width, max);
        }
        if eof {
            self.searched = 0;
            return match buf {
                b"" => Line::End,
                _ => self.line(buf, buf.len(), max),
            };
        }
        // The last bytes may be the beginning of a delimiter.
        let searched = buf.len().saturating_sub(width - 1);
        if self.dropping || searched > max {
            self.searched = 0;
            return match (std::mem::replace(&mut self.dropping, true), searched) {
                (false, consumed) => Line::TooLong { max, consumed },
                (true, 0) => Line::More,
                (true, consumed) => Line::Dropped { consumed },
            };
        }
        self.searched = searched;
        Line::More
    }

    #[inline]
    fn line<'b>(&mut self, line: &'b [u8], consumed: usize, max: usize) -> Line<'b> {
        if std::mem::take(&mut self.dropping) {
            Line::Dropped { consumed }
        } else if line.len() > max {
            Line::TooLong { max, consumed }
        } else {
            Line::Whole { line, consumed }
        }
    }
}

impl<'b> Line<'b> {
    /// As a step, if it is not a whole line.
    pub(super) fn into_step(self) -> Step<'b> {
        match self {
            Line::TooLong { max, consumed } => Step::Invalid {
                error: too_large(max),
                consumed,
            },
            Line::Whole { consumed, .. } | Line::Dropped { consumed } => Step::Skip { consumed },
            Line::More => Step::NeedMore,
            Line::End => Step::End,
        }
    }
}
