//! Looks on while a delivery waits for replicas: a signal ends the wait, and a long one is told of.

use std::sync::{Mutex, PoisonError};

use crate::cli::signals::StopFlag;
use crate::client::Onlooker;
use crate::error::Error;

/// What the delivery's threads leave for the tool to tell.
#[derive(Debug)]
pub struct Waits {
    stop: StopFlag,
    why: Mutex<Option<String>>,
}

impl Waits {
    /// With the flag that a signal raises.
    pub fn new(stop: StopFlag) -> Self {
        Waits {
            stop,
            why: Mutex::new(None),
        }
    }

    /// Why the delivery waits, if that is to be told.
    pub fn take(&self) -> Option<String> {
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Onlooker for Waits {
    fn gives_up(&self) -> bool {
        self.stop.is_raised()
    }

    fn waits(&self, why: &Error) {
        let cure = why.cure_text().map(|cure| format!(" ({cure})"));
        let text = format!("waiting: {why}{}", cure.unwrap_or_default());
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}
