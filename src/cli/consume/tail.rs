//! `--tail N`: the last N records of all partitions together, by time.
//!
//! 1. In each partition the last N records by offset that pass the filters count; of all these the
//!    N newest are printed, oldest first. Among equal timestamps, the record farther from its
//!    partition's end comes first, then topic and partition decide. So the same command prints the
//!    same twice.
//! 2. Partitions are read backwards from their ends, in growing windows: records before the last N
//!    are not read.
//! 3. Only the position of each record is kept, in 24 bytes; records that are printed are read once
//!    more, a few MiB at a time. So the memory needed depends on N alone, not on the records' size.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::reading::Reading;
use crate::cli::stdout;
use crate::client::{Consumer, Fetched, Position, StoreDir};
use crate::error::{Error, Kind, Result};
use crate::record::Decompressor;
use crate::types::{Offset, Timestamp, TopicPartition, Uuid};

/// Bytes of a fetch while positions are collected.
const POLL_BYTES: usize = 1 << 20;
/// Offsets of a window: of the first one, if N is smaller, and at most, if N is not larger.
const WINDOW_MIN: Offset = 1024;
const WINDOW_MAX: Offset = 128 * 1024;
/// Bytes of a fetch while records are read again: the fewest, and the most.
const AGAIN_BYTES: (usize, usize) = (16 * 1024, 256 * 1024);
/// Rendered bytes that are sorted at once; more for a large N, which needs much memory anyway.
const ORDERED_BYTES: usize = 2 << 20;
const ORDERED_BYTES_MAX: usize = 32 << 20;
/// Records that are sorted at once.
const ORDERED_MAX: usize = 64 * 1024;
const ORDERED_FIRST: usize = 1024;
/// The approximate size of a write of sorted records.
const WRITE_BYTES: usize = 256 * 1024;
/// How long to wait for records that a new leader does not show yet.
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL_AGAIN: Duration = Duration::from_millis(100);

/// A partition whose last records are printed, as it was when the command began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailOf {
    /// The partition.
    pub tp: TopicPartition,
    /// Its topic.
    pub topic_id: Uuid,
    /// The log start.
    pub start: Offset,
    /// The high watermark.
    pub end: Offset,
}

/// Prints the last `wanted` records of these partitions, sorted by topic and number.
///
/// # Errors
/// The run ends with this error. Damage is reported, and ends the reading of its partition.
pub fn print(
    store: &Arc<StoreDir>,
    on: &mut Reading<'_>,
    partitions: &[TailOf],
    wanted: u64,
) -> Result<()> {
    if wanted == 0 || on.job.count == Some(0) {
        return Ok(());
    }
    let mut consumer = Consumer::reading_from(store, on.job.read_from.clone());
    let mut newest = Newest::new(wanted);
    let mut decompressor = Decompressor::default();
    for (number, of) in partitions.iter().enumerate() {
        let mut search = Search {
            of,
            start: of.start,
            number: number as u32,
            newest: &mut newest,
            decompressor: &mut decompressor,
        };
        if of.start >= of.end {
            continue;
        }
        let outcome = match assign(&mut consumer, of) {
            Ok(()) => search.backwards(&mut consumer, on),
            Err(e) => Err(e),
        };
        consumer.unassign(&of.tp);
        match outcome {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(()),
            Err(e) if e.kind() == Kind::Damaged => on.notify_broken(&of.tp, &e),
            Err(e) => return Err(e),
        }
    }
    let mut places = newest.sorted();
    if let Some(count) = on.job.count {
        places.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }
    let mut again = Again {
        partitions,
        consumer,
        decompressor,
        rendered: Vec::new(),
        spans: Vec::new(),
        bytes_max: (ORDERED_BYTES + places.len().saturating_mul(2)).min(ORDERED_BYTES_MAX),
    };
    again.print(on, &places)
}

fn assign(consumer: &mut Consumer, of: &TailOf) -> Result<()> {
    // A topic that was deleted and created again has other records at these offsets.
    let from = Position {
        offset: of.end,
        topic_id: Some(of.topic_id),
    };
    consumer.assign(&of.tp, from, None)
}

/// The position of a record, in printing order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PrintOrder {
    timestamp: Timestamp,
    /// Its offset minus its partition's end.
    before_end: Offset,
    /// The index of its partition.
    partition: u32,
}

