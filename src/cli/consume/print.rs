//! From fetched batches to output bytes.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::filter::Filter;
use super::marks::{self, Mark, Marks};
use super::output::{CHUNK_BYTES, Output};
use crate::cli::lang::{OutputRecord, Renderer};
use crate::client::{BatchInfo, Fetched, Generation};
use crate::error::{Error, Result};
use crate::record::{Decompressor, Record};
use crate::types::{Offset, Timestamp, TopicPartition};

/// Renders the records that pass the filter.
#[derive(Debug)]
pub struct Printer {
    renderer: Renderer,
    delimiter: Option<Vec<u8>>,
    filter: Filter,
    count: Option<u64>,
    printed: u64,
    seen: u64,
    out: Vec<u8>,
    decompressor: Decompressor,
    /// Marks of rendered records that are not entered yet.
    entered: Vec<Mark>,
    /// For each of these partitions, reading ends before the first record that is not older.
    pub time_bounds: HashMap<TopicPartition, Timestamp>,
}

/// Why printing stopped within a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The requested number of records is printed; the offset is the partition's next.
    Counted(TopicPartition, Offset),
    /// The partition's time bound was met at that offset.
    Time(TopicPartition, Offset),
    /// The printer paused before the record at that offset.
    Paused(Offset),
    /// The reader of the output is gone.
    Closed,
}

impl Printer {
    /// Makes the printer of a run; `count`: the most records that it prints.
    pub fn new(renderer: Renderer, filter: Filter, count: Option<u64>) -> Self {
        let delimiter = renderer.is_value_line().map(<[u8]>::to_vec);
        Printer {
            renderer,
            delimiter,
            filter,
            count,
            printed: 0,
            seen: 0,
            out: Vec::with_capacity(64 * 1024),
            decompressor: Decompressor::default(),
            entered: Vec::new(),
            time_bounds: HashMap::new(),
        }
    }

    /// How many records were printed.
    pub fn printed(&self) -> u64 {
        self.printed
    }

    /// How many records were read.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether the requested number of records is printed.
    pub fn is_counted(&self) -> bool {
        self.count.is_some_and(|count| self.printed >= count)
    }

    /// Prints a fetch.
    ///
    /// # Errors
    /// A damaged record; a template that does not fit a record; a failed write.
    pub fn print(&mut self, fetched: &Fetched, output: &mut Output) -> Result<Option<Stop>> {
        let bound = self.time_bounds.get(&fetched.tp).copied();
        let plain = self.filter.is_open() && self.count.is_none() && bound.is_none();
        if plain && let Some(delimiter) = self.delimiter.take() {
            let stopped = self.print_values(fetched, &delimiter, output);
            self.delimiter = Some(delimiter);
            return stopped;
        }
        let tp = &fetched.tp;
        let mut decompressor = std::mem::take(&mut self.decompressor);
        let stopped = fetched.for_each(&mut decompressor, |info, record| {
            match self.one(tp, info, &record, bound) {
                Ok(Some(stop)) => return ControlFlow::Break(Ok(stop)),
                Ok(None) => {}
                Err(e) => return ControlFlow::Break(Err(e)),
            }
            if self.out.len() >= CHUNK_BYTES {
                if let Err(e) = output.hand_on(&mut self.out) {
                    return ControlFlow::Break(Err(e));
                }
                if output.is_closed() {
                    return ControlFlow::Break(Ok(Stop::Closed));
                }
            }
            ControlFlow::Continue(())
        });
        self.decompressor = decompressor;
        match stopped? {
            None => Ok(None),
            Some(Ok(stop)) => Ok(Some(stop)),
            Some(Err(e)) => Err(e),
        }
    }

    /// Prints a fetch of an assignment, with a mark after each record for the output so far. It
    /// pauses before a record once `pause` returns true.
    ///
    /// # Errors
    /// As [`Printer::print`].
    pub fn print_marked(
        &mut self,
        fetched: &Fetched,
        generation: Generation,
        pause: impl Fn() -> bool,
        marks: &Marks,
        output: &mut Output,
    ) -> Result<Option<Stop>> {
        let bound = self.time_bounds.get(&fetched.tp).copied();
        let tp = &fetched.tp;
        let mut last_epoch = -1;
        let mut decompressor = std::mem::take(&mut self.decompressor);
        let stopped = fetched.for_each(&mut decompressor, |info, record| {
            if pause() {
                return ControlFlow::Break(Ok(Stop::Paused(record.offset)));
            }
            let outcome = self.one(tp, info, &record, bound);
            if !matches!(outcome, Ok(Some(Stop::Time(..)))) {
                last_epoch = info.leader_epoch;
                self.mark(generation, record.offset + 1, last_epoch, output);
            }
            match outcome {
                Ok(Some(stop)) => return ControlFlow::Break(Ok(stop)),
                Ok(None) => {}
                Err(e) => return ControlFlow::Break(Err(e)),
            }
            if self.out.len() >= marks::WRITE_BYTES {
                if let Err(e) = self.flush_marked(marks, output) {
                    return ControlFlow::Break(Err(e));
                }
                if output.is_closed() {
                    return ControlFlow::Break(Ok(Stop::Closed));
                }
            }
            ControlFlow::Continue(())
        });
        self.decompressor = decompressor;
        let stop = match stopped? {
            None => {
                // A gap behind the last record counts as read.
                self.mark(generation, fetched.until, last_epoch, output);
                None
            }
            Some(stop) => Some(stop?),
        };
        // Where a filter passes few records, the skipped ones are committed too.
        self.flush_marked(marks, output)?;
        Ok(stop)
    }

