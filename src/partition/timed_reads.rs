//! Page reads within a metadata update (under the store's metadata lock): a slow or hung disk must
//! not delay every other metadata update.
//!
//! 1. Each broker's pages are read by its own thread. A page that takes longer than
//!    [`PAGE_READ_WITHIN`] counts as unreadable, and so do all later pages of that broker in this
//!    metadata update.
//! 2. While such a read is under way, the next metadata update does not read from that disk: at
//!    most one thread of a process waits for a disk, however often a change is retried.
//! 3. A disk that answered late is slow, not gone: the next metadata update waits for it up to
//!    twice as long as it took. So a change that failed because of a slow disk succeeds at a later
//!    try ([`until_answered`]). The page that came late is dropped: its log may have grown.
//! 4. All page reads of a metadata update share one time limit, since other processes wait for the
//!    lock: [`PAGE_READ_WITHIN_MAX`] for a daemon's change, which is made piece by piece; the
//!    caller's timeout for a change that a user asked for as one and that cannot be split.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::replica::Replica;
use super::state_page::StatePage;
use crate::disk::Dir;
use crate::error::{Error, Kind, Result};
use crate::store::{Late, StoreDir};
use crate::timing::{PAGE_READ_WITHIN, PAGE_READ_WITHIN_MAX};
use crate::types::{BrokerId, TopicPartition};

/// A disk that is not slow answers within this time.
const SLOW: Duration = Duration::from_millis(100);
/// The time that a broker's disk still gets after the update's limit: another disk used the limit
/// up.
const WITHIN_MIN: Duration = Duration::from_millis(250);
/// Between two checks whether a disk has answered.
const POLL: Duration = Duration::from_millis(10);

/// A page, or why it cannot be read.
type Read = Result<StatePage, String>;

/// Makes a change, and retries it if it failed because a disk answered late: between tries it waits
/// for the disk without the metadata lock.
///
/// # Errors
/// Those of the last try.
pub fn until_answered<T>(
    store: &StoreDir,
    timeout: Duration,
    mut make: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let started = store.clock().monotonic();
    loop {
        let made = make();
        let left = timeout.saturating_sub(store.clock().monotonic() - started);
        if !matches!(&made, Err(e) if e.kind() == Kind::Busy) || !await_answers(store, left) {
            return made;
        }
    }
}

/// Waits until the disks that made a change fail have answered; returns whether all did. `false` at
/// once if there is no such disk.
fn await_answers(store: &StoreDir, timeout: Duration) -> bool {
    let started = store.clock().monotonic();
    let waits = || {
        let unanswered = store.unanswered().lock();
        unanswered.values().any(|late| *late == Late::Still)
    };
    let mut waited = false;
    while waits() {
        waited = true;
        if store.go_on().is_err() || store.clock().monotonic() - started >= timeout {
            return false;
        }
        store.clock().sleep(POLL);
    }
    waited
}

/// The page reads of one metadata update.
#[derive(Debug)]
pub(crate) struct TimedReads {
    /// The time limit for all slow disks together.
    within: Duration,
    /// Each broker's thread; none if its disk does not answer.
    readers: HashMap<BrokerId, Option<TimedReader>>,
    /// How long it waited for slow disks.
    waited: Duration,
}

#[derive(Debug)]
struct TimedReader {
    wanted: Sender<TopicPartition>,
    read: Receiver<Read>,
}

impl Default for TimedReads {
    fn default() -> Self {
        Self::within(PAGE_READ_WITHIN_MAX)
    }
}

impl TimedReads {
    /// For a metadata update with this time limit for slow disks.
    pub fn within(within: Duration) -> Self {
        TimedReads {
            within,
            readers: HashMap::new(),
            waited: Duration::ZERO,
        }
    }