/// The newest positions so far.
struct Newest {
    wanted: usize,
    /// The oldest is on top.
    heap: BinaryHeap<Reverse<PrintOrder>>,
}

impl Newest {
    fn new(wanted: u64) -> Self {
        Newest {
            wanted: usize::try_from(wanted).unwrap_or(usize::MAX),
            heap: BinaryHeap::new(),
        }
    }

    fn offer(&mut self, place: PrintOrder) {
        if self.heap.len() < self.wanted {
            self.heap.push(Reverse(place));
        } else if let Some(mut oldest) = self.heap.peek_mut()
            && oldest.0 < place
        {
            oldest.0 = place;
        }
    }

    fn sorted(self) -> Vec<Reverse<PrintOrder>> {
        let mut places = self.heap.into_vec();
        places.sort_unstable_by_key(|place| place.0);
        places
    }
}

/// The search of one partition.
struct Search<'a> {
    of: &'a TailOf,
    /// Nothing is left below it.
    start: Offset,
    number: u32,
    newest: &'a mut Newest,
    decompressor: &'a mut Decompressor,
}

impl Search<'_> {
    /// Reads backwards from the end until enough records are found. `Break`: the run ends.
    fn backwards(
        &mut self,
        consumer: &mut Consumer,
        on: &mut Reading<'_>,
    ) -> Result<ControlFlow<()>> {
        let all = Offset::try_from(self.newest.wanted).unwrap_or(Offset::MAX);
        let mut needed = all;
        let mut least = if on.job.filter.is_open() {
            0
        } else {
            WINDOW_MIN
        };
        let mut until = self.of.end;
        // The last positions of a window that may have more than are needed.
        let mut last = VecDeque::new();
        while needed > 0 && until > self.start {
            // A window of as many offsets as are needed cannot have too many records.
            let window = needed.max(least.min(WINDOW_MAX));
            let from = until.saturating_sub(window).max(self.start);
            least = window.saturating_mul(2).max(WINDOW_MIN);
            let outcome = self.window(consumer, on, from, until, needed, &mut last);
            needed -= last.len() as Offset;
            for place in last.drain(..) {
                self.newest.offer(place);
            }
            match outcome? {
                Seen::Stopped => return Ok(ControlFlow::Break(())),
                Seen::Until(found) => needed -= found,
            }
            self.start = self.start.max(on.missed_up_to(&self.of.tp));
            until = from;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads a window. The last `needed` records that pass go to `last`; where the window cannot
    /// have more than that, they go to `newest` and are counted.
    fn window(
        &mut self,
        consumer: &mut Consumer,
        on: &mut Reading<'_>,
        from: Offset,
        until: Offset,
        needed: Offset,
        last: &mut VecDeque<PrintOrder>,
    ) -> Result<Seen> {
        let (tp, end, number) = (&self.of.tp, self.of.end, self.number);
        let newest = &mut *self.newest;
        let mut found = 0;
        consumer.seek(tp, from)?;
        consumer.limit(tp, until);
        let mut buf = Vec::new();
        while let Some(fetched) = match fetch(consumer, on, tp, until, POLL_BYTES, &mut buf)? {
            Got::Stopped => return Ok(Seen::Stopped),
            Got::Nothing => None,
            Got::Some(fetched) => Some(fetched),
        } {
            let mut seen = 0;
            fetched.for_each(self.decompressor, |_, record| {
                seen += 1;
                if on.printer.wants(&record) {
                    let place = PrintOrder {
                        timestamp: record.timestamp,
                        before_end: record.offset - end,
                        partition: number,
                    };
                    if until - from <= needed {
                        newest.offer(place);
                        found += 1;
                    } else {
                        if last.len() as Offset == needed {
                            last.pop_front();
                        }
                        last.push_back(place);
                    }
                }
                ControlFlow::<()>::Continue(())
            })?;
            on.printer.see(seen);
            buf = fetched.bytes;
            on.env.progress(buf.len() as u64, on.printer.seen());
        }
        Ok(Seen::Until(found))
    }
}

/// How a window's search ended.
enum Seen {
    /// The run ends.
    Stopped,
    /// All of the window was read, and so many records are counted already.
    Until(Offset),
}

/// The result of a fetch.
enum Got {
    /// The run ends.
    Stopped,
    /// No more records below the limit.
    Nothing,
    /// Some batches.
    Some(Fetched),
}

/// The next batches of a partition below `until`; all other partitions are unassigned or paused.
/// Waits for records that a new leader does not show yet, and skips deleted ones.
fn fetch(
    consumer: &mut Consumer,
    on: &mut Reading<'_>,
    tp: &TopicPartition,
    until: Offset,
    bytes_max: usize,
    buf: &mut Vec<u8>,
) -> Result<Got> {
    let started = on.env.monotonic();
    loop {
        if on.env.stopping() || on.output.is_closed() || stdout::reader_is_gone() {
            return Ok(Got::Stopped);
        }
        let position = consumer.position(tp).unwrap_or(until);
        if position >= until {
            return Ok(Got::Nothing);
        }
        match consumer.fetch(bytes_max, buf) {
            Ok(Some(fetched)) => return Ok(Got::Some(fetched)),
            Ok(None) => {}
            Err(e) if e.kind() == Kind::OffsetOutOfRange => {
                let start = consumer.open_reader(tp)?.page()?.tail.log_start;
                if position >= start {
                    return Err(e);
                }
                consumer.seek(tp, start)?;
                on.report_missed(tp, position, start.min(until))?;
                continue;
            }
            Err(e) => return Err(e),
        }
        if on.env.monotonic().saturating_sub(started) >= TIMEOUT {
            let text = format!(
                "OFFSET_NOT_AVAILABLE: the leader of {tp} shows no records from offset {position} on, \
                 which it showed when the command began"
            );
            return Err(Error::new(Kind::Busy, text)
                .cure("try again; 'mq-broker health' lists the problems"));
        }
        consumer.wait(POLL_AGAIN, on.env.wake_fd())?;
        consumer.find_leaders();
    }
}

/// Reads records again, and prints them in order.
struct Again<'a> {
    partitions: &'a [TailOf],
    consumer: Consumer,
    decompressor: Decompressor,
    /// The rendered records, in reading order.
    rendered: Vec<u8>,
    /// Where each record is in `rendered`; `None`: the record is gone.
    spans: Vec<Option<(usize, usize)>>,
    bytes_max: usize,
}

