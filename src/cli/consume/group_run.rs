//! `mq-consume -g` at work: what the group hands over is fetched, rendered and written out, or
//! given to a command.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::assign::none_matches;
use super::exec::{Exec, Handled};
use super::job::{GroupJob, Job, Topics};
use super::marks::Marks;
use super::output::{Output, unread};
use super::print::{Printer, Stop};
use crate::cli::{Env, Outcome};
use crate::client::point::{PointRange, Selection};
use crate::client::{
    CommitWhen, Consumer, Delivery, End, Generation, GroupOptions, GroupSession, Order,
};
use crate::error::{Error, Kind, Result};
use crate::store::{StoreDir, topics};
use crate::types::{TopicName, TopicPartition};

/// How long a change of the group waits for its lock.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes fetched at a time.
const FETCH_BYTES: usize = 256 << 10;
/// How long a wait may be: what nobody reported is seen then.
const TICK: Duration = Duration::from_secs(5);
/// The same while the output's reader may go away unseen.
const PIPE_TICK: Duration = Duration::from_millis(500);
/// How long what was handed out may keep a partition that moves.
const SETTLE: Duration = Duration::from_secs(1);
/// Between two looks for topics that are waited for.
const WAIT_FOR_TOPIC: Duration = Duration::from_millis(100);

/// Runs the job for its group.
///
/// # Errors
/// What ended it. A reader that goes away is no error.
pub fn run(store: &Arc<StoreDir>, job: Job, group: GroupJob, env: &mut Env) -> Result<Outcome> {
    store.check_writable()?;
    let exec = group
        .exec
        .as_ref()
        .map(|exec| Exec::new(store, exec.clone(), &job.topics))
        .transpose()?;
    if !topics_are_there(store, &job, env)? {
        return Ok(Outcome::Done);
    }
    let stop = env.signals().stop_flag();
    let output = Output::counted(env.stdout_is_terminal() && !job.raw, stop);
    let marks = Arc::new(Marks::new(output.counter()));
    let options = GroupOptions {
        group: group.name.clone(),
        subscription: job.topics.subscription(),
        assignor: group.assignor,
        instance_id: group.instance_id.clone(),
        session_timeout: group.session_timeout,
        commit: group.commit,
        interval: group.interval,
        range: match &job.selection {
            Some(Selection::All(range)) => *range,
            _ => PointRange::default(),
        },
        to_end: job.to_end,
        read_from: job.read_from.clone(),
        commits_when_done: match group.commit {
            CommitWhen::AfterWrite => true,
            // Whether the exit status will be 0 is known only then.
            CommitWhen::OnExit => !job.fail_if_empty,
            CommitWhen::Never => false,
        },
        // A command that runs is waited for, however long it takes.
        settle: exec.is_none().then_some(SETTLE),
        patience: PATIENCE,
    };
    let delivery: Arc<dyn Delivery> = Arc::clone(&marks) as Arc<dyn Delivery>;
    let session = GroupSession::start(store, options, delivery, Box::new(env.signals().waker()))?;
    let mut run = GroupRun {
        consumer: Consumer::reading_from(store, job.read_from.clone()),
        printer: Printer::new(job.renderer.clone(), job.filter.clone(), job.count),
        output,
        marks,
        session,
        exec,
        generations: HashMap::new(),
        buf: Vec::new(),
        finished: false,
        last_record: env.monotonic(),
        last_seen: 0,
        moving: false,
        noted_end: false,
        job,
        env,
    };
    let outcome = run.go();
    run.end(outcome)
}

