//! Reading for a group: what the group hands over is rendered and written out, or given to a
//! command.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::assign::{is_empty, none_matches};
use super::exec::{Exec, Handled, Tools};
use super::job::{GroupJob, Job, Topics};
use super::marks::Marks;
use super::output::{Output, unread};
use super::print::Stop;
use super::reading::{Idle, Reading, Source, Took};
use super::run::nothing;
use crate::cli::{Env, Outcome};
use crate::client::point::{PointRange, Selection};
use crate::client::{
    Began, CommitWhen, Consumer, Delivery, End, Fetched, Generation, GroupOptions, GroupSession,
    Order,
};
use crate::error::Result;
use crate::group::{Matcher, Naming, Subscription};
use crate::store::{PartitionReader, StoreDir, TopicHandle, topics};
use crate::types::{Offset, TopicName, TopicPartition};

/// How long a change of the group waits for its lock.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes fetched at a time.
pub const FETCH_BYTES: usize = 256 << 10;
/// How long a wait may be: what nobody reported is seen then.
const TICK: Duration = Duration::from_secs(5);
/// The same while the output's reader may go away unseen.
const PIPE_TICK: Duration = Duration::from_millis(500);
/// How long what was handed out may keep a partition that moves.
const SETTLE: Duration = Duration::from_secs(1);
/// Between two looks for what the keeper is about to say.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the job for its group. `began`: since when nothing came, and whether the store was there
/// when the command began.
///
/// # Errors
/// What ended it. A reader that goes away is no error.
pub fn run(
    store: &Arc<StoreDir>,
    mut job: Job,
    group: GroupJob,
    began: (Idle, bool),
    env: &mut Env,
) -> Result<Outcome> {
    store.check_writable()?;
    let (mut idle, was_there) = began;
    let range = match &job.selection {
        Some(Selection::All(range)) => *range,
        _ => PointRange::default(),
    };
    let mut subscription = job.topics.subscription();
    let began = if was_there {
        Began::look(
            store,
            &group.name,
            &subscription,
            range.from,
            &job.read_from,
        )?
    } else {
        Began::default()
    };
    let mut awaited = Awaited::new(&job, was_there)?;
    let mut printed = 0;
    loop {
        match awaited.look(store, &job)? {
            There::All => break,
            There::Later => {
                // It joins with what is there. A name is a glob that matches itself.
                if subscription.is_of_names() {
                    subscription.naming = Naming::Globs;
                }
                break;
            }
            There::Only(names) if awaited.is_read_first(&names, &job, &group) => {
                let part = Job {
                    topics: Topics::Names(names),
                    to_end: true,
                    fail_if_empty: false,
                    ..job.clone()
                };
                let names = part.topics.subscription();
                let member = (group.clone(), names, began.clone());
                let (outcome, so_far, since) = read(store, part, member, (idle, 0), env);
                let outcome = outcome?;
                let is_counted = job.count.is_some_and(|count| so_far >= count);
                if is_counted || env.stopping() || env.has_failed() {
                    return Ok(outcome);
                }
                (printed, idle) = (so_far, since);
                job.count = job.count.map(|count| count - so_far);
            }
            There::Only(_) => {
                if !idle.wait_for_topic(env) {
                    let short = printed == 0 || job.count.is_some();
                    return Ok(if short {
                        nothing(&job, env)
                    } else {
                        Outcome::Done
                    });
                }
            }
        }
    }
    let member = (group, subscription, began);
    read(store, job, member, (idle, printed), env).0
}

/// Reads as a member of the group, `before` having been since when nothing came, and how many records
/// were printed; these as they are after it.
fn read(
    store: &Arc<StoreDir>,
    job: Job,
    (group, subscription, began): (GroupJob, Subscription, Began),
    before: (Idle, u64),
    env: &mut Env,
) -> (Result<Outcome>, u64, Idle) {
    let (idle, printed) = before;
    let started = start(store, &job, &group, subscription, began, env);
    let (member, output) = match started {
        Ok(started) => started,
        Err(e) => return (Err(e), printed, idle),
    };
    let consumer = Consumer::reading_from(store, job.read_from.clone());
    let mut reading = Reading::new(env, job, consumer, output, idle).after(printed);
    let outcome = reading.run(member);
    let (printed, idle) = reading.into_parts();
    (outcome, printed, idle)
}

/// Joins the group.
fn start(
    store: &Arc<StoreDir>,
    job: &Job,
    group: &GroupJob,
    subscription: Subscription,
    began: Began,
    env: &Env,
) -> Result<(Member, Output)> {
    let exec = group
        .exec
        .as_ref()
        .map(|exec| Exec::new(store, exec.clone(), &job.topics, group.session_timeout))
        .transpose()?;
    let range = match &job.selection {
        Some(Selection::All(range)) => *range,
        _ => PointRange::default(),
    };
    let stop = env.signals().stop_flag();
    let output = Output::counted(env.stdout_is_terminal() && !job.raw, stop);
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
    env.signals().end_by_first(false);
    let member = Member {
        marks,
        session,
        exec,
        generations: HashMap::new(),
        moving: false,
    };
    Ok((member, output))
}

/// The topics that were asked for and are not there.
struct Awaited {
    matcher: Matcher,
    /// Those that were there when the command began: what comes later has to have records, where the
    /// run ends at its end.
    had: Option<Vec<TopicName>>,
    wants_records: bool,
    /// What was there when that was read.
    read: Vec<TopicName>,
}

/// What there is of the topics that were asked for.
enum There {
    /// All of them.
    All,
    /// What comes later is read when it comes.
    Later,
    /// Those only. What comes later has no end for a run that ends at its end, which is fixed when it
    /// joins: it waits.
    Only(Vec<TopicName>),
}

