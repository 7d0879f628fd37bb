//! How to read for a group.

use std::time::Duration;

use super::consumer_options::OnMissed;
use super::{OffsetSpec, Store};
use crate::client::unresolved_offset::UnresolvedRange;
use crate::client::{self, CommitWhen, ReadFrom};
use crate::error::{Error, Kind, Result};
use crate::group::{Naming, Subscription};
use crate::timing::{COMMIT_INTERVAL, SESSION_TIMEOUT, SESSION_TIMEOUT_MIN};
use crate::types::TopicName;

impl Store {
    /// Options for reading as a member of a group: its members divide the partitions among them.
    /// What is done is committed, and the next owner continues there.
    ///
    /// ```
    /// # fn main() -> mq::Result<()> {
    /// # let scratch = tempfile::tempdir().expect("a directory");
    /// # let store = mq::Store::open(scratch.path().join("store"))?;
    /// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
    /// # store.producer("orders").open()?.send("hello")?.wait()?;
    /// for record in store.group("billing").topics(["orders"]).to_end().open()? {
    ///     assert_eq!(record?.value(), Some(&b"hello"[..]));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(&self, name: &str) -> GroupOptions {
        GroupOptions {
            store: self.clone(),
            group: name.to_owned(),
            topics: Vec::new(),
            patterns: Vec::new(),
            manual: false,
            from: OffsetSpec::Start,
            to_end: false,
            instance_id: None,
            commit_interval: COMMIT_INTERVAL,
            session_timeout: SESSION_TIMEOUT,
            on_missed: OnMissed::default(),
        }
    }
}

/// How to read for a group; made by [`Store::group`].
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// use std::time::Duration;
///
/// use mq::OffsetSpec;
///
/// let options = store
///     .group("billing")
///     .matching(["orders*"])
///     .from(OffsetSpec::End)
///     .commit_interval(Duration::from_millis(200));
/// assert_eq!(options.to_end().open()?.count(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "end it with open()"]
pub struct GroupOptions {
    pub(super) store: Store,
    pub(super) group: String,
    topics: Vec<String>,
    patterns: Vec<String>,
    pub(super) manual: bool,
    from: OffsetSpec,
    to_end: bool,
    instance_id: Option<String>,
    commit_interval: Duration,
    session_timeout: Duration,
    pub(super) on_missed: OnMissed,
}

impl GroupOptions {
    /// Reads these topics, which must exist.
    pub fn topics<T: AsRef<str>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        let topics = topics.into_iter().map(|topic| topic.as_ref().to_owned());
        self.topics.extend(topics);
        self
    }

    /// Reads all topics whose names match one of these patterns, including those that are created
    /// later. A pattern is a glob as in a shell: `*`, `?`, `[abc]`, `{a,b}`. With the feature
    /// `patterns`.
    #[cfg(feature = "patterns")]
    pub fn matching<T: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = T>) -> Self {
        let patterns = patterns
            .into_iter()
            .map(|pattern| pattern.as_ref().to_owned());
        self.patterns.extend(patterns);
        self
    }

    /// The program marks each record as done ([`GroupConsumer::done`](super::GroupConsumer::done)),
    /// in any order: for records that several threads handle. Without this, a request for the next
    /// record marks the last one as done.
    pub fn manual(mut self) -> Self {
        self.manual = true;
        self
    }

    /// Where the group begins in topics of which it has committed nothing. Default:
    /// [`OffsetSpec::Start`]. Topics that are created later are read from their start.
    pub fn from(mut self, from: OffsetSpec) -> Self {
        self.from = from;
        self
    }

    /// Ends once all records that existed when it joined are read, by this member and the others.
    pub fn to_end(mut self) -> Self {
        self.to_end = true;
        self
    }

    /// A permanent name of this member: a member that returns with it within
    /// [`GroupOptions::session_timeout`] gets its former partitions.
    pub fn instance_id(mut self, instance_id: impl Into<String>) -> Self {
        self.instance_id = Some(instance_id.into());
        self
    }

    /// How often what is done is committed. Default: 1 second. It is also committed by
    /// [`GroupConsumer::commit`](super::GroupConsumer::commit), when a partition goes to another
    /// member, when no more records are left, and at the end.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How long a member keeps its partitions while its process stands still, or while it is away
    /// and has an instance id. Default: 45 seconds, 500 ms at least. The partitions of a process
    /// that died are taken over at once. Long work on one record does not count as standing still.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// What happens if records were deleted before the group read them. With [`OnMissed::Fail`] a
    /// committed offset below the log start ends the membership, too: reset the group's offset, and
    /// join again.
    pub fn on_missed(mut self, on_missed: OnMissed) -> Self {
        self.on_missed = on_missed;
        self
    }

    /// The engine's options.
    ///
    /// # Errors
    /// [`Kind::Usage`], [`Kind::InvalidTopic`].
    pub(super) fn to_engine(&self) -> Result<client::GroupOptions> {
        if self.session_timeout < SESSION_TIMEOUT_MIN {
            return Err(
                Error::new(Kind::Usage, "the session timeout is shorter than 500 ms")
                    .cure("members on a busy machine would count as dead: use 500 ms or more"),
            );
        }
        if self.instance_id.as_deref() == Some("") {
            return Err(Error::new(Kind::Usage, "the instance id is empty").cure("name the member"));
        }
        let subscription = self.subscription()?;
        Ok(client::GroupOptions {
            group: self.group.clone(),
            subscription,
            assignor: None,
            instance_id: self.instance_id.clone(),
            session_timeout: self.session_timeout,
            commit: CommitWhen::AfterWrite,
            interval: self.commit_interval,
            range: UnresolvedRange {
                from: (self.from != OffsetSpec::Start).then(|| self.from.unresolved()),
                to: None,
            },
            to_end: self.to_end,
            began: None,
            fails_on_missed: self.on_missed == OnMissed::Fail,
            read_from: ReadFrom::Leader,
            commits_when_done: true,
            // Handed-out records may take any time: the program shows when it has stopped.
            settle: None,
            lock_timeout: self.store.timeout(),
        })
    }

    fn subscription(&self) -> Result<Subscription> {
        if self.topics.is_empty() && self.patterns.is_empty() {
            return Err(
                Error::new(Kind::Usage, "a group's consumer of no topics").cure("name the topics")
            );
        }
        let names = self.topics.iter().map(TopicName::new);
        let mut names = names.collect::<Result<Vec<_>>>()?;
        names.sort();
        names.dedup();
        let mut subscription = Subscription::to_names(names);
        if !self.patterns.is_empty() {
            // A name is a glob that matches itself.
            subscription.naming = Naming::Globs;
            subscription.topics.extend(self.patterns.iter().cloned());
        }
        Ok(subscription)
    }
}
