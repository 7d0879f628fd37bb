//! The thread that removes unused directories, beside the LogManager's: thousands of directories
//! delay neither a stop nor a change of the topics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::orphans::OrphanCollection;
use crate::cluster::notice::{NOTICES_MAX, Notice};
use crate::error::{Error, Result};
use crate::store::StoreDir;
use crate::types::BrokerId;

/// The interval between two sweeps, and from a change of the topics to its sweep: the process that
/// creates or deletes a topic gets time to end.
const SWEEP: Duration = Duration::from_secs(5);
const SWEEP_AFTER_CHANGE: Duration = Duration::from_secs(2);

/// The running thread. It ends when this is dropped, after the directory that it works on.
#[derive(Debug)]
pub struct Sweeper {
    ends: Arc<AtomicBool>,
    changes: Option<Sender<()>>,
    notified: Receiver<Notice>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// For a broker's log directory.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) if the system gives no thread.
    pub fn start(store: &Arc<StoreDir>, broker: BrokerId) -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let (changes, changed) = channel();
        let (notify, notified) = channel();
        let work = SweepThread {
            store: Arc::clone(store),
            orphans: OrphanCollection::new(store, broker),
            ends: Arc::clone(&ends),
            changed,
            notify,
            errors: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("mq-sweep".to_owned())
            .spawn(move || work.run())
            .map_err(|e| Error::io("start a thread for", "orphan collection", e))?;
        Ok(Sweeper {
            ends,
            changes: Some(changes),
            notified,
            thread: Some(thread),
        })
    }

    /// Topics were created, deleted or changed.
    pub fn topics_changed(&self) {
        if let Some(changes) = &self.changes {
            // If the thread ended, nothing is swept.
            let _ = changes.send(());
        }
    }

    /// The notices since the last call.
    pub fn notified(&self) -> impl Iterator<Item = Notice> {
        self.notified.try_iter()
    }

    /// Ends soon; waits for nothing.
    pub fn end(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.changes = None;
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked; if it did, it no longer sweeps, either.
            let _ = thread.join();
        }
    }
}

struct SweepThread {
    store: Arc<StoreDir>,
    orphans: OrphanCollection,
    ends: Arc<AtomicBool>,
    changed: Receiver<()>,
    notify: Sender<Notice>,
    /// The errors of the last sweep: reported once.
    errors: Vec<String>,
}

impl SweepThread {
    fn run(mut self) {
        let mut due = Duration::ZERO;
        let mut topics_changed = true;
        loop {
            let now = self.now();
            if now >= due {
                topics_changed = !self.sweep(topics_changed);
                due = self.now() + SWEEP;
                continue;
            }
            match self.changed.recv_timeout(due.saturating_sub(now)) {
                // Topics that change all the time do not postpone it for ever.
                Ok(()) if !topics_changed => {
                    topics_changed = true;
                    due = self.now() + SWEEP_AFTER_CHANGE;
                }
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn now(&self) -> Duration {
        self.store.clock().monotonic()
    }

    /// Whether it could check everything.
    fn sweep(&mut self, topics_changed: bool) -> bool {
        let ends = &self.ends;
        let go_on = || !ends.load(Ordering::Relaxed);
        let swept = self.orphans.sweep(topics_changed, &go_on);
        let observed = swept.is_ok();
        let errors = match swept {
            Ok(swept) => {
                if let Some(text) = notified_gone(&swept.gone) {
                    // The receiver is gone: the daemon is about to end.
                    let _ = self.notify.send(Notice::Note(text));
                }
                swept.errors
            }
            Err(e) => vec![e],
        };
        let texts: Vec<_> = errors.iter().map(Error::to_string).collect();
        for error in errors {
            if !self.errors.contains(&error.to_string()) {
                let _ = self
                    .notify
                    .send(Notice::Problem(error.at("orphan collection")));
            }
        }
        self.errors = texts;
        observed
    }
}

fn notified_gone(gone: &[String]) -> Option<String> {
    let named = gone.get(..NOTICES_MAX).unwrap_or(gone);
    if named.is_empty() {
        return None;
    }
    let more = match gone.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "removed {}{more}, which nothing uses",
        named.join(", ")
    ))
}
