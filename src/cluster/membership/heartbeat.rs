//! A thread that counts in a life lock's line, so that a slow disk is not a stopped process.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;

use crate::disk::{File, descriptors_denied};
use crate::error::{Error, Result};
use crate::store::lock::liveness_lock;
use crate::timing::BROKER_HEARTBEAT_INTERVAL;

/// For so many beats a line tells that its holder lacked descriptors.
const MARKED: u32 = 10;

/// Beats until it is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
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
                    // A beat that cannot be written is one that others miss, as they should.
                    let _ = liveness_lock::heartbeat(&*file, counter);
                    let before = std::mem::replace(&mut denied, descriptors_denied());
                    left = if denied == before {
                        u32::saturating_sub(left, 1)
                    } else {
                        MARKED
                    };
                    if marked != (left > 0) {
                        marked = left > 0;
                        // It says what is wrong, which others find out all the same.
                        let _ = liveness_lock::mark(&*file, marked);
                    }
                }
            })
            .map_err(|e| Error::io("start a thread for", "heartbeats", e))?;
        Ok(Heartbeat {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked; if it did, it beats no more either.
            let _ = thread.join();
        }
    }
}
