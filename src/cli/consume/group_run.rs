//! Reading for a group: the records of the assigned partitions are printed, or handled by a
//! command.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::assign::{is_empty, missing, none_matches, note_none_matches};
use super::exec::{Exec, Handled, Tools};
use super::job::{ConsumeJob, GroupJob, Topics};
use super::marks::Marks;
use super::missed::below_start;
use super::output::{Output, unread};
use super::print::Stop;
use super::reading::{FETCH_BYTES, Idle, Reading, RecordSource, Took, nothing};
use crate::cli::{Env, Outcome, stdout};
use crate::client::files::PartitionReader;
use crate::client::groups::Naming;
use crate::client::topics::{self, TopicHandle};
use crate::client::unresolved_offset::{ReadRanges, UnresolvedOffset, UnresolvedRange};
use crate::client::{
    Began, CommitWhen, End, Fetched, Generation, GroupOptions, GroupSession, Order, OutputProgress,
    StoreDir,
};
use crate::error::{Kind, Result};
use crate::types::{Offset, TopicName, TopicPartition};

/// The timeout of the group's lock, for each change.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest wait: changes that no watch reports, such as a store that was moved away, are found
/// after it.
const TICK: Duration = Duration::from_secs(1);
/// The longest wait where the output's reader may go away without notice.
const PIPE_TICK: Duration = Duration::from_millis(500);
/// How long a partition that moves may be kept for records on their way to the output.
const SETTLE: Duration = Duration::from_secs(1);
/// The pause between two checks for notices of the membership thread.
const POLL: Duration = Duration::from_millis(100);

/// Runs the job for its group. `idle`: since when no record came. `was_there`: whether the store
/// existed when the command began.
///
/// # Errors
/// The run ended with this error. A reader that goes away is no error.
pub fn run(
    store: &Arc<StoreDir>,
    mut job: ConsumeJob,
    group: GroupJob,
    mut idle: Idle,
    was_there: bool,
    env: &mut Env,
) -> Result<Outcome> {
    store.check_writable()?;
    let exec = group
        .exec
        .as_ref()
        .map(|exec| Exec::new(store, exec.clone(), &job.topics, group.session_timeout))
        .transpose()?;
    let range = match &job.selection {
        Some(ReadRanges::All(range)) => *range,
        _ => UnresolvedRange::default(),
    };
    let mut subscription = job.topics.subscription();
    let began = if was_there {
        Began::observe(
            store,
            &group.name,
            &subscription,
            range.from,
            &job.read_from,
        )?
    } else {
        Began::default()
    };
    match topics_are_there(store, &job, was_there, &mut idle, env)? {
        There::All => {}
        // The member joins with the topics that exist. A name is a glob that matches only itself.
        There::Some if subscription.is_of_names() => subscription.naming = Naming::Globs,
        There::Some => {}
        // The wait for the other topics is over: those that exist are read to their end.
        There::Only(names) => {
            job.topics = Topics::Names(names);
            job.to_end = true;
            subscription = job.topics.subscription();
            idle = Idle::new(&job, env);
        }
        There::Over => return Ok(nothing(&job, env)),
    }
    let stop = env.signals().stop_flag();
    let output = Output::counted(stop);
    let marks = Arc::new(Marks::new(output.counter()));
    let options = GroupOptions {
        group: group.name.clone(),
        subscription,
        assignor: group.assignor,
        instance_id: group.instance_id.clone(),
        session_timeout: group.session_timeout,
        commit: group.commit,
        interval: group.interval,
        range,
        to_end: job.to_end,
        began: Some(began),
        fails_on_missed: job.fails_on_missed,
        read_from: job.read_from.clone(),
        commits_when_done: match group.commit {
            CommitWhen::AfterWrite => true,
            // Only then is it known whether the exit status will be 0.
            CommitWhen::OnExit => !job.fail_if_empty,
            CommitWhen::Never => false,
        },
        // A partition that moves waits until its command ends, however long that takes.
        settle: exec.is_none().then_some(SETTLE),
        lock_timeout: TIMEOUT,
    };
    let delivery: Arc<dyn OutputProgress> = Arc::clone(&marks) as Arc<dyn OutputProgress>;
    let session = GroupSession::start(store, options, delivery, Box::new(env.signals().waker()))?;
    env.signals().end_by_first(false);
    let member = Member {
        marks,
        session,
        exec,
        generations: HashMap::new(),
        moving: false,
    };
    Reading::new(env, store, job, output, idle)?.run(member)
}

/// Which of the topics that were selected by name exist.
enum There {
    /// All of them.
    All,
    /// Not all; those created later are read once they exist.
    Some,
    /// These only: the wait for the others timed out.
    Only(Vec<TopicName>),
    /// None, or the run is over.
    Over,
}