    /// The page of a broker's replica.
    pub fn page(&mut self, store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> Read {
        let readers = &mut self.readers;
        let place = readers.entry(broker).or_insert_with(|| {
            let is_free = !store.unanswered().is_waited_for(broker);
            is_free.then(|| TimedReader::start(store, broker)).flatten()
        });
        let Some(reader) = place else {
            return Err(NO_ANSWER.to_owned());
        };
        let within = store.unanswered().within(broker);
        let left = self.within.saturating_sub(self.waited).max(WITHIN_MIN);
        let began = store.clock().monotonic();
        let read = reader.read(store, tp, broker, within.min(left));
        let took = store.clock().monotonic() - began;
        // Thousands of quick reads do not make a slow disk.
        if took >= SLOW {
            self.waited += took;
        }
        if read.is_none() {
            *place = None;
        }
        read.unwrap_or_else(|| Err(NO_ANSWER.to_owned()))
    }
}

impl TimedReader {
    fn start(store: &Arc<StoreDir>, broker: BrokerId) -> Option<Self> {
        let (wanted, wants) = mpsc::channel::<TopicPartition>();
        let (answer, read) = mpsc::channel();
        let store = Arc::clone(store);
        let work = move || {
            let mut opened = None;
            while let Ok(tp) = wants.recv() {
                let began = store.clock().monotonic();
                let open = || store.logs_dir(broker).map_err(|e| e.to_string());
                let logs = opened.get_or_insert_with(open);
                let logs = logs.as_ref().map_err(String::clone);
                let page = logs.and_then(|logs| read_page(&store, &tp, logs));
                let took = store.clock().monotonic() - began;
                let mut unanswered = store.unanswered().lock();
                if unanswered.get(&broker) == Some(&Late::Still) {
                    unanswered.insert(broker, Late::Came(took));
                } else if took < PAGE_READ_WITHIN / 2 {
                    unanswered.remove(&broker);
                }
                if answer.send(page).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("mq-page".to_owned());
        thread.spawn(work).ok()?;
        Some(TimedReader { wanted, read })
    }

    /// `None` if the disk does not answer.
    fn read(
        &self,
        store: &StoreDir,
        tp: &TopicPartition,
        broker: BrokerId,
        within: Duration,
    ) -> Option<Read> {
        self.wanted.send(tp.clone()).ok()?;
        match self.read.recv_timeout(within) {
            Ok(read) => Some(read),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                // The reader's thread answers under this lock, and removes the mark then.
                let mut unanswered = store.unanswered().lock();
                let late = self.read.try_recv().ok();
                if late.is_none() {
                    unanswered.insert(broker, Late::Still);
                }
                late
            }
        }
    }
}

/// Why such a page cannot be read.
pub(crate) const NO_ANSWER: &str = "its disk does not answer";

/// Reads a replica's page, or says why that cannot be.
pub(crate) fn read_page(
    store: &StoreDir,
    tp: &TopicPartition,
    logs: &Arc<dyn Dir>,
) -> Result<StatePage, String> {
    let text = |e: Error| e.to_string();
    // Each call to a slow disk takes long, so each file is opened once.
    let replica = Replica::open_in(store, tp, Arc::clone(logs)).map_err(text)?;
    match replica.examine_page().map_err(text)? {
        None => Err("neither copy of its page is sound".to_owned()),
        Some((_, true)) => Err("its log is shorter than its page says".to_owned()),
        Some((page, false)) => Ok(page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;
    use crate::types::TopicName;

    #[test]
    fn a_disk_that_does_not_answer_is_asked_once() {
        let at = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &at.path().join("store"));
        let store = Arc::new(store.expect("a store"));
        let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
        // A reader that never answers, with its thread still at work.
        let (wanted, _wants) = mpsc::channel();
        let (answer, read) = mpsc::channel();
        let mut reads = TimedReads::default();
        reads.readers.insert(7, Some(TimedReader { wanted, read }));
        let began = store.clock().monotonic();
        assert_eq!(reads.page(&store, &tp, 7), Err(NO_ANSWER.to_owned()));
        let waited = store.clock().monotonic() - began;
        assert!(
            waited >= PAGE_READ_WITHIN && waited < PAGE_READ_WITHIN * 3,
            "{waited:?}"
        );
        let began = store.clock().monotonic();
        assert_eq!(reads.page(&store, &tp, 7), Err(NO_ANSWER.to_owned()));
        assert_eq!(
            TimedReads::default().page(&store, &tp, 7),
            Err(NO_ANSWER.to_owned())
        );
        assert!(store.clock().monotonic() - began < PAGE_READ_WITHIN / 2);
        assert!(
            !await_answers(&store, PAGE_READ_WITHIN / 10),
            "it does not answer"
        );
        // Other brokers are read meanwhile; this one is once it answered, with up to twice the time
        // it took.
        let other = TimedReads::default().page(&store, &tp, 8);
        assert!(other.is_err_and(|why| why != NO_ANSWER));
        let came = Late::Came(Duration::from_secs(3));
        store.unanswered().lock().insert(7, came);
        drop(answer);
        assert_eq!(store.unanswered().within(7), Duration::from_secs(6));
        assert_eq!(store.unanswered().within(8), PAGE_READ_WITHIN);
        let again = TimedReads::default().page(&store, &tp, 7);
        assert!(again.is_err_and(|why| why != NO_ANSWER));
        assert_eq!(
            store.unanswered().within(7),
            PAGE_READ_WITHIN,
            "it is quick again"
        );
    }
}
