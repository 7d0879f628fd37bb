//! A thread that counts in a liveness lock's line, so that a slow disk does not look like a stopped
//! process.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;

use crate::disk::{File, descriptors_denied};
use crate::error::{Error, Result};
use crate::store::lock::liveness_lock;
use crate::timing::BROKER_HEARTBEAT_INTERVAL;

/// The number of heartbeats for which a line says that its holder lacked descriptors.
const MARKED: u32 = 10;

/// Writes heartbeats until it is dropped.
#[derive(Debug)]
pub struct BrokerHeartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl BrokerHeartbeat {
    /// Begins to count in `file`.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`] if the system gives no thread.
    pub fn start(file: Arc<dyn File>) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("mq-heartbeat".to_owned())
            .spawn(move || {
                let (mut counter, mut denied) = (0, descriptors_denied());
                let (mut left, mut marked) = (0, false);
                while matches!(
                    stopped.recv_timeout(BROKER_HEARTBEAT_INTERVAL),
                    Err(RecvTimeoutError::Timeout)
                ) {
                    counter += 1;
                    // Other processes miss a heartbeat that cannot be written, as they should.
                    let _ = liveness_lock::heartbeat(&*file, counter);
                    let before = std::mem::replace(&mut denied, descriptors_denied());
                    left = if denied == before {
                        u32::saturating_sub(left, 1)
                    } else {
                        MARKED
                    };
                    if marked != (left > 0) {
                        marked = left > 0;
                        // It names the problem, which other processes detect anyway.
                        let _ = liveness_lock::mark(&*file, marked);
                    }
                }
            })
            .map_err(|e| Error::io("start a thread for", "heartbeats", e))?;
        Ok(BrokerHeartbeat {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for BrokerHeartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked; if it did, its heartbeat stops, too.
            let _ = thread.join();
        }
    }
}