/// Waits until all topics that were selected by name exist, if the run stops at the end: the end is
/// fixed when the member joins, and a topic created later would have none.
fn topics_are_there(
    store: &Arc<StoreDir>,
    job: &ConsumeJob,
    was_there: bool,
    idle: &mut Idle,
    env: &Env,
) -> Result<There> {
    let matcher = job.topics.subscription().matcher()?;
    // If the run stops at the end, a topic that it waits for must have records as well.
    let wants_records = job.wait && (job.to_end || job.ends());
    let mut had = (!was_there).then(Vec::new);
    let mut noted = false;
    loop {
        let mut there = topics::list(store)?;
        let had = had.get_or_insert_with(|| there.clone());
        there.retain(|name| {
            let is_awaited = wants_records && matcher.matches(name) && !had.contains(name);
            !is_awaited
                || TopicHandle::open(store, name).map_or(true, |it| !is_empty(store, job, &it))
        });
        let matches_none = !there.iter().any(|name| matcher.matches(name));
        let lacks = job.topics.lack(|name| there.contains(name));
        if matches_none && !noted && job.may_wait_for_match() && (job.wait || !lacks) {
            note_none_matches(&job.topics, env);
            noted = true;
        }
        if !(lacks || matches_none && job.to_end) {
            return Ok(There::All);
        }
        if !job.wait {
            return Err(match first_missing(&job.topics, &there)? {
                Some(name) => missing(store, &name),
                None => none_matches(&job.topics),
            });
        }
        if !wants_records || job.count == Some(0) {
            return Ok(There::Some);
        }
        if !idle.wait_for_topic(env) {
            there.retain(|name| matcher.matches(name));
            let in_vain = there.is_empty() || env.stopping() || stdout::reader_is_gone();
            let by_names = matches!(job.topics, Topics::Names(_));
            return Ok(if in_vain || !by_names {
                There::Over
            } else {
                There::Only(there)
            });
        }
    }
}

/// The first topic that was selected by name and does not exist.
fn first_missing(topics: &Topics, there: &[TopicName]) -> Result<Option<TopicName>> {
    let names: Vec<TopicName> = match topics {
        Topics::Names(names) => names.clone(),
        Topics::Matching(patterns) => patterns
            .iter()
            .filter(|pattern| pattern.is_name())
            .map(|pattern| TopicName::new(pattern.text()))
            .collect::<Result<_>>()?,
    };
    Ok(names.into_iter().find(|name| !there.contains(name)))
}

/// The partitions that the group assigned to this member.
struct Member {
    marks: Arc<Marks>,
    session: GroupSession,
    exec: Option<Exec>,
    /// The assignments that are being read.
    generations: HashMap<TopicPartition, Generation>,
    /// Whether it was reported to the session that records are on their way to the output.
    moving: bool,
}

impl RecordSource for Member {
    fn fetch_bytes(&mut self) -> usize {
        FETCH_BYTES
    }

