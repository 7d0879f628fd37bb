//! Errors, which say what failed, where, and what the user can do about it.
//!
//! An [`Error`] is a [`Kind`] (for the caller's decisions), a message that names the thing and the
//! place, and, if one is known, the cure. A kind exists only if some caller acts on it: the tools
//! turn kinds into exit statuses in one table (`cli::exit`).

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// The result of everything in this library.
///
/// ```
/// fn topics(path: &str) -> mq::Result<Vec<String>> {
///     mq::Store::open(path)?.admin().list()
/// }
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let path = scratch.path().join("store");
/// # assert_eq!(topics(path.to_str().expect("UTF-8")).expect("listed"), [""; 0]);
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error, on which callers act. If Kafka has a name for it, the message contains it.
///
/// ```
/// use mq::{Kind, NewTopic, Store};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = Store::open(scratch.path().join("store"))?;
/// let orders = match store.producer("orders").open() {
///     Err(error) if error.kind() == Kind::UnknownTopic => {
///         store.admin().ensure_topic(NewTopic::new("orders"))?;
///         store.producer("orders").open()?
///     }
///     other => other?,
/// };
/// # assert_eq!(orders.close()?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// An operation of the operating system failed: the operation, the path and the system's text.
    Io,
    /// No space, quota or file size left for a write. Nothing of that append was published.
    DiskFull,
    /// A bad argument: name, offset, template, time. Found before the store is touched.
    Usage,
    /// INVALID_TOPIC_EXCEPTION: a name that Kafka's rule refuses.
    InvalidTopic,
    /// An unknown config, or a value out of its range.
    InvalidConfig,
    /// There is no store where one was looked for.
    NoStore,
    /// The place cannot serve as a store: a file, a foreign directory, a newer version, a network
    /// file system, an unwritable place, a symlink or FIFO in it.
    UnusableStore,
    /// UNKNOWN_TOPIC_OR_PARTITION.
    UnknownTopic,
    /// TOPIC_ALREADY_EXISTS.
    TopicExists,
    /// MESSAGE_TOO_LARGE: a record or batch over `max.message.bytes`.
    MessageTooLarge,
    /// Input that cannot be parsed as a record; names the line.
    InvalidRecord,
    /// CORRUPT_MESSAGE: damage inside; names file and position.
    Damaged,
    /// The partition was taken offline by a failed fsync or by damage, and waits for a repair.
    Offline,
    /// OFFSET_OUT_OF_RANGE.
    OffsetOutOfRange,
    /// NOT_LEADER_OR_FOLLOWER, or an outdated epoch: read the metadata again.
    Fenced,
    /// A rebalance moved partitions to other members before their offsets were committed (Kafka's
    /// CommitFailedException): the message names them, and the rest is committed.
    Rebalanced,
    /// REQUEST_TIMED_OUT or a lock that stayed taken; names the holder. Nothing was stored.
    Busy,
    /// The outcome is unknown: the data may be stored.
    Unknown,
    /// GROUP_ID_NOT_FOUND.
    UnknownGroup,
    /// NON_EMPTY_GROUP: refused while members live; names them.
    NonEmptyGroup,
    /// POLICY_VIOLATION: the topic's `cleanup.policy` does not allow it.
    PolicyViolation,
    /// A broker is (or is not) running where the opposite is needed.
    BrokerState,
    /// A signal asked to stop.
    Interrupted,
}

impl Kind {
    /// Every kind, for tables and tests.
    pub const ALL: [Kind; 23] = [
        Kind::Io,
        Kind::DiskFull,
        Kind::Usage,
        Kind::InvalidTopic,
        Kind::InvalidConfig,
        Kind::NoStore,
        Kind::UnusableStore,
        Kind::UnknownTopic,
        Kind::TopicExists,
        Kind::MessageTooLarge,
        Kind::InvalidRecord,
        Kind::Damaged,
        Kind::Offline,
        Kind::OffsetOutOfRange,
        Kind::Fenced,
        Kind::Rebalanced,
        Kind::Busy,
        Kind::Unknown,
        Kind::UnknownGroup,
        Kind::NonEmptyGroup,
        Kind::PolicyViolation,
        Kind::BrokerState,
        Kind::Interrupted,
    ];
}