/// Waits for topics, where that was asked for; whether the run may begin.
fn topics_are_there(store: &Arc<StoreDir>, job: &Job, env: &Env) -> Result<bool> {
    loop {
        let there = topics::list(store)?;
        let names: Vec<TopicName> = match &job.topics {
            Topics::Names(names) => names.clone(),
            Topics::Matching(patterns) => patterns
                .iter()
                .filter(|pattern| pattern.is_name())
                .map(|pattern| TopicName::new(pattern.text()))
                .collect::<Result<_>>()?,
        };
        let missing = names.iter().find(|name| !there.contains(name));
        let subscription = job.topics.subscription();
        let matcher = subscription.matcher()?;
        let matches_none = !there.iter().any(|name| matcher.matches(name));
        if missing.is_none() && !(matches_none && job.to_end) {
            return Ok(true);
        }
        if !job.wait {
            return Err(match missing {
                Some(name) => topics::unknown(store, name),
                None => none_matches(&job.topics),
            });
        }
        if env.stopping() {
            return Ok(false);
        }
        env.sleep(WAIT_FOR_TOPIC);
    }
}

struct GroupRun<'e> {
    env: &'e mut Env,
    job: Job,
    consumer: Consumer,
    printer: Printer,
    output: Output,
    marks: Arc<Marks>,
    session: GroupSession,
    exec: Option<Exec>,
    /// The assignments that are read.
    generations: HashMap<TopicPartition, Generation>,
    buf: Vec<u8>,
    finished: bool,
    last_record: Duration,
    last_seen: u64,
    /// Whether the session knows that records are handed out.
    moving: bool,
    noted_end: bool,
}

