//! Reading for a group: where it begins, and what is committed when.
//!
//! 1. Where the group starts a partition is committed before its first record is read, so that a
//!    successor starts there too.
//! 2. Only what counts as written out ([`Marks`]) is committed.
//! 3. A committed offset that the log does not have is an error, never a silent jump.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::assign::Assignments;
use super::job::{CommitWhen, GroupJob};
use super::marks::Marks;
use super::output::reader_is_gone;
use crate::cli::Env;
use crate::client::point::{Point, PointRange};
use crate::client::resolve_within;
use crate::error::{Error, Kind, Result};
use crate::group::{Entry, LoneMember, TopicPartitions};
use crate::store::{Page, PartitionReader, StoreDir, TopicHandle};
use crate::types::{LeaderEpoch, Offset, TopicName, TopicPartition};

/// How long a change of the group waits for its lock.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Between two looks at what a pipe's reader has taken.
const PIPE_LOOK: Duration = Duration::from_millis(50);
/// The same at the end, when nothing else is to be done.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// Membership, and what is to be committed.
#[derive(Debug)]
pub struct Session {
    member: LoneMember,
    name: String,
    when: CommitWhen,
    interval: Duration,
    /// What counts as written out.
    pub marks: Marks,
    starts: Vec<Entry>,
    known_topics: HashMap<TopicName, bool>,
    noted_unused: bool,
    committed_at: Duration,
    beat_at: Duration,
}

impl Session {
    /// Joins the group.
    ///
    /// # Errors
    /// [`Kind::Busy`] naming the process of the member that it has already.
    pub fn join(
        store: &Arc<StoreDir>,
        job: &GroupJob,
        topics: Vec<String>,
        env: &Env,
    ) -> Result<Self> {
        store.check_writable()?;
        let member = LoneMember::join(store, &job.name, topics, Vec::new(), PATIENCE)?;
        for note in member.notes() {
            env.warn(note);
        }
        Ok(Session {
            member,
            name: job.name.clone(),
            when: job.commit,
            interval: job.interval,
            marks: Marks::default(),
            starts: Vec::new(),
            known_topics: HashMap::new(),
            noted_unused: false,
            committed_at: env.monotonic(),
            beat_at: env.monotonic(),
        })
    }

    /// Where the group begins a partition: where it left off; else at the beginning of `range`,
    /// if it has never read the topic; else at the log start.
    ///
    /// # Errors
    /// [`Kind::OffsetOutOfRange`] for a committed offset that the log does not have.
    pub fn start_of(
        &mut self,
        tp: &TopicPartition,
        topic: &TopicHandle,
        reader: &PartitionReader,
        page: &Page,
        range: PointRange,
        env: &Env,
    ) -> Result<Offset> {
        let topic_id = topic.meta().topic_id;
        let member = &self.member;
        let knows = *self
            .known_topics
            .entry(tp.topic.clone())
            .or_insert_with(|| member.knows_topic(&tp.topic));
        if let Some(committed) = self.member.committed(&tp.topic, topic_id, tp.partition) {
            if range.from.is_some_and(|from| from != Point::Stored) && !self.noted_unused {
                self.noted_unused = true;
                env.note(&format!(
                    "group '{}' goes on where it left off; -o begins only where nothing is committed ('mq-groups reset' rewinds)",
                    self.name
                ));
            }
            return self.check(
                tp,
                reader,
                page,
                committed.offset,
                committed.leader_epoch,
                env,
            );
        }
        let start = if knows {
            page.tail.log_start
        } else {
            resolve_within(reader, page, range.from.unwrap_or(Point::Start), None)?
        };
        let leader_epoch = reader
            .replica()
            .epochs()?
            .and_then(|e| e.at(start - 1))
            .unwrap_or(-1);
        self.starts.push(Entry {
            topic: tp.topic.clone(),
            topic_id,
            partition: tp.partition,
            offset: start,
            leader_epoch,
        });
        Ok(start)
    }