impl Kind {
    /// Whether only one replica failed, and another replica, or a later try, may succeed. Checked
    /// by callers that wait for a leader, or that do not know the outcome of an append.
    pub fn is_of_one_replica(self) -> bool {
        matches!(
            self,
            Kind::Io | Kind::DiskFull | Kind::Offline | Kind::Busy | Kind::Fenced | Kind::Damaged
        )
    }

    /// Whether a replica's durable records can still be read, though its recovery failed: only that
    /// attempt failed.
    pub fn leaves_durable_readable(self) -> bool {
        self.is_of_one_replica() || matches!(self, Kind::Unknown | Kind::UnusableStore)
    }
}

/// An error: its kind, its message (what and where), and the cure if one is known.
///
/// ```
/// use mq::{Kind, NewTopic, Store};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = Store::open(scratch.path().join("store"))?;
/// store.admin().ensure_topic(NewTopic::new("orders"))?;
/// let error = store.producer("order").open().expect_err("there is none");
/// assert_eq!((error.kind(), error.topic()), (Kind::UnknownTopic, Some("order")));
/// assert_eq!(error.cure_text(), Some("did you mean 'orders'?"));
/// assert!(!error.is_retriable());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    cure: Option<String>,
    source: Option<io::Error>,
    is_lost_lock: bool,
    place: Subject,
}

/// What a failure is about, as data. What is not known is `None`.
#[derive(Debug, Clone, Default)]
struct Subject {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    path: Option<PathBuf>,
    group: Option<String>,
}

impl Error {
    /// A failure of `kind`; the message names the thing and the place.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            cure: None,
            source: None,
            is_lost_lock: false,
            place: Subject::default(),
        }))
    }

    /// A failed operation of the operating system. Errors that mean a full disk (ENOSPC, EDQUOT,
    /// EFBIG) become [`Kind::DiskFull`], one of a stale handle (ESTALE) [`Kind::Fenced`]. Adds the
    /// cure if one applies to every such operation.
    pub fn io(op: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        let full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let kind = match full {
            true => Kind::DiskFull,
            // The open file was closed meanwhile, and another has replaced it.
            false if is_stale(&source) => Kind::Fenced,
            false => Kind::Io,
        };
        let message = format!("cannot {op} {}", path.as_ref().display());
        let cure = io_cure(&source).map(str::to_owned);
        Error(Box::new(Inner {
            kind,
            message,
            cure,
            source: Some(source),
            is_lost_lock: false,
            place: Subject {
                path: Some(path.as_ref().to_owned()),
                ..Subject::default()
            },
        }))
    }

    /// A lock that another process took over while this one was stopped: [`Kind::Fenced`], and
    /// distinct from a replica's.
    pub(crate) fn lost_lock(message: impl Into<String>) -> Self {
        let mut error = Error::new(Kind::Fenced, message);
        error.0.is_lost_lock = true;
        error
    }

    /// Adds a cure: what the user can do about it, one line.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.0.cure = Some(cure.into());
        self
    }

    /// Changes the kind, for a caller that knows what the error means here.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Puts the place before the message (`place: message`).
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// The same failure, of a topic. What the error knows already stays.
    #[must_use]
    pub fn of_topic(mut self, topic: impl AsRef<str>) -> Self {
        let known = &mut self.0.place.topic;
        known.get_or_insert_with(|| topic.as_ref().to_owned());
        self
    }

    /// The same failure, of a partition of the topic. What the error knows already stays.
    #[must_use]
    pub fn of_partition(mut self, partition: i32) -> Self {
        self.0.place.partition.get_or_insert(partition);
        self
    }

    /// The same failure, at an offset of the partition. What the error knows already stays.
    #[must_use]
    pub fn of_offset(mut self, offset: i64) -> Self {
        self.0.place.offset.get_or_insert(offset);
        self
    }

    /// The same failure, of a group. What the error knows already stays.
    #[must_use]
    pub fn of_group(mut self, group: impl AsRef<str>) -> Self {
        let known = &mut self.0.place.group;
        known.get_or_insert_with(|| group.as_ref().to_owned());
        self
    }

    /// A copy of the error, for each caller that it concerns.
    #[must_use]
    pub fn copy(&self) -> Self {
        let number = self.io_source().and_then(io::Error::raw_os_error);
        let message = match number {
            Some(_) => self.0.message.clone(),
            None => self.to_string(),
        };
        Error(Box::new(Inner {
            kind: self.0.kind,
            message,
            cure: self.0.cure.clone(),
            source: number.map(io::Error::from_raw_os_error),
            is_lost_lock: self.0.is_lost_lock,
            place: self.0.place.clone(),
        }))
    }

    /// The kind, on which callers act.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The topic it is about, if one is known.
    pub fn topic(&self) -> Option<&str> {
        self.0.place.topic.as_deref()
    }

    /// The partition of the topic, if one is known.
    pub fn partition(&self) -> Option<i32> {
        self.0.place.partition
    }

    /// The offset in the partition, if one is known.
    pub fn offset(&self) -> Option<i64> {
        self.0.place.offset
    }

    /// The file or directory on which an operation of the operating system failed.
    pub fn path(&self) -> Option<&Path> {
        self.0.place.path.as_deref()
    }

    /// The group it is about, if one is known.
    pub fn group(&self) -> Option<&str> {
        self.0.place.group.as_deref()
    }

    /// Whether the same call can succeed later although nobody changes it: a lock was taken, a leader
    /// changed, a disk was full. Nothing was stored, unless [`Error::outcome_unknown`] says otherwise.
    pub fn is_retriable(&self) -> bool {
        match self.0.kind {
            Kind::Busy | Kind::Fenced | Kind::Rebalanced | Kind::DiskFull | Kind::Interrupted => {
                true
            }
            _ => self.is_out_of_descriptors(),
        }
    }

    /// Whether records are perhaps stored although the call failed: read them back before they are
    /// sent again.
    pub fn outcome_unknown(&self) -> bool {
        self.0.kind == Kind::Unknown
    }

    /// The cure, if one is known.
    pub fn cure_text(&self) -> Option<&str> {
        self.0.cure.as_deref()
    }

    /// Whether only a lock was lost ([`Kind::Fenced`]): the step can be repeated.
    pub fn is_lost_lock(&self) -> bool {
        self.0.is_lost_lock && self.0.kind == Kind::Fenced
    }

    /// Whether only one partition cannot be read at present; others may be readable.
    pub fn is_of_one_partition(&self) -> bool {
        self.0.kind.is_of_one_replica() && !self.is_out_of_descriptors()
    }

    /// Whether this process, or the system, has too many open files: that says nothing about the
    /// file that was to be opened.
    pub fn is_out_of_descriptors(&self) -> bool {
        self.io_source().is_some_and(is_out_of_descriptors)
    }

    /// The operating system's own error, if there was one.
    pub fn io_source(&self) -> Option<&io::Error> {
        self.0.source.as_ref()
    }
}

