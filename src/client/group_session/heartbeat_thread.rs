//! The heartbeat's thread: it waits for nothing, so that the heartbeat stands still only if the
//! process is stopped.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::session_state::lock;
use crate::error::{Error, Result};
use crate::group::{MemberHeartbeat, Membership};

/// A running heartbeat; dropping it stops it.
#[derive(Debug)]
pub struct HeartbeatThread {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl HeartbeatThread {
    /// Starts the heartbeat, often enough for that session timeout.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`] if no thread can be started.
    pub fn start(heartbeat: MemberHeartbeat, session_timeout: Duration) -> Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        let interval = Membership::heartbeat_interval(session_timeout);
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || {
                let mut stop = lock(&stopped.0);
                while !*stop {
                    drop(stop);
                    // The next one may succeed; a member counts as hung only after many missed
                    // heartbeats.
                    let _ = heartbeat.heartbeat();
                    stop = lock(&stopped.0);
                    if !*stop {
                        let waited = stopped.1.wait_timeout(stop, interval);
                        stop = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            })
            .map_err(|e| Error::io("start", "the heartbeat's thread", e))?;
        Ok(HeartbeatThread {
            stop,
            thread: Some(thread),
        })
    }

    /// Stops the heartbeat and closes the member's file.
    pub fn stop(&mut self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A send error means that the thread has ended.
            let _ = thread.join();
        }
    }
}

impl Drop for HeartbeatThread {
    fn drop(&mut self) {
        self.stop();
    }
}
