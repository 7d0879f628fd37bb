//! Reads of pages within a hold of the store's lock: a disk that is slow, or hangs, must not keep every
//! change of the store waiting.
//!
//! 1. Each broker's pages are read by a thread of their own, and a page that does not come for
//!    [`PAGE_READ_WITHIN`] counts as one that cannot be read. So do all others of that broker, in this hold.
//! 2. As long as such a read is under way, the next hold asks that disk nothing: at most one thread of
//!    a process waits for a disk, however often a change is tried.
//! 3. A disk that answered late is slow, not gone: the next hold waits for it as long as it took, and as
//!    long again. So a change that a slow disk kept from being made is made at a later try
//!    ([`until_answered`]). The page that came late says nothing any more: its log may have grown.
//! 4. All pages of a hold together have a time, for others wait for the lock: a daemon's change
//!    [`PAGE_READ_WITHIN_MAX`], and it is made piece by piece; what somebody asked for as one change, and cannot
//!    be made in pieces, the patience of whoever asked.

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

/// A page of a disk that is not slow comes within that time.
const SLOW: Duration = Duration::from_millis(100);
/// What a broker's disk has to answer once the time of a hold is up: it is not the one that took it.
const WITHIN_MIN: Duration = Duration::from_millis(250);
/// Between two looks whether a disk has answered.
const POLL: Duration = Duration::from_millis(10);

/// A page, or why it cannot be read.
type Read = Result<StatePage, String>;

/// Makes a change, and again where disks kept it from being made that answer late: these are waited for
/// without the store's lock.
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

/// Waits until the disks have answered that kept a change from being made; whether all did. At once
/// `false` where there is none.
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

/// The reads of one hold.
#[derive(Debug)]
pub(crate) struct TimedReads {
    /// What slow disks have, all together.
    within: Duration,
    /// Each broker's thread; none where its disk does not answer.
    readers: HashMap<BrokerId, Option<Reader>>,
    /// How long slow disks were waited for.
    waited: Duration,
}

#[derive(Debug)]
struct Reader {
    wanted: Sender<TopicPartition>,
    read: Receiver<Read>,
}

impl Default for TimedReads {
    fn default() -> Self {
        Self::within(PAGE_READ_WITHIN_MAX)
    }
}

impl TimedReads {
    /// Of a hold in which slow disks have that time.
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
            is_free.then(|| Reader::start(store, broker)).flatten()
        });
        let Some(reader) = place else {
            return Err(NO_ANSWER.to_owned());
        };
        let within = store.unanswered().within(broker);
        let left = self.within.saturating_sub(self.waited).max(WITHIN_MIN);
        let began = store.clock().monotonic();
        let read = reader.read(store, tp, broker, within.min(left));
        let took = store.clock().monotonic() - began;
        // Thousands of quick ones are no slow disk.
        if took >= SLOW {
            self.waited += took;
        }
        if read.is_none() {
            *place = None;
        }
        read.unwrap_or_else(|| Err(NO_ANSWER.to_owned()))
    }
}

impl Reader {
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
        Some(Reader { wanted, read })
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
                // Its thread answers under this lock, and takes the mark away then.
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
    // A call of a slow disk takes long: each file is asked for once.
    let replica = Replica::open_in(store, tp, Arc::clone(logs)).map_err(text)?;
    match replica.look_at_page().map_err(text)? {
        None => Err("neither copy of its page is sound".to_owned()),
        Some((_, true)) => Err("its log ends before its page says".to_owned()),
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
        // A reader that never answers, and whose thread is at work still.
        let (wanted, _wants) = mpsc::channel();
        let (answer, read) = mpsc::channel();
        let mut reads = TimedReads::default();
        reads.readers.insert(7, Some(Reader { wanted, read }));
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
        // Others are read; and it is, once it answered: as long as that took, and as long again.
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