impl GroupRun<'_> {
    fn go(&mut self) -> Result<()> {
        loop {
            if self.env.stopping() || self.output.is_closed() || self.printer.is_counted() {
                return Ok(());
            }
            if self.session.has_orders() {
                self.follow_orders()?;
            }
            if self.finished || self.job.count == Some(0) {
                return Ok(());
            }
            let fetched = match self.consumer.fetch(FETCH_BYTES, &mut self.buf) {
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
            let Some(generation) = self.generations.get(&fetched.tp).copied() else {
                continue;
            };
            // Before each batch: that what is read is still this member's.
            self.session.confirm(self.generations.keys());
            if self.session.has_orders() {
                self.consumer.seek(&fetched.tp, fetched.from)?;
                self.buf = fetched.bytes;
                continue;
            }
            if !std::mem::replace(&mut self.moving, true) {
                self.session.moves();
            }
            let stop = match &mut self.exec {
                None => {
                    let session = &self.session;
                    self.printer.print_marked(
                        &fetched,
                        generation,
                        || session.has_orders(),
                        &self.marks,
                        &mut self.output,
                    )?
                }
                Some(exec) => {
                    let handled = exec.handle(
                        &fetched,
                        generation,
                        &mut self.printer,
                        &self.marks,
                        &self.session,
                        self.env,
                    )?;
                    match handled {
                        Handled::All => None,
                        Handled::Stopped(stop) => Some(stop),
                        Handled::Fenced(next) => {
                            self.consumer.seek(&fetched.tp, next)?;
                            self.wait_for_orders();
                            continue;
                        }
                    }
                }
            };
            let tp = fetched.tp.clone();
            self.buf = fetched.bytes;
            self.env.progress(0, self.printer.seen());
            match stop {
                None | Some(Stop::Counted(..)) => {}
                Some(Stop::Closed) => return Ok(()),
                Some(Stop::Paused(offset)) => self.consumer.seek(&tp, offset)?,
                Some(Stop::Time(tp, offset)) => {
                    self.printer.time_bounds.remove(&tp);
                    self.consumer.limit(&tp, offset);
                    self.consumer.seek(&tp, offset)?;
                }
            }
        }
    }

    fn follow_orders(&mut self) -> Result<()> {
        let mut stopped = Vec::new();
        for order in self.session.take_orders() {
            match order {
                Order::Assign {
                    generation,
                    reader,
                    from,
                    until,
                    until_time,
                } => {
                    let tp = reader.replica().tp().clone();
                    if let Some(time) = until_time {
                        self.printer.time_bounds.insert(tp.clone(), time);
                    }
                    self.generations.insert(tp, generation);
                    self.consumer.assign_reader(*reader, from, until);
                }
                Order::Limit(generation, tp, until) => {
                    if self.generations.get(&tp) == Some(&generation) {
                        self.consumer.limit(&tp, until);
                    }
                }
                Order::Revoke(generation, tp) => {
                    if self.generations.get(&tp) == Some(&generation) {
                        self.generations.remove(&tp);
                        self.printer.time_bounds.remove(&tp);
                        self.consumer.unassign(&tp);
                    }
                    stopped.push(generation);
                }
                Order::Follow => self.consumer.look_for_leaders(),
                Order::Note(text) => self.env.note(&text),
                Order::Warn(text) => self.env.warn(&text),
                Order::Finished => self.finished = true,
                Order::Failed(e) => return Err(e),
            }
        }
        if !stopped.is_empty() {
            self.printer.flush_marked(&self.marks, &mut self.output)?;
            self.session.stopped(&stopped);
        }
        Ok(())
    }

    /// What was read is perhaps another's by now: the keeper is about to say so.
    fn wait_for_orders(&mut self) {
        let until = self.env.monotonic() + PATIENCE;
        while !self.session.has_orders() && !self.env.stopping() && self.env.monotonic() < until {
            self.env.wait_woken(WAIT_FOR_TOPIC);
        }
    }

    /// Everything that is there was handed out: write it out, and end or wait. `true`: the end.
    fn caught_up(&mut self) -> Result<bool> {
        self.printer.flush_marked(&self.marks, &mut self.output)?;
        if self.output.is_closed() {
            return Ok(true);
        }
        let now = self.env.monotonic();
        if std::mem::take(&mut self.moving) {
            self.session.idle();
        }
        if self.printer.seen() != self.last_seen {
            self.last_seen = self.printer.seen();
            self.last_record = now;
        }
        let mut patience = if unread().is_some() { PIPE_TICK } else { TICK };
        if let Some(limit) = self.job.idle_timeout {
            let left = limit.saturating_sub(now - self.last_record);
            if left.is_zero() {
                return Ok(true);
            }
            patience = patience.min(left);
        }
        self.env.tell_cuts();
        let is_reading = !self.consumer.is_empty() && !self.job.to_end;
        if !self.noted_end && self.env.stdout_is_terminal() && is_reading {
            self.noted_end = true;
            self.env.note("at the end; waiting for more (Ctrl-C ends)");
        }
        let ticks = [self.session.busy_tick(), self.consumer.retry_in()];
        for tick in ticks.into_iter().flatten() {
            patience = patience.min(tick);
        }
        self.env.wait_woken(patience);
        Ok(self.exec.is_none() && self.marks.is_closed())
    }

    /// A topic was deleted: the end, unless it was one of those that match a pattern.
    fn deleted(&mut self, e: Error) -> Result<()> {
        if matches!(self.job.topics, Topics::Names(_)) {
            return Err(e);
        }
        let gone: Vec<TopicPartition> = self
            .consumer
            .positions()
            .map(|(tp, _)| tp.clone())
            .filter(|tp| self.consumer.is_deleted(tp))
            .collect();
        if gone.is_empty() {
            return Err(e);
        }
        for tp in gone {
            self.consumer.unassign(&tp);
        }
        self.env.note(&e.to_string());
        Ok(())
    }

    fn end(mut self, outcome: Result<()>) -> Result<Outcome> {
        let flushed = self.printer.flush_marked(&self.marks, &mut self.output);
        self.env.progress_done();
        let stopped_by_signal = self.env.stopping();
        let printed = self.printer.printed();
        let short = printed == 0 || self.job.count.is_some_and(|count| printed < count);
        let empty = self.job.fail_if_empty && short && !stopped_by_signal;
        let good = outcome.is_ok() && flushed.is_ok() && !stopped_by_signal;
        if good && self.job.count.is_some() {
            self.marks.count_written();
        }
        let end = End {
            good,
            exits_0: good && !empty,
        };
        let env = &*self.env;
        let left = self.session.end(end, || env.stopping());
        outcome?;
        flushed?;
        left?;
        Ok(if empty { Outcome::Empty } else { Outcome::Done })
    }
}