impl Clone for Error {
    /// A copy: the operating system's error is copied by its number, or by its text if it has none.
    fn clone(&self) -> Self {
        let source = self.0.source.as_ref().map(|source| {
            source.raw_os_error().map_or_else(
                || io::Error::new(source.kind(), source.to_string()),
                io::Error::from_raw_os_error,
            )
        });
        Error(Box::new(Inner {
            kind: self.0.kind,
            message: self.0.message.clone(),
            cure: self.0.cure.clone(),
            source,
            is_lost_lock: self.0.is_lost_lock,
            place: self.0.place.clone(),
        }))
    }
}

impl fmt::Display for Error {
    /// What and where; the cure is separate ([`Error::cure_text`]).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let Some(source) = &self.0.source else {
            return Ok(());
        };
        // The text alone, as everywhere else in a shell: the number adds nothing.
        let text = source.to_string();
        let number = source
            .raw_os_error()
            .map(|errno| format!(" (os error {errno})"))
            .unwrap_or_default();
        write!(f, ": {}", text.strip_suffix(&number).unwrap_or(&text))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s as _)
    }
}

/// As [`Error::is_out_of_descriptors`].
pub(crate) fn is_out_of_descriptors(source: &io::Error) -> bool {
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| source.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether the name of an open file leads elsewhere by now.
pub(crate) fn is_stale(source: &io::Error) -> bool {
    source.raw_os_error() == Some(rustix::io::Errno::STALE.raw_os_error())
}

/// The cure for an error of the operating system, whatever the operation.
fn io_cure(source: &io::Error) -> Option<&'static str> {
    if source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
        return Some("the disk failed: read the kernel's log ('dmesg'), then try again");
    }
    if is_stale(source) {
        return Some("it was replaced or removed meanwhile: try again");
    }
    if is_out_of_descriptors(source) {
        return Some("allow more open files ('ulimit -n'), or read fewer partitions at once");
    }
    match source.kind() {
        io::ErrorKind::StorageFull => {
            Some("make room on that disk, then go on; nothing needs repair")
        }
        io::ErrorKind::QuotaExceeded => {
            Some("make room within the quota, then go on; nothing needs repair")
        }
        io::ErrorKind::FileTooLarge => {
            Some("raise the limit on file sizes ('ulimit -f'), then go on; nothing needs repair")
        }
        io::ErrorKind::Interrupted => Some("a signal interrupted it: continue from there"),
        io::ErrorKind::ReadOnlyFilesystem => Some("mount that disk for writing"),
        io::ErrorKind::PermissionDenied => {
            Some("ask its owner for access ('ls -ld' shows the owner), or run as that user")
        }
        io::ErrorKind::IsADirectory => Some("name a file"),
        io::ErrorKind::NotADirectory => Some(
            "there is a file where a directory belongs ('ls -ld' shows it): move it away, or name another path",
        ),
        // The disk layer's own refusals: no file of a store is a link, a pipe or a device.
        io::ErrorKind::Other => Some(
            "a store holds plain files and directories, no links: 'ls -ld' shows what is there; put the file back",
        ),
        _ => None,
    }
}