impl Awaited {
    fn new(job: &Job, was_there: bool) -> Result<Self> {
        Ok(Awaited {
            matcher: job.topics.subscription().matcher()?,
            had: (!was_there).then(Vec::new),
            wants_records: job.wait && (job.to_end || job.ends()),
            read: Vec::new(),
        })
    }

    /// Whether what is there is read while others are waited for. A group that commits at the exit joins
    /// once.
    fn is_read_first(&mut self, names: &[TopicName], job: &Job, group: &GroupJob) -> bool {
        let is_due = self.read != names
            && matches!(job.topics, Topics::Names(_))
            && group.commit != CommitWhen::OnExit;
        if is_due {
            self.read = names.to_vec();
        }
        is_due
    }

    /// Looks what is there.
    fn look(&mut self, store: &Arc<StoreDir>, job: &Job) -> Result<There> {
        let mut there = topics::list(store)?;
        let had = self.had.get_or_insert_with(|| there.clone());
        let (matcher, wants_records) = (&self.matcher, self.wants_records);
        there.retain(|name| {
            let is_awaited = wants_records && matcher.matches(name) && !had.contains(name);
            !is_awaited || TopicHandle::open(store, name).map_or(true, |it| !is_empty(store, &it))
        });
        let matches_none = !there.iter().any(|name| matcher.matches(name));
        let lacks = job.topics.lack(|name| there.contains(name));
        if !(lacks || matches_none && job.to_end) {
            return Ok(There::All);
        }
        if !job.wait {
            return Err(match missing(&job.topics, &there)? {
                Some(name) => topics::unknown(store, &name),
                None => none_matches(&job.topics),
            });
        }
        if !wants_records || job.count == Some(0) {
            return Ok(There::Later);
        }
        there.retain(|name| matcher.matches(name));
        Ok(There::Only(there))
    }
}

/// The first topic that was asked for by its name and is not there.
fn missing(topics: &Topics, there: &[TopicName]) -> Result<Option<TopicName>> {
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

/// The partitions that the group hands over.
struct Member {
    marks: Arc<Marks>,
    session: GroupSession,
    exec: Option<Exec>,
    /// The assignments that are read.
    generations: HashMap<TopicPartition, Generation>,
    /// Whether the session knows that records are handed out.
    moving: bool,
}

impl Source for Member {
    fn fetch_bytes(&mut self) -> usize {
        FETCH_BYTES
    }

    fn look(&mut self, on: &mut Reading<'_>) -> Result<ControlFlow<()>> {
        if self.session.has_orders() && self.follow_orders(on)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(exec) = &mut self.exec {
            exec.look(&self.generations, &self.session, &mut on.consumer, on.env)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take(&mut self, on: &mut Reading<'_>, fetched: &Fetched) -> Result<Took> {
        let Some(generation) = self.generations.get(&fetched.tp).copied() else {
            return Ok(Took::All);
        };
        // Before each batch: that what is read is still this member's.
        if !self.session.confirm(self.generations.keys())? || self.session.has_orders() {
            return Ok(Took::Stopped(Stop::Paused(fetched.from)));
        }
        if !std::mem::replace(&mut self.moving, true) {
            self.session.moves();
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
        // The session says so, once others are done as well.
        false
    }

    fn wait(&mut self, on: &mut Reading<'_>, patience: Duration) -> Result<()> {
        let tick = if unread().is_some() { PIPE_TICK } else { TICK };
        let looks = self.exec.as_ref().and_then(Exec::looks_again);
        let ticks = [self.session.busy_tick(), on.consumer.retry_in(), looks];
        let tick = ticks.into_iter().flatten().fold(tick, Duration::min);
        on.env.wait_woken(patience.min(tick));
        Ok(())
    }

    fn follows(&self, on: &Reading<'_>) -> bool {
        !on.consumer.is_empty() && !on.job.to_end
    }

    fn forget(&mut self, _: &TopicPartition) {}

    fn broken(&mut self, tp: &TopicPartition) {
        if let Some(generation) = self.generations.get(tp) {
            self.session.broken(*generation);
        }
    }

    fn end(self, on: &mut Reading<'_>, good: bool, exits_0: bool) -> Result<()> {
        if good && on.job.count.is_some() {
            self.marks.count_written();
        }
        self.session
            .end(End { good, exits_0 }, || on.env.stopping())
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
                Order::Revoke(generation, tp) => {
                    if self.generations.get(&tp) == Some(&generation) {
                        self.generations.remove(&tp);
                        on.printer.time_bounds.remove(&tp);
                        on.consumer.unassign(&tp);
                    }
                    stopped.push(generation);
                }
                Order::Follow => on.consumer.look_for_leaders(),
                Order::Note(text) => on.env.note(&text),
                Order::Warn(text) => on.env.warn(&text),
                Order::Broken(e) => on.env.fail(&e),
                Order::Finished => finished = true,
                Order::Failed(e) => return Err(e),
            }
        }
        // Runs that are short, whatever ends them, would else read no other partition than the
        // first, ever.
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

    /// What was read is perhaps another's by now: the keeper is about to say so.
    fn wait_for_orders(&mut self, env: &Env) {
        let until = env.monotonic() + PATIENCE;
        while !self.session.has_orders() && !env.stopping() && env.monotonic() < until {
            env.wait_woken(LOOK);
        }
    }
}

/// How many offsets a partition has for this member.
fn lag_of(reader: &PartitionReader, from: Offset, until: Option<Offset>) -> Offset {
    // One that cannot be read is told of when it is.
    let end = reader.page().map_or(from, |page| page.high_watermark);
    until
        .map_or(end, |until| until.min(end))
        .saturating_sub(from)
}
