//! Observes a delivery that waits for replicas: a signal ends the wait, and a long wait is
//! reported.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cli::Env;
use crate::cli::lang::show_duration;
use crate::cli::signals::StopFlag;
use crate::client::Observer;
use crate::error::Error;

/// What the delivery's threads pass to the tool to report.
#[derive(Debug)]
pub struct Waits {
    stop: StopFlag,
    why: Mutex<Why>,
}

/// Why a delivery waits.
#[derive(Debug, Default)]
struct Why {
    /// Not reported yet.
    due: Option<Error>,
    /// The text that was reported last, with its advice.
    reported: Option<String>,
}

impl Waits {
    /// `stop`: the flag that a signal raises.
    pub fn new(stop: StopFlag) -> Self {
        Waits {
            stop,
            why: Mutex::default(),
        }
    }

    /// Reports why the delivery waits, if the reason is new.
    pub fn notify(&self, env: &Env) {
        let mut why = self.lock();
        let Some(e) = why.due.take().filter(|_| !env.is_quiet()) else {
            return;
        };
        let text = e.to_string();
        let reason = code_of(&text).map_or(&*text, |(_, reason)| reason);
        let cure = e.cure_text().map(|cure| format!(" ({cure})"));
        env.note(&format!("waiting: {reason}{}", cure.unwrap_or_default()));
        why.reported = Some(text);
    }

    /// A shorter form of the failure, if the wait for its cause was reported before.
    pub fn instead_of(&self, e: &Error, timeout: Duration) -> Option<Error> {
        let text = e.to_string();
        if self.lock().reported.as_ref() != Some(&text) {
            return None;
        }
        let code = code_of(&text).map(|(code, _)| format!("{code}: "));
        let text = format!(
            "{}gave up waiting after {}",
            code.unwrap_or_default(),
            show_duration(timeout)
        );
        let cure = "follow the advice above, or wait longer with --timeout";
        Some(Error::new(e.kind(), text).cure(cure))
    }

    fn lock(&self) -> MutexGuard<'_, Why> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The code at the beginning of an error's text, and the rest.
fn code_of(text: &str) -> Option<(&str, &str)> {
    let (code, rest) = text.split_once(": ")?;
    let is_code = code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    is_code.then_some((code, rest))
}

impl Observer for Waits {
    fn gives_up(&self) -> bool {
        self.stop.is_raised()
    }

    fn waits(&self, why: &Error) {
        self.lock().due = Some(why.clone());
    }
}