/// A word quoted for a shell, for commands in a cure.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/:@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Names in `known` that `wanted` may have meant, nearest first, at most three.
pub fn near_names<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .map(|name| {
            (
                strsim::jaro_winkler(&wanted.to_ascii_lowercase(), &name.to_ascii_lowercase()),
                name,
            )
        })
        .filter(|(score, _)| *score >= 0.8)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// A question for a cure; `None` without a near name.
pub fn did_you_mean(near: &[&str]) -> Option<String> {
    let quoted: Vec<String> = near
        .iter()
        .map(|name| format!("'{}'", name.escape_debug()))
        .collect();
    (!quoted.is_empty()).then(|| format!("did you mean {}?", quoted.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_finds_a_typo_and_nothing_far() {
        assert_eq!(near_names("ordres", ["orders", "payments"]), ["orders"]);
        assert!(near_names("zzz", ["orders", "payments"]).is_empty());
    }

    #[test]
    fn a_word_survives_the_shell() {
        for (word, given) in [
            ("billing", "billing"),
            ("a group", "'a group'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), given);
        }
    }

    #[test]
    fn an_error_carries_what_it_is_about() {
        let denied = || io::Error::from_raw_os_error(13);
        let error = Error::io("open", "/store/x", denied())
            .of_topic("orders")
            .of_partition(3)
            .of_offset(17)
            .of_group("billing")
            .of_topic("payments");
        for same in [error.clone(), error.copy()] {
            assert_eq!(same.path(), Some(Path::new("/store/x")));
            assert_eq!(same.topic(), Some("orders"), "the first word stays");
            assert_eq!((same.partition(), same.offset()), (Some(3), Some(17)));
            assert_eq!(same.group(), Some("billing"));
            assert!(!same.is_retriable() && !same.outcome_unknown());
        }
        let unknown = Error::new(Kind::Unknown, "a sync failed");
        assert!(unknown.outcome_unknown() && !unknown.is_retriable());
        assert_eq!(unknown.topic(), None);
        assert!(Error::new(Kind::Busy, "locked").is_retriable());
        let descriptors = io::Error::from_raw_os_error(24);
        assert!(Error::io("open", "x", descriptors).is_retriable());
    }

    #[test]
    fn a_full_disk_is_a_kind_of_its_own() {
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(Error::io("write", "x", full).kind(), Kind::DiskFull);
    }

    #[test]
    fn what_is_known_to_help_comes_with_the_error() {
        for (errno, word) in [
            (28, "room"),
            (27, "ulimit -f"),
            (24, "ulimit -n"),
            (5, "dmesg"),
            (13, "owner"),
            (20, "a directory belongs"),
            (21, "a file"),
        ] {
            let error = Error::io("write", "x", io::Error::from_raw_os_error(errno));
            let cure = error.cure_text().expect("a cure");
            assert!(cure.contains(word), "{errno}: {cure}");
            assert!(!error.to_string().contains("os error"), "{error}");
        }
    }
}
