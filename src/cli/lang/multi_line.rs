//! Records of several lines: a line that matches an expression begins one.

use super::input_record::MultiLine;
use super::lines::Line;

/// Divides a stream into records of several lines. The end of a record is known when the next one
/// begins, so the last lines are held until then, or until [`MultiLineReader::end_record`].
#[derive(Debug)]
pub(super) struct MultiLineReader {
    options: MultiLine,
    /// Where the first unchecked line begins, counted from the record's beginning.
    at: usize,
    /// How many of the bytes were searched without finding a delimiter.
    searched: usize,
    /// Whole lines of the record so far, including dropped ones.
    lines: u64,
    progress: Progress,
}

/// How far the reader has come with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Further lines may belong to it.
    Growing,
    /// The held lines are a record, whatever follows.
    Ended,
    /// The rest of a record that was too long is being dropped.
    Dropping,
    /// As `Dropping`, and the input continues a line whose beginning was dropped.
    DroppingLine,
}

impl MultiLineReader {
    pub(super) fn new(options: MultiLine) -> Self {
        MultiLineReader {
            options,
            at: 0,
            searched: 0,
            lines: 0,
            progress: Progress::Growing,
        }
    }

    pub(super) fn restart(&mut self) {
        *self = Self::new(self.options.clone());
    }

    /// Whether whole lines are held, to which more may belong.
    pub(super) fn holds_record(&self) -> bool {
        self.at > 0 && !self.is_dropping()
    }

    fn is_dropping(&self) -> bool {
        matches!(self.progress, Progress::Dropping | Progress::DroppingLine)
    }

    /// Ends the record: the held lines are all of it.
    pub(super) fn end_record(&mut self) {
        if self.holds_record() {
            self.progress = Progress::Ended;
        }
    }

    /// The next step of the record at the beginning of `buf`. A single line that is too long
    /// belongs to no other record: its beginning does not show whether it begins one.
    pub(super) fn next<'b>(&mut self, buf: &'b [u8], eof: bool, max: usize) -> Line<'b> {
        let width = self.options.delimiter.bytes().len();
        if self.progress == Progress::Ended {
            self.progress = Progress::Growing;
            return self.record(buf, max);
        }
        loop {
            let from = self.searched.max(self.at).min(buf.len());
            let rest = buf.get(from..).unwrap_or_default();
            let Some(found) = self.options.delimiter.find(rest) else {
                return if eof {
                    self.last(buf, max)
                } else {
                    self.more(buf, buf.len().saturating_sub(width - 1), max)
                };
            };
            let (end, after) = (from + found, from + found + width);
            if self.progress == Progress::DroppingLine {
                self.progress = Progress::Dropping;
                self.searched = 0;
                return Line::Dropped { consumed: after };
            }
            let line = buf.get(self.at..end).unwrap_or_default();
            if self.is_next(line, max) {
                if self.at > 0 {
                    return self.record(buf, max);
                }
                // Everything before it was dropped already.
                (self.lines, self.progress) = (0, Progress::Growing);
            }
            self.lines += 1;
            (self.at, self.searched) = (after, after);
            if end > max {
                return self.too_long(after, max);
            }
        }
    }

    /// Whether this line belongs to no record that began before it.
    fn is_next(&self, line: &[u8], max: usize) -> bool {
        if line.len() > max {
            return !self.is_dropping() && self.lines > 0;
        }
        let is_full = self.options.lines_max.is_some_and(|max| self.lines >= max);
        self.lines > 0 && (is_full || self.options.begins.is_match(line))
    }

    /// The checked lines, as a record.
    fn record<'b>(&mut self, buf: &'b [u8], max: usize) -> Line<'b> {
        let (consumed, width) = (self.at, self.options.delimiter.bytes().len());
        let record = buf.get(..consumed.saturating_sub(width));
        self.whole(record.unwrap_or_default(), consumed, max)
    }

    fn whole<'b>(&mut self, line: &'b [u8], consumed: usize, max: usize) -> Line<'b> {
        (self.at, self.searched, self.lines) = (0, 0, 0);
        if self.is_dropping() {
            self.progress = Progress::Growing;
            Line::Dropped { consumed }
        } else if line.len() > max {
            Line::TooLong { max, consumed }
        } else {
            Line::Whole { line, consumed }
        }
    }

    /// The step at the end of the input, where the last line may lack its delimiter.
    fn last<'b>(&mut self, buf: &'b [u8], max: usize) -> Line<'b> {
        let rest = buf.get(self.at..).unwrap_or_default();
        if buf.is_empty() {
            self.restart();
            return Line::End;
        }
        if self.progress == Progress::DroppingLine {
            return self.whole(buf, buf.len(), max);
        }
        if self.is_next(rest, max) || rest.is_empty() {
            if self.at > 0 {
                return self.record(buf, max);
            }
            self.progress = Progress::Growing;
        }
        self.whole(buf, buf.len(), max)
    }

    /// No further line is complete; the first `searched` bytes contain no unseen delimiter.
    fn more<'b>(&mut self, buf: &'b [u8], searched: usize, max: usize) -> Line<'b> {
        let searched = searched.max(self.at);
        let is_in_dropped_line = self.progress == Progress::DroppingLine;
        let is_long = is_in_dropped_line || searched - self.at > max;
        match (self.at > 0, is_long) {
            (true, _) if self.is_dropping() => self.too_long(self.at, max),
            (true, true) => self.record(buf, max),
            (false, true) => {
                self.lines += u64::from(!is_in_dropped_line);
                let step = self.too_long(searched, max);
                self.progress = Progress::DroppingLine;
                step
            }
            (_, false) => {
                self.searched = searched;
                Line::More
            }
        }
    }

    /// Drops so many bytes, and later the rest of the record.
    fn too_long<'b>(&mut self, consumed: usize, max: usize) -> Line<'b> {
        (self.at, self.searched) = (0, 0);
        let was_dropping = self.is_dropping();
        if !was_dropping {
            self.progress = Progress::Dropping;
        }
        match (was_dropping, consumed) {
            (false, consumed) => Line::TooLong { max, consumed },
            (true, 0) => Line::More,
            (true, consumed) => Line::Dropped { consumed },
        }
    }
}