/// The result of rendering some records.
enum Rendered {
    /// They are in [`Again::rendered`]; some may be missing.
    All,
    /// They take too much memory; a smaller number is to be rendered at once.
    TooMany,
    /// The run ends.
    Stopped,
}

impl Again<'_> {
    fn print(&mut self, on: &mut Reading<'_>, places: &[Reverse<PrintOrder>]) -> Result<()> {
        let mut rest = places;
        let mut at_once = ORDERED_FIRST;
        let mut out = Vec::new();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(at_once.min(rest.len()));
            let mut now: Vec<PrintOrder> = now.iter().map(|place| place.0).collect();
            match self.render_all(on, &mut now)? {
                Rendered::TooMany => {
                    at_once = (now.len() / 2).max(1);
                    continue;
                }
                Rendered::Stopped => return Ok(()),
                Rendered::All => rest = later,
            }
            for (from, to) in self.spans.iter().flatten() {
                out.extend_from_slice(self.rendered.get(*from..*to).unwrap_or_default());
                if out.len() >= WRITE_BYTES {
                    on.output.write_now(&mut out)?;
                }
            }
            on.printer.count_printed(now.len() as u64);
            let each = self.rendered.len() / now.len().max(1) + 1;
            // Half of the number that fits: other records may be longer.
            at_once =
                (self.bytes_max / 2 / each).clamp(1, at_once.saturating_mul(4).min(ORDERED_MAX));
        }
        on.output.write_now(&mut out)
    }

    /// Renders all of these; leaves out records that are gone.
    fn render_all(
        &mut self,
        on: &mut Reading<'_>,
        places: &mut Vec<PrintOrder>,
    ) -> Result<Rendered> {
        loop {
            match self.render(on, places)? {
                Rendered::All if self.spans.contains(&None) => {
                    // Skipped records shift the numbers of the others: another pass.
                    let mut spans = self.spans.iter();
                    places.retain(|_| spans.next().is_some_and(Option::is_some));
                }
                other => return Ok(other),
            }
        }
    }

    fn render(&mut self, on: &mut Reading<'_>, places: &[PrintOrder]) -> Result<Rendered> {
        self.rendered.clear();
        self.spans.clear();
        self.spans.resize(places.len(), None);
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        let place = |at: &u32| places.get(*at as usize).copied();
        order.sort_unstable_by_key(|at| place(at).map(|p| (p.partition, p.before_end)));
        let same =
            |a: &u32, b: &u32| place(a).map(|p| p.partition) == place(b).map(|p| p.partition);
        for run in order.chunk_by(same) {
            let partition = run.first().and_then(place).map_or(0, |p| p.partition);
            let Some(of) = self.partitions.get(partition as usize) else {
                continue;
            };
            let wanted: Vec<(Offset, usize)> = run
                .iter()
                .filter_map(|at| Some((of.end + place(at)?.before_end, *at as usize)))
                .collect();
            match self.render_partition(on, of, &wanted, places.len() == 1) {
                Ok(Rendered::All) => {}
                // The record was sound a moment ago.
                Err(e) if e.kind() == Kind::Damaged => on.notify_broken(&of.tp, &e),
                other => return other,
            }
        }
        Ok(Rendered::All)
    }

    /// Renders records of one partition, given by their offsets (ascending) and ranks.
    fn render_partition(
        &mut self,
        on: &mut Reading<'_>,
        of: &TailOf,
        wanted: &[(Offset, usize)],
        is_alone: bool,
    ) -> Result<Rendered> {
        if self.consumer.position(&of.tp).is_none() {
            assign(&mut self.consumer, of)?;
        }
        self.consumer.pause(&of.tp, false);
        let outcome = self.render_of(on, of, wanted, is_alone);
        self.consumer.pause(&of.tp, true);
        outcome
    }

    fn render_of(
        &mut self,
        on: &mut Reading<'_>,
        of: &TailOf,
        mut wanted: &[(Offset, usize)],
        is_alone: bool,
    ) -> Result<Rendered> {
        let mut buf = Vec::new();
        // How many offsets the last fetch covered: a nearer record is reached by reading on, not by
        // a search.
        let mut near = 0;
        while let Some((offset, _)) = wanted.first() {
            let position = self.consumer.position(&of.tp).unwrap_or(of.end);
            if position > *offset || *offset - position > near {
                self.consumer.seek(&of.tp, *offset)?;
            }
            let bytes_max = (wanted.len() * 256).clamp(AGAIN_BYTES.0, AGAIN_BYTES.1);
            let fetched = match fetch(&mut self.consumer, on, &of.tp, of.end, bytes_max, &mut buf)?
            {
                Got::Stopped => return Ok(Rendered::Stopped),
                Got::Nothing => break,
                Got::Some(fetched) => fetched,
            };
            near = fetched.until - fetched.from;
            let (rendered, spans) = (&mut self.rendered, &mut self.spans);
            let bytes_max = self.bytes_max;
            let stopped = fetched.for_each(&mut self.decompressor, |info, record| {
                // Records that are gone are skipped.
                while wanted
                    .first()
                    .is_some_and(|(offset, _)| *offset < record.offset)
                {
                    wanted = wanted.get(1..).unwrap_or_default();
                }
                let Some((offset, rank)) = wanted.first().copied() else {
                    return ControlFlow::Break(Ok(Rendered::All));
                };
                if offset > record.offset {
                    return ControlFlow::Continue(());
                }
                wanted = wanted.get(1..).unwrap_or_default();
                let from = rendered.len();
                if let Err(e) = on
                    .printer
                    .render_into(rank as u64, &of.tp, info, &record, rendered)
                {
                    return ControlFlow::Break(Err(e));
                }
                if let Some(span) = spans.get_mut(rank) {
                    *span = Some((from, rendered.len()));
                }
                if rendered.len() > bytes_max && !is_alone {
                    return ControlFlow::Break(Ok(Rendered::TooMany));
                }
                ControlFlow::Continue(())
            })?;
            match stopped {
                None | Some(Ok(Rendered::All)) => {}
                Some(other) => return other,
            }
            while wanted
                .first()
                .is_some_and(|(offset, _)| *offset < fetched.until)
            {
                wanted = wanted.get(1..).unwrap_or_default();
            }
            buf = fetched.bytes;
        }
        Ok(Rendered::All)
    }
}
