//! `mq-consume` at work: fetch, render, write out, wait.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::assign::Assignments;
use super::job::{Job, Topics};
use super::output::Output;
use super::print::{Printer, Stop};
use crate::cli::{Env, Outcome, stdout_pipe};
use crate::client::{BatchInfo, Consumer, ReadFrom};
use crate::error::{Error, Kind, Result};
use crate::record::{BatchBuilder, Decompressor};
use crate::store::StoreDir;
use crate::types::{Offset, TopicPartition};

/// Bytes fetched at a time.
const FETCH_BYTES: usize = 1 << 20;
/// The first fetch is small: the first record shall not wait for a megabyte.
const FIRST_FETCH_BYTES: usize = 16 * 1024;
/// How long a wait may be: what no watch reports is seen then.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks for a store or topic that is waited for.
const WAIT_FOR_TOPIC: Duration = Duration::from_millis(100);

/// Runs the job.
///
/// # Errors
/// What ended it. A reader that goes away is no error.
pub fn run(job: Job, env: &mut Env) -> Result<Outcome> {
    let Some(store) = open_store(&job, env)? else {
        return Ok(Outcome::Done);
    };
    warn_of_unknown_rack(&store, &job, env)?;
    if let Some(group) = job.group.clone() {
        return super::group_run::run(&store, job, group, env);
    }
    let escape = env.stdout_is_terminal() && !job.raw;
    let mut printer = Printer::new(job.renderer.clone(), job.filter.clone(), job.count);
    let mut consumer = Consumer::reading_from(&store, job.read_from.clone());
    let mut assignments = Assignments::default();
    assignments.refresh(&store, &job, &mut consumer, &mut printer, env, true)?;
    let mut run = Run {
        store,
        consumer,
        printer,
        output: Output::new(escape, env.signals().writes()),
        assignments,
        buf: Vec::new(),
        fetch_bytes: FIRST_FETCH_BYTES,
        last_record: env.monotonic(),
        last_seen: 0,
        looked: env.monotonic(),
        noted_end: false,
        job,
        env,
    };
    let outcome = run.go();
    run.end(outcome)
}

fn open_store(job: &Job, env: &mut Env) -> Result<Option<Arc<StoreDir>>> {
    loop {
        match env.open_store() {
            Err(e) if e.kind() == Kind::NoStore && job.wait => {
                if env.stopping() || stdout_pipe::reader_is_gone() {
                    return Ok(None);
                }
                env.sleep(WAIT_FOR_TOPIC);
            }
            other => return other.map(Some),
        }
    }
}

/// A rack that no broker is on is read from leaders throughout: perhaps a slip of the pen.
fn warn_of_unknown_rack(store: &StoreDir, job: &Job, env: &Env) -> Result<()> {
    let ReadFrom::Rack(rack) = &job.read_from else {
        return Ok(());
    };
    let mut racks = BTreeSet::new();
    for id in store.brokers()? {
        racks.extend(store.broker_file(id).ok().and_then(|file| file.rack));
    }
    if !racks.contains(rack) {
        let known = match racks.into_iter().collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "no broker has a rack".to_owned(),
            racks => format!("known racks: {racks}"),
        };
        let rack = rack.escape_debug();
        env.warn(&format!(
            "no broker is on rack '{rack}': reading from leaders ({known})"
        ));
    }
    Ok(())
}

struct Run<'e> {
    store: Arc<StoreDir>,
    env: &'e mut Env,
    job: Job,
    consumer: Consumer,
    printer: Printer,
    output: Output,
    assignments: Assignments,
    buf: Vec<u8>,
    fetch_bytes: usize,
    last_record: Duration,
    last_seen: u64,
    looked: Duration,
    noted_end: bool,
}