    /// Marks that all output so far contains the records of an assignment below `next`.
    pub fn mark(
        &mut self,
        generation: Generation,
        next: Offset,
        leader_epoch: crate::types::LeaderEpoch,
        output: &Output,
    ) {
        let end = output.written() + self.out.len() as u64;
        let mark = Mark {
            generation,
            next,
            leader_epoch,
            end,
        };
        marks::add(&mut self.entered, mark, output.is_in_pages());
    }

    /// Writes everything that is rendered, after entering its marks.
    pub fn flush_marked(&mut self, marks: &Marks, output: &mut Output) -> Result<()> {
        let written = output.written();
        let ends: Vec<usize> = self
            .entered
            .iter()
            .map(|mark| mark.end.saturating_sub(written) as usize)
            .collect();
        marks.enter(&mut self.entered);
        output.write_records(&mut self.out, &ends)
    }

    /// Takes what is rendered and not written, for another output.
    pub fn take_rendered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// How many bytes are rendered and not written.
    pub fn rendered_len(&self) -> usize {
        self.out.len()
    }

    /// Subtracts from the number of printed records.
    pub fn uncount(&mut self, records: u64) {
        self.printed = self.printed.saturating_sub(records);
    }

    /// Renders a record if it passes the filter. Returns `None` if it did not, and why printing
    /// ends after or before the record.
    pub fn take_one(
        &mut self,
        tp: &TopicPartition,
        info: BatchInfo,
        record: &Record<'_>,
    ) -> Result<(bool, Option<Stop>)> {
        let bound = self.time_bounds.get(tp).copied();
        let before = self.printed;
        let stop = self.one(tp, info, record, bound)?;
        Ok((self.printed > before, stop))
    }

    /// Writes everything that is rendered.
    pub fn flush(&mut self, output: &mut Output) -> Result<()> {
        output.write_now(&mut self.out)
    }

    /// Prints values with a delimiter each, without a template: the most frequent case.
    fn print_values(
        &mut self,
        fetched: &Fetched,
        delimiter: &[u8],
        output: &mut Output,
    ) -> Result<Option<Stop>> {
        let mut failed: Option<Error> = None;
        let mut count = 0;
        let out = &mut self.out;
        let newline = delimiter.first().copied().filter(|_| delimiter.len() == 1);
        let stopped = fetched.for_each(&mut self.decompressor, |_, record| {
            let value = record.value.unwrap_or_default();
            out.extend_from_slice(value);
            match newline {
                Some(byte) => out.push(byte),
                None => out.extend_from_slice(delimiter),
            }
            count += 1;
            if out.len() >= CHUNK_BYTES {
                if let Err(e) = output.hand_on(out) {
                    failed = Some(e);
                    return ControlFlow::Break(Stop::Closed);
                }
                if output.is_closed() {
                    return ControlFlow::Break(Stop::Closed);
                }
            }
            ControlFlow::Continue(())
        });
        self.printed += count;
        self.seen += count;
        match failed {
            Some(e) => Err(e),
            None => stopped,
        }
    }

    fn one(
        &mut self,
        tp: &TopicPartition,
        info: BatchInfo,
        record: &Record<'_>,
        bound: Option<Timestamp>,
    ) -> Result<Option<Stop>> {
        if bound.is_some_and(|bound| record.timestamp >= bound) {
            return Ok(Some(Stop::Time(tp.clone(), record.offset)));
        }
        self.seen += 1;
        if !self.filter.passes(record) {
            return Ok(None);
        }
        self.render(tp, info, record)?;
        if self.is_counted() {
            return Ok(Some(Stop::Counted(tp.clone(), record.offset + 1)));
        }
        Ok(None)
    }

    fn render(&mut self, tp: &TopicPartition, info: BatchInfo, record: &Record<'_>) -> Result<()> {
        let record = OutputRecord::stored(tp, info, record, self.printed);
        self.renderer.render(&record, &mut self.out)?;
        self.printed += 1;
        Ok(())
    }

    /// Renders one record into another buffer, without the filter; `before`: how many records are
    /// printed before it.
    ///
    /// # Errors
    /// A template that does not fit the record.
    pub fn render_into(
        &self,
        before: u64,
        tp: &TopicPartition,
        info: BatchInfo,
        record: &Record<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let record = OutputRecord::stored(tp, info, record, self.printed + before);
        self.renderer.render(&record, out)
    }

    /// Counts records that were read elsewhere.
    pub fn see(&mut self, records: u64) {
        self.seen += records;
    }

    /// Counts records that were printed elsewhere.
    pub fn count_printed(&mut self, records: u64) {
        self.printed += records;
    }

    /// Whether a record passes the filter.
    pub fn wants(&self, record: &Record<'_>) -> bool {
        self.filter.passes(record)
    }
}