    fn check(
        &self,
        tp: &TopicPartition,
        reader: &PartitionReader,
        page: &Page,
        offset: Offset,
        epoch: LeaderEpoch,
        env: &Env,
    ) -> Result<Offset> {
        let start = page.tail.log_start;
        if offset < start {
            env.warn(&format!(
                "group '{}' left {tp} at offset {offset}, which is gone: going on from {start}",
                self.name
            ));
            return Ok(start);
        }
        let epochs = reader.replica().epochs()?.unwrap_or_default();
        let epoch_end = if epoch < 0 {
            Some(page.tail.end)
        } else {
            epochs.end_of(epoch, page.tail.end)
        };
        let beyond_epoch = offset > start && epoch_end.is_none_or(|end| offset > end);
        if offset > page.tail.end || beyond_epoch {
            return Err(Error::new(
                Kind::OffsetOutOfRange,
                format!(
                    "OFFSET_OUT_OF_RANGE: group '{}' has committed offset {offset} of {tp}, and the log ends at {}: records were lost, or it is another log",
                    self.name,
                    epoch_end.map_or(page.tail.end, |end| end.min(page.tail.end))
                ),
            )
            .cure(format!("choose where to go on: 'mq-groups reset {} --to end --topic {tp}'", self.name)));
        }
        Ok(offset)
    }

    /// Commits where new partitions begin, and tells the group which are read.
    pub fn begin(&mut self, assigned: &[TopicPartition]) -> Result<()> {
        let starts = std::mem::take(&mut self.starts);
        if self.when != CommitWhen::Never {
            self.member.commit(&starts)?;
        }
        let mut topics: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
        for tp in assigned {
            topics
                .entry(tp.topic.clone())
                .or_default()
                .push(tp.partition);
        }
        let assignment = topics
            .into_iter()
            .map(|(topic, mut partitions)| {
                partitions.sort_unstable();
                TopicPartitions {
                    topic: topic.to_string(),
                    partitions,
                }
            })
            .collect();
        self.member.assign(assignment)
    }

    /// Commits what counts as written out, if it is time (when idle, it is).
    pub fn commit_now_and_then(
        &mut self,
        assignments: &Assignments,
        idle: bool,
        env: &Env,
    ) -> Result<()> {
        let now = env.monotonic();
        if now - self.beat_at >= HEARTBEAT {
            self.beat_at = now;
            self.member.heartbeat()?;
        }
        if self.when != CommitWhen::AfterWrite {
            return Ok(());
        }
        if !idle && now - self.committed_at < self.interval {
            return Ok(());
        }
        self.marks.settle();
        self.commit(assignments)?;
        self.committed_at = now;
        Ok(())
    }

    /// How long a wait for records may be: a pipe's reader takes without telling.
    pub fn patience(&self, patience: Duration) -> Duration {
        let looks = self.when == CommitWhen::AfterWrite && !self.marks.is_settled();
        if looks {
            patience.min(PIPE_LOOK)
        } else {
            patience
        }
    }

    fn commit(&mut self, assignments: &Assignments) -> Result<()> {
        let entries: Vec<Entry> = self
            .marks
            .take()
            .into_iter()
            .filter_map(|(tp, (offset, leader_epoch))| {
                Some(Entry {
                    topic_id: assignments.topic_id(&tp.topic)?,
                    topic: tp.topic,
                    partition: tp.partition,
                    offset,
                    leader_epoch,
                })
            })
            .collect();
        self.member.commit(&entries)
    }

    /// Ends the membership. `good`: the run came to its end, and not by a signal; `exits_0`: and
    /// that end is status 0; `counted`: `-c`
    /// said how much.
    pub fn end(
        mut self,
        assignments: &Assignments,
        good: bool,
        exits_0: bool,
        counted: bool,
        env: &Env,
    ) -> Result<()> {
        let commits = match self.when {
            CommitWhen::AfterWrite => true,
            CommitWhen::OnExit => exits_0,
            CommitWhen::Never => false,
        };
        if commits {
            if good && counted {
                self.marks.settle_written();
            } else {
                self.marks.settle();
                while good && !self.marks.is_settled() && !reader_is_gone() && !env.stopping() {
                    env.sleep(LAST_LOOK);
                    self.marks.settle();
                }
                // What the reader took before it went.
                self.marks.settle();
            }
            self.commit(assignments)?;
        }
        self.member.leave()
    }
}