impl Run<'_> {
    fn go(&mut self) -> Result<()> {
        if self.job.to_end || self.job.ends() {
            // Into a pipe: its reader may well print on the same terminal.
            let into_file = super::output::is_file();
            self.env.progress_source(None, !into_file);
        }
        if self.job.tail.is_some() {
            self.print_tail()?;
        }
        if self.printer.is_counted() || self.job.count == Some(0) {
            return Ok(());
        }
        loop {
            if self.env.stopping() || self.output.is_closed() {
                return Ok(());
            }
            let fetched = match self.consumer.fetch(self.fetch_bytes, &mut self.buf) {
                Err(e) if e.kind() == Kind::UnknownTopic => {
                    self.deleted(e)?;
                    continue;
                }
                other => other?,
            };
            let Some(fetched) = fetched else {
                if self.caught_up()? {
                    return Ok(());
                }
                continue;
            };
            self.fetch_bytes = FETCH_BYTES;
            let stop = self.printer.print(&fetched, &mut self.output)?;
            self.buf = fetched.bytes;
            self.env
                .progress(self.buf.len() as u64, self.printer.seen());
            if self.stopped(stop) {
                return Ok(());
            }
        }
    }

    /// Whether a stop ends the run.
    fn stopped(&mut self, stop: Option<Stop>) -> bool {
        match stop {
            None => false,
            Some(Stop::Time(tp, offset)) => {
                self.printer.time_bounds.remove(&tp);
                self.consumer.limit(&tp, offset);
                false
            }
            Some(Stop::Counted(..) | Stop::Paused(_) | Stop::Closed) => true,
        }
    }

    /// Everything that is there was printed: write it out, and end or wait. `true`: the end.
    fn caught_up(&mut self) -> Result<bool> {
        self.printer.flush(&mut self.output)?;
        // Asked before each wait, which a tick ends: where nothing comes, no write tells it.
        if self.output.is_closed() || stdout_pipe::reader_is_gone() {
            return Ok(true);
        }
        self.pass_time_bounds();
        let waiting_for_topics = self.assignments.is_empty() && self.job.wait;
        let fixed = matches!(self.job.topics, Topics::Names(_)) || self.job.to_end;
        if self.consumer.is_done() && !waiting_for_topics && (fixed || self.job.ends()) {
            return Ok(true);
        }
        let now = self.env.monotonic();
        if self.printer.seen() != self.last_seen {
            self.last_seen = self.printer.seen();
            self.last_record = now;
        }
        let mut patience = TICK;
        if let Some(limit) = self.job.idle_timeout {
            let left = limit.saturating_sub(now - self.last_record);
            if left.is_zero() {
                return Ok(true);
            }
            patience = patience.min(left);
        }
        self.env.tell_cuts();
        if !self.noted_end && self.env.stdout_is_terminal() && !self.assignments.is_empty() {
            self.noted_end = true;
            self.env.note("at the end; waiting for more (Ctrl-C ends)");
        }
        let wake = self.consumer.wait(patience, self.env.wake_fd())?;
        let now = self.env.monotonic();
        if self.consumer.topics_changed(&wake) || now - self.looked >= TICK {
            self.looked = now;
            let first = self.assignments.is_empty() && matches!(self.job.topics, Topics::Names(_));
            self.assignments.refresh(
                &self.store,
                &self.job,
                &mut self.consumer,
                &mut self.printer,
                self.env,
                first && self.job.wait,
            )?;
        }
        Ok(false)
    }

    /// A time bound that the clock has passed ends its partition where it is.
    fn pass_time_bounds(&mut self) {
        let now = self.env.now_ms();
        let passed: Vec<TopicPartition> = self
            .printer
            .time_bounds
            .iter()
            .filter(|(_, bound)| **bound <= now)
            .map(|(tp, _)| tp.clone())
            .collect();
        for tp in passed {
            self.printer.time_bounds.remove(&tp);
            let position = self
                .consumer
                .positions()
                .find(|(at, _)| **at == tp)
                .map(|(_, at)| at.offset);
            if let Some(position) = position {
                self.consumer.limit(&tp, position);
            }
        }
    }

    /// A topic was deleted: the end, unless it was one of those that match a pattern.
    fn deleted(&mut self, e: Error) -> Result<()> {
        let gone: Vec<TopicPartition> = self
            .consumer
            .positions()
            .map(|(tp, _)| tp.clone())
            .filter(|tp| self.consumer.is_deleted(tp))
            .collect();
        if matches!(self.job.topics, Topics::Names(_)) || gone.is_empty() {
            return Err(e);
        }
        for tp in gone {
            self.consumer.unassign(&tp);
            self.assignments.forget(&tp.topic);
        }
        self.env.note(&e.to_string());
        Ok(())
    }

    /// The last records of all partitions together, by time.
    fn print_tail(&mut self) -> Result<()> {
        let wanted = usize::try_from(self.job.tail.unwrap_or(0)).unwrap_or(usize::MAX);
        let mut kept = Tail::new(wanted);
        let mut decompressor = Decompressor::default();
        let starts: Vec<(TopicPartition, Offset)> = self
            .assignments
            .tail_from
            .iter()
            .map(|(tp, from)| (tp.clone(), *from))
            .collect();
        for (tp, from) in starts {
            let mut consumer = Consumer::reading_from(&self.store, self.job.read_from.clone());
            let reader = consumer.open_reader(&tp)?;
            let end = reader.page()?.high_watermark;
            consumer.assign_reader(reader, from, Some(end));
            while let Some(fetched) = consumer.fetch(FETCH_BYTES, &mut self.buf)? {
                fetched.for_each(&mut decompressor, |info, record| {
                    if self.printer.wants(&record) {
                        kept.take(&tp, info, &record);
                    }
                    ControlFlow::<()>::Continue(())
                })?;
                self.buf = fetched.bytes;
            }
            self.consumer.seek(&tp, end.max(from))?;
        }
        for (tp, info, batch) in kept.sorted() {
            let view = crate::record::BatchView::parse(&batch)?;
            for record in view.records(&mut decompressor)? {
                self.printer.render(&tp, info, &record?)?;
            }
            if self.printer.is_counted() {
                break;
            }
        }
        self.printer.flush(&mut self.output)
    }

    fn end(mut self, outcome: Result<()>) -> Result<Outcome> {
        let flushed = self.printer.flush(&mut self.output);
        self.env.progress_done();
        let stopped_by_signal = self.env.stopping();
        let printed = self.printer.printed();
        let short = printed == 0 || self.job.count.is_some_and(|count| printed < count);
        let empty = self.job.fail_if_empty && short && !stopped_by_signal;
        outcome?;
        flushed?;
        Ok(if empty { Outcome::Empty } else { Outcome::Done })
    }
}

