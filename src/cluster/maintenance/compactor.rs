//! The thread that compacts the broker's replicas, leaders and followers, beside the LogManager's: a
//! compaction of minutes delays no recovery and no sync.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cluster::notice::Notice;
use crate::error::{Error, Kind, Result};
use crate::partition::Replica;
use crate::partition::compaction::{Compacted, Effort, PassStatus, is_worth_a_pass, pass};
use crate::store::{StoreDir, TopicConfigs};
use crate::types::{BrokerId, Offset, TopicPartition};

/// Between two rounds over the replicas: Kafka's `log.cleaner.backoff.ms`.
const INTERVAL: Duration = Duration::from_secs(15);
/// Between two replicas of a round, where there are many: a round of 10,000 takes no processor time that
/// is noticed.
const PAUSE: Duration = Duration::from_millis(5);
const MANY: usize = 1000;
/// The timeout for a lock: a stopped holder must not delay the other replicas.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The replicas of a broker that are compacted, with the configs of their topics.
pub type CompactedReplicas = BTreeMap<TopicPartition, Arc<TopicConfigs>>;

/// The running thread. It ends when this is dropped, after the batch that it works on.
#[derive(Debug)]
pub struct Compactor {
    ends: Arc<AtomicBool>,
    replicas: Option<Sender<CompactedReplicas>>,
    notified: Receiver<Notice>,
    thread: Option<JoinHandle<()>>,
}

impl Compactor {
    /// For a broker's replicas.
    ///
    /// # Errors
    /// [`Kind::Io`] if the system gives no thread.
    pub fn start(store: &Arc<StoreDir>, broker: BrokerId) -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let (replicas, changed) = channel();
        let (notify, notified) = channel();
        let work = CompactionThread {
            store: Arc::clone(store),
            broker,
            ends: Arc::clone(&ends),
            changed,
            notify,
            replicas: CompactedReplicas::new(),
            compacted: HashMap::new(),
            errors: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("mq-compact".to_owned())
            .spawn(move || work.run())
            .map_err(|e| Error::io("start a thread for", "compaction", e))?;
        Ok(Compactor {
            ends,
            replicas: Some(replicas),
            notified,
            thread: Some(thread),
        })
    }

    /// Other replicas are compacted from now on. The first round begins at once.
    pub fn replicas_changed(&self, replicas: CompactedReplicas) {
        if let Some(sender) = &self.replicas {
            // If the thread ended, nothing is compacted.
            let _ = sender.send(replicas);
        }
    }

    /// The notices since the last call.
    pub fn notified(&self) -> impl Iterator<Item = Notice> {
        self.notified.try_iter()
    }

    /// Ends soon; waits for nothing.
    pub fn end(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.replicas = None;
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked; if it did, it no longer compacts, either.
            let _ = thread.join();
        }
    }
}

struct CompactionThread {
    store: Arc<StoreDir>,
    broker: BrokerId,
    ends: Arc<AtomicBool>,
    changed: Receiver<CompactedReplicas>,
    notify: Sender<Notice>,
    replicas: CompactedReplicas,
    /// The active segment as of the last pass that found nothing more to do.
    compacted: HashMap<TopicPartition, Offset>,
    /// The error of each replica's last pass: reported once.
    errors: HashMap<TopicPartition, String>,
}

impl CompactionThread {
    fn run(mut self) {
        loop {
            let more = match self.changed.recv_timeout(INTERVAL) {
                Ok(replicas) => Some(replicas),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Of several changes the last one counts.
            if let Some(replicas) = self.changed.try_iter().last().or(more) {
                self.compacted
                    .retain(|tp, _| replicas.get(tp) == self.replicas.get(tp));
                self.errors.retain(|tp, _| replicas.contains_key(tp));
                self.replicas = replicas;
            }
            self.round();
        }
    }

    fn round(&mut self) {
        let replicas = self.replicas.clone();
        for (tp, configs) in &replicas {
            if self.ends.load(Ordering::Relaxed) {
                return;
            }
            let done = self.compact(tp, configs);
            if let Err(e) = done {
                self.problem(tp, e);
            } else {
                self.errors.remove(tp);
            }
            if replicas.len() > MANY {
                self.store.clock().sleep(PAUSE);
            }
        }
    }

    fn compact(&mut self, tp: &TopicPartition, configs: &TopicConfigs) -> Result<()> {
        let replica = Replica::open(&self.store, tp, self.broker)?;
        let Some(page) = replica.read_page()? else {
            return Ok(());
        };
        let known = self.compacted.get(tp).copied();
        if !is_worth_a_pass(&page, configs, known, self.store.clock().now_ms()) {
            return Ok(());
        }
        drop(replica);
        let ends = Arc::clone(&self.ends);
        let mut go_on = |_| {
            if ends.load(Ordering::Relaxed) {
                return Err(Error::new(Kind::Interrupted, "the daemon ends"));
            }
            Ok(())
        };
        let effort = Effort::default();
        let done = pass(&self.store, tp, self.broker, effort, TIMEOUT, &mut go_on)?;
        // A damaged segment stays, so it is not read again every few seconds.
        // What the high watermark or a sync held back is looked at again.
        let is_settled = match done.status {
            PassStatus::Done => done.cleaned_to >= page.tail.active || !done.damaged.is_empty(),
            status => status == PassStatus::NotDue,
        };
        if is_settled {
            self.compacted.insert(tp.clone(), page.tail.active);
        }
        report(&done)
    }

    /// Reports an error, once. A replica that is gone or led elsewhere since is no error.
    fn problem(&mut self, tp: &TopicPartition, e: Error) {
        if matches!(
            e.kind(),
            Kind::UnknownTopic | Kind::Fenced | Kind::Interrupted
        ) {
            return;
        }
        let text = e.to_string();
        if self.errors.insert(tp.clone(), text.clone()) != Some(text) {
            // The receiver is gone: the daemon is about to end.
            let _ = self
                .notify
                .send(Notice::Problem(e.at(format!("compaction of {tp}"))));
        }
    }
}

/// A segment that could not be compacted is an error of the pass.
fn report(done: &Compacted) -> Result<()> {
    match done.damaged.first() {
        None => Ok(()),
        Some(why) => Err(Error::new(Kind::Damaged, why.clone())),
    }
}
