//! The thread that makes the broker's passes of retention, beside the LogManager's: a pass on a slow disk
//! delays no recovery and no sync.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::partition::{self, PartitionWriter, Pass};
use crate::store::StoreDir;
use crate::types::{TopicPartition, Uuid};

/// The timeout for a lock: a stopped holder must not delay the other partitions.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The running thread. It ends when this is dropped, after the pass that it makes.
#[derive(Debug)]
pub(super) struct RetentionThread {
    due: Option<Sender<(Uuid, TopicPartition)>>,
    made: Receiver<MadePass>,
    thread: Option<JoinHandle<()>>,
}

/// A pass that was made.
#[derive(Debug)]
pub(super) struct MadePass {
    pub replica: Uuid,
    /// When it ended, by the store's monotonic clock and by the wall clock.
    pub ended: Duration,
    pub ended_ms: i64,
    pub outcome: Result<Option<Pass>>,
}

impl RetentionThread {
    /// Starts it.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) if the system gives no thread.
    pub fn start(store: &Arc<StoreDir>) -> Result<Self> {
        let (due, dues) = channel::<(Uuid, TopicPartition)>();
        let (makes, made) = channel();
        let store = Arc::clone(store);
        let run = move || {
            for (replica, tp) in dues {
                let outcome = PartitionWriter::open(&store, &tp, TIMEOUT)
                    .and_then(|mut writer| partition::remove_old(&mut writer, TIMEOUT));
                let pass = MadePass {
                    replica,
                    ended: store.clock().monotonic(),
                    ended_ms: store.clock().now_ms(),
                    outcome,
                };
                if makes.send(pass).is_err() {
                    // The daemon ends.
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("mq-retention".to_owned())
            .spawn(run)
            .map_err(|e| Error::io("start a thread for", "retention", e))?;
        Ok(RetentionThread {
            due: Some(due),
            made,
            thread: Some(thread),
        })
    }

    /// Asks for a pass.
    pub fn ask(&self, replica: Uuid, tp: &TopicPartition) {
        if let Some(due) = &self.due {
            // If the thread ended, nothing is removed.
            let _ = due.send((replica, tp.clone()));
        }
    }

    /// The passes that were made since the last call.
    pub fn made(&self) -> impl Iterator<Item = MadePass> {
        self.made.try_iter()
    }
}

impl Drop for RetentionThread {
    fn drop(&mut self) {
        self.due = None;
        // What is asked for and was not begun is dropped.
        let (_, gone) = channel();
        self.made = gone;
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked; if it did, it no longer removes, either.
            let _ = thread.join();
        }
    }
}