/// The newest records seen, a batch of one each.
struct Tail {
    wanted: usize,
    kept: Vec<(i64, usize, TopicPartition, BatchInfo, Vec<u8>)>,
    count: usize,
}

impl Tail {
    fn new(wanted: usize) -> Self {
        Tail {
            wanted,
            kept: Vec::new(),
            count: 0,
        }
    }

    fn take(&mut self, tp: &TopicPartition, info: BatchInfo, record: &crate::record::Record<'_>) {
        let mut builder = BatchBuilder::new();
        if builder.append_record(record).is_err() {
            return;
        }
        let finished = builder.finish(
            crate::types::Compression::None,
            crate::types::TimestampType::CreateTime,
        );
        let Ok(mut batch) = finished else { return };
        crate::record::stamp(&mut batch, record.offset, info.leader_epoch);
        self.kept
            .push((record.timestamp, self.count, tp.clone(), info, batch));
        self.count += 1;
        if self.kept.len() >= self.wanted.saturating_mul(2).max(1024) {
            self.shorten();
        }
    }

    /// Oldest first; among equals those seen first.
    fn shorten(&mut self) {
        self.kept
            .sort_by_key(|(timestamp, count, ..)| (*timestamp, *count));
        let over = self.kept.len().saturating_sub(self.wanted);
        self.kept.drain(..over);
    }

    fn sorted(mut self) -> Vec<(TopicPartition, BatchInfo, Vec<u8>)> {
        self.shorten();
        self.kept
            .into_iter()
            .map(|(_, _, tp, info, batch)| (tp, info, batch))
            .collect()
    }
}