    fn observe(&mut self, on: &mut Reading<'_>) -> Result<ControlFlow<()>> {
        if self.session.has_orders() && self.follow_orders(on)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(exec) = &mut self.exec {
            exec.observe(&self.generations, &self.session, &mut on.consumer, on.env)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take(&mut self, on: &mut Reading<'_>, fetched: &Fetched) -> Result<Took> {
        let Some(generation) = self.generations.get(&fetched.tp).copied() else {
            return Ok(Took::All);
        };
        // Before each batch: confirms that the partitions still belong to this member.
        if !self.session.confirm(self.generations.keys())? || self.session.has_orders() {
            return Ok(Took::Stopped(Stop::Paused(fetched.from)));
        }
        if !std::mem::replace(&mut self.moving, true) {
            self.session.hands_out();
        }
        let Some(exec) = &mut self.exec else {
            let session = &self.session;
            return Took::of_print(on.printer.print_marked(
                fetched,
                generation,
                || session.has_orders(),
                &self.marks,
                &mut on.output,
            ));
        };
        let tools = Tools {
            printer: &mut on.printer,
            marks: &self.marks,
            session: &self.session,
            consumer: &mut on.consumer,
            env: on.env,
        };
        let handled = exec.handle(fetched, generation, tools)?;
        Ok(match handled {
            Handled::All => Took::All,
            Handled::Stopped(stop) => Took::Stopped(stop),
            Handled::Broken(e) => Took::Broken(e),
            Handled::Fenced(next) => {
                self.wait_for_orders(on.env);
                Took::Stopped(Stop::Paused(next))
            }
        })
    }

    fn flush(&mut self, on: &mut Reading<'_>) -> Result<()> {
        on.printer.flush_marked(&self.marks, &mut on.output)
    }

    fn is_done(&mut self, _: &mut Reading<'_>) -> bool {
        if std::mem::take(&mut self.moving) {
            self.session.idle();
        }
        // The session ends the run once the other members are done as well.
        false
    }

    fn wait(&mut self, on: &mut Reading<'_>, lock_timeout: Duration) -> Result<()> {
        let tick = if unread().is_some() { PIPE_TICK } else { TICK };
        let observations = self.exec.as_ref().and_then(Exec::polls_again);
        let ticks = [
            self.session.busy_tick(),
            on.consumer.retry_in(),
            observations,
        ];
        let tick = ticks.into_iter().flatten().fold(tick, Duration::min);
        on.env.wait_woken(lock_timeout.min(tick));
        Ok(())
    }

    fn follows(&self, on: &Reading<'_>) -> bool {
        !on.consumer.is_empty() && !on.job.to_end
    }

    fn passed(&mut self, on: &mut Reading<'_>, tp: &TopicPartition, next: Offset) -> Result<()> {
        let Some(generation) = self.generations.get(tp).copied() else {
            return Ok(());
        };
        if !std::mem::replace(&mut self.moving, true) {
            self.session.hands_out();
        }
        // As a gap: it counts as read once all before it has reached the output's reader.
        on.printer.mark(generation, next, -1, &on.output);
        self.flush(on)
    }

    fn forget(&mut self, _: &TopicPartition) {}

    fn broken(&mut self, tp: &TopicPartition) {
        if let Some(generation) = self.generations.get(tp) {
            self.session.broken(*generation);
        }
    }

    fn end(self, on: &mut Reading<'_>, end: End) -> Result<()> {
        if end != End::Aborted && on.job.count.is_some() {
            self.marks.count_written();
        }
        self.session.end(end, || on.env.stopping())
    }
}

impl Member {
    fn follow_orders(&mut self, on: &mut Reading<'_>) -> Result<ControlFlow<()>> {
        let mut stopped = Vec::new();
        let mut finished = false;
        let mut largest = None;
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
                        on.printer.time_bounds.insert(tp.clone(), time);
                    }
                    self.generations.insert(tp.clone(), generation);
                    if on.printer.seen() == 0 {
                        let lag = lag_of(&reader, from, until);
                        if largest.as_ref().is_none_or(|(most, _)| lag > *most) {
                            largest = Some((lag, tp));
                        }
                    }
                    on.consumer.assign_reader(*reader, from, until);
                }
                Order::Limit(generation, tp, until) => {
                    if self.generations.get(&tp) == Some(&generation) && !on.is_broken(&tp) {
                        on.consumer.limit(&tp, until);
                    }
                }
                Order::Revoke(generation, tp) | Order::Lost(generation, tp) => {
                    if self.generations.get(&tp) == Some(&generation) {
                        self.generations.remove(&tp);
                        on.printer.time_bounds.remove(&tp);
                        on.consumer.unassign(&tp);
                    }
                    stopped.push(generation);
                }
                Order::Missed {
                    tp,
                    from,
                    to,
                    until,
                } => {
                    let range = on.job.range_of(tp.partition);
                    let has_end = range.is_some_and(|range| range.to.is_some());
                    if has_end && let Some(until) = until.filter(|until| *until <= to) {
                        on.report_missed(&tp, from, until)?;
                        continue;
                    }
                    let begins = range.is_some_and(|r| r.from == Some(UnresolvedOffset::At(from)));
                    on.env.warn(&if begins {
                        below_start(&tp, from, to)
                    } else {
                        let name = on.job.group.as_ref().map_or("", |group| &group.name);
                        format!(
                            "group '{}' left {tp} at offset {from}, which is gone: going on from {to}",
                            name.escape_debug()
                        )
                    });
                }
                Order::Follow => on.consumer.find_leaders(),
                Order::Note(text) => on.env.note(&text),
                Order::Warn(text) => on.env.warn(&text),
                Order::Broken(e) => match on.unless_gone(e) {
                    gone if gone.kind() == Kind::NoStore => return Err(gone),
                    e => on.env.fail(&e),
                },
                Order::Finished => finished = true,
                Order::Failed(e) => return Err(e),
            }
        }
        // Without this, short runs would read the first partition only, and never another.
        if let Some((_, tp)) = largest {
            on.consumer.begin_with(&tp);
        }
        if !stopped.is_empty() {
            self.flush(on)?;
            self.session.stopped(&stopped);
        }
        Ok(if finished {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// The group may have given the partitions away: waits for the membership thread's notice.
    fn wait_for_orders(&mut self, env: &Env) {
        let until = env.monotonic() + TIMEOUT;
        while !self.session.has_orders() && !env.stopping() && env.monotonic() < until {
            env.wait_woken(POLL);
        }
    }
}

/// How many offsets of a partition this member has not read.
fn lag_of(reader: &PartitionReader, from: Offset, until: Option<Offset>) -> Offset {
    // If it cannot be read, the failure is reported when it is read.
    let end = reader.page().map_or(from, |page| page.high_watermark);
    until
        .map_or(end, |until| until.min(end))
        .saturating_sub(from)
}
