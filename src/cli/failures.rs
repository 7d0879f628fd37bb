//! Failures of several items.

use super::exit::weightier;
use super::{Env, Outcome};
use crate::error::{Error, Kind};

/// Failures of several items: each is reported, and the run goes on.
#[derive(Debug, Default)]
pub struct Failures {
    worst: Option<Kind>,
}

impl Failures {
    /// Reports a failure.
    pub fn notify(&mut self, env: &Env, e: &Error) {
        env.complain(e);
        self.worst = Some(
            self.worst
                .map_or(e.kind(), |kind| weightier(kind, e.kind())),
        );
    }

    /// Reports each failure.
    pub fn notify_all(&mut self, env: &Env, all: &[Error]) {
        for e in all {
            self.notify(env, e);
        }
    }

    /// Warns of damage that hides part of the requested output.
    pub fn warn(&mut self, env: &Env, damage: &str) {
        env.warn(damage);
        let kind = Kind::Damaged;
        self.worst = Some(self.worst.map_or(kind, |worst| weightier(worst, kind)));
    }

    /// The run's outcome.
    pub fn outcome(&self) -> Outcome {
        self.worst.map_or(Outcome::Done, Outcome::Failed)
    }
}
