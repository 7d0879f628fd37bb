//! Reads of pages within a hold of the store's lock: a disk that is slow, or hangs, must not keep every
//! change of the store waiting.
//!
//! 1. Each broker's pages are read by a thread of their own, and a page that does not come for
//!    [`WITHIN`] counts as one that cannot be read. So do all others of that broker, in this hold.
//! 2. As long as such a read is under way, the next hold asks that disk nothing: at most one thread of
//!    a process waits for a disk, however often a change is tried.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::in_sync::read_page;
use super::open::StoreDir;
use super::page::Page;
use crate::types::{BrokerId, TopicPartition};

/// How long a page is waited for.
const WITHIN: Duration = Duration::from_secs(1);

/// A page, or why it cannot be read.
type Read = Result<Page, String>;

/// The brokers whose disks did not answer yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Unanswered(Arc<Mutex<HashSet<BrokerId>>>);

impl Unanswered {
    fn lock(&self) -> MutexGuard<'_, HashSet<BrokerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reads of one hold.
#[derive(Debug, Default)]
pub(super) struct TimedReads {
    /// Each broker's thread; none where its disk does not answer.
    readers: HashMap<BrokerId, Option<Reader>>,
}

#[derive(Debug)]
struct Reader {
    wanted: Sender<TopicPartition>,
    read: Receiver<Read>,
}

impl TimedReads {
    /// The page of a broker's replica.
    pub fn page(&mut self, store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> Read {
        let readers = &mut self.readers;
        let place = readers.entry(broker).or_insert_with(|| {
            let is_free = !store.unanswered().lock().contains(&broker);
            is_free.then(|| Reader::start(store, broker)).flatten()
        });
        let Some(reader) = place else {
            return Err(no_answer());
        };
        let read = reader.read(store, tp, broker);
        if read.is_none() {
            *place = None;
        }
        read.unwrap_or_else(|| Err(no_answer()))
    }
}

impl Reader {
    fn start(store: &Arc<StoreDir>, broker: BrokerId) -> Option<Self> {
        let (wanted, wants) = mpsc::channel::<TopicPartition>();
        let (answer, read) = mpsc::channel();
        let store = Arc::clone(store);
        let work = move || {
            let logs = store.logs_dir(broker).map_err(|e| e.to_string());
            while let Ok(tp) = wants.recv() {
                let logs = logs.as_ref().map_err(String::clone);
                let page = logs.and_then(|logs| read_page(&store, &tp, logs));
                let mut unanswered = store.unanswered().lock();
                unanswered.remove(&broker);
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
    fn read(&self, store: &StoreDir, tp: &TopicPartition, broker: BrokerId) -> Option<Read> {
        self.wanted.send(tp.clone()).ok()?;
        match self.read.recv_timeout(WITHIN) {
            Ok(read) => Some(read),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                // Its thread answers under this lock, and takes the mark away then.
                let mut unanswered = store.unanswered().lock();
                let late = self.read.try_recv().ok();
                if late.is_none() {
                    unanswered.insert(broker);
                }
                late
            }
        }
    }
}

fn no_answer() -> String {
    "its disk does not answer".to_owned()
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
        assert_eq!(reads.page(&store, &tp, 7), Err(no_answer()));
        let waited = store.clock().monotonic() - began;
        assert!(waited >= WITHIN && waited < WITHIN * 3, "{waited:?}");
        let began = store.clock().monotonic();
        assert_eq!(reads.page(&store, &tp, 7), Err(no_answer()));
        assert_eq!(TimedReads::default().page(&store, &tp, 7), Err(no_answer()));
        assert!(store.clock().monotonic() - began < WITHIN / 2);
        // Others are read; and it is, once it answered.
        let other = TimedReads::default().page(&store, &tp, 8);
        assert!(other.is_err_and(|why| why != no_answer()));
        store.unanswered().lock().remove(&7);
        drop(answer);
        let again = TimedReads::default().page(&store, &tp, 7);
        assert!(again.is_err_and(|why| why != no_answer()));
    }
}
